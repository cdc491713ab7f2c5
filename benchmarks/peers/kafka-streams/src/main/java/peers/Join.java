package peers;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;

/** KStream-KStream join of both colors' answers by key and time, and a tally of where they agree. */
final class Join {
    private static final int EVERY = 1_000;
    // A user's next event is half a second away, and both answers carry their event's time: this window finds the pair.
    private static final Duration WINDOW = Duration.ofMillis(100);
    private static long pairs;
    private static long agreed;

    private Join() {}

    static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<byte[], byte[]> blue = builder.stream(Main.INPUT);
        KStream<byte[], byte[]> green = builder.stream(Main.env("PEER_RIGHT"));
        blue.join(green, Join::compare, JoinWindows.ofTimeDifferenceWithNoGrace(WINDOW))
                .filter((key, tally) -> tally != null)
                .to(Main.OUTPUT);
        return builder.build();
    }

    /** One record for every thousand pairs; there is one thread. */
    private static byte[] compare(byte[] left, byte[] right) {
        pairs++;
        if (Json.answer(left).p >= 0.5 == Json.answer(right).p >= 0.5) {
            agreed++;
        }
        return pairs % EVERY == 0 ? (pairs + " " + agreed).getBytes(StandardCharsets.US_ASCII) : null;
    }
}
