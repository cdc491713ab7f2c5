package peers;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Arrays;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/**
 * What streambg's publisher does, by hand: both colors' answers in source order, green's goes out for a tenth of the
 * keys, one header says whose it is. What waits for the other color waits in memory: a crash loses it, because the
 * positions behind it are committed. A state store would keep it, at a store write for each record.
 */
final class Publish {
    private static final int WEIGHT = 1_000;

    private Publish() {}

    static Topology topology() {
        var bytes = new ByteArrayDeserializer();
        var writer = new ByteArraySerializer();
        Topology topology = new Topology();
        topology.addSource("blue", bytes, bytes, Main.INPUT);
        topology.addSource("green", bytes, bytes, Main.env("PEER_RIGHT"));
        topology.addProcessor("merge", Merge::new, "blue", "green");
        topology.addSink("out", Main.OUTPUT, writer, writer, "merge");
        return topology;
    }

    private record Waiting(long offset, Record<byte[], byte[]> record) {}

    /** One for each partition number: the two topics are co-partitioned. */
    private static final class Merge implements Processor<byte[], byte[], byte[], byte[]> {
        private final ArrayDeque<Waiting> blue = new ArrayDeque<>();
        private final ArrayDeque<Waiting> green = new ArrayDeque<>();
        private ProcessorContext<byte[], byte[]> context;

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            RecordMetadata from = context.recordMetadata().orElseThrow();
            boolean isBlue = from.topic().equals(Main.INPUT);
            (isBlue ? blue : green).add(new Waiting(from.offset(), record));
            while (!blue.isEmpty() && !green.isEmpty()) {
                Waiting left = blue.poll();
                Waiting right = green.poll();
                if (left.offset() != right.offset()) {
                    throw new IllegalStateException("the topics are filled alike");
                }
                publish(from.partition(), left, right);
            }
        }

        private void publish(int partition, Waiting left, Waiting right) {
            boolean chooseGreen = Math.floorMod(Arrays.hashCode(left.record().key()), 10_000) < WEIGHT;
            String text = "peers-events/" + partition + "@" + left.offset()
                    + (chooseGreen ? " green m:2" : " blue m:1") + " sha256:ab12cd34 epoch=42 route";
            RecordHeaders headers = new RecordHeaders();
            headers.add("streambg", text.getBytes(StandardCharsets.US_ASCII));
            context.forward((chooseGreen ? right : left).record().withHeaders(headers));
        }
    }
}
