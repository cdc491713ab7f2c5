package peers;

import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** What is asked for comes from the environment, as for every peer. */
public final class Main {
    static final String INPUT = env("PEER_INPUT");
    static final String OUTPUT = env("PEER_OUTPUT");
    private static final String EXACTLY_ONCE = "exactly-once";

    private Main() {}

    static String env(String name) {
        String value = System.getenv(name);
        if (value == null) {
            throw new IllegalStateException(name + " is not set");
        }
        return value;
    }

    public static void main(String[] args) throws InterruptedException {
        Topology topology = switch (env("PEER_WORK")) {
            case "hop" -> Hop.topology();
            case "join" -> Join.topology();
            case "publish" -> Publish.topology();
            default -> throw new IllegalStateException("PEER_WORK is hop, join or publish");
        };
        KafkaStreams streams = new KafkaStreams(topology, settings());
        streams.setUncaughtExceptionHandler(error -> StreamThreadExceptionResponse.SHUTDOWN_CLIENT);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
                ended.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
        ended.await();
        System.exit(1);
    }

    private static Properties settings() {
        boolean exactly = env("PEER_GUARANTEE").equals(EXACTLY_ONCE);
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, env("PEER_GROUP"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env("PEER_BOOTSTRAP"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, env("PEER_STATE"));
        settings.put(
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
                exactly ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
        // 100 ms is the default of exactly_once_v2; at-least-once commits every 30 s by default, a second loses less work
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, exactly ? 100 : 1_000);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        // a restart after kill -9 does not wait for the session to end
        settings.put(StreamsConfig.consumerPrefix("group.instance.id"), "member-0");
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 6_000);
        settings.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), 500);
        settings.put(StreamsConfig.consumerPrefix("max.poll.records"), 2_000);
        settings.put(StreamsConfig.producerPrefix("linger.ms"), 5);
        settings.put(StreamsConfig.producerPrefix("batch.size"), 131_072);
        settings.put(StreamsConfig.producerPrefix("transaction.timeout.ms"), 10_000);
        return settings;
    }
}
