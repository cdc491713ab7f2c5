package peers;

import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;

/** Decode, score, encode. */
final class Hop {
    private Hop() {}

    static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<byte[], byte[]>stream(Main.INPUT).mapValues(Json::score).to(Main.OUTPUT);
        return builder.build();
    }
}
