import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;

/** One instance of a Streams application, with a directory for its state; what kills its thread is remembered. */
final class Application implements AutoCloseable, StateRestoreListener {
    private final KafkaStreams streams;
    private final AtomicLong restored = new AtomicLong();
    private volatile Throwable failure;

    /** {@code processing.guarantee} and the replicas of internal topics are left at their defaults. */
    Application(String id, Path state, Topology topology) {
        Properties settings = Records.settings("application.id", id, "state.dir", state.toString(),
            "commit.interval.ms", 200, "consumer.session.timeout.ms", 6000, "consumer.heartbeat.interval.ms", 300,
            "consumer.auto.offset.reset", "earliest", "num.stream.threads", 1);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        streams = new KafkaStreams(topology, settings);
        streams.setGlobalStateRestoreListener(this);
        streams.setUncaughtExceptionHandler(thrown -> {
            failure = thrown;
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
    }

    void runs() throws Exception {
        Check.eventually("the application runs", 30, () -> {
            sound();
            return streams.state() == KafkaStreams.State.RUNNING;
        });
    }

    /** It has not failed. */
    void sound() {
        if (failure != null) {
            throw new AssertionError("the application failed: " + failure, failure);
        }
    }

    /** The part of a store that this instance has; empty while it is being handed over. */
    Map<String, Long> store(String name) {
        Map<String, Long> found = new TreeMap<>();
        try {
            ReadOnlyKeyValueStore<String, Long> store = streams.store(
                StoreQueryParameters.fromNameAndType(name, QueryableStoreTypes.<String, Long>keyValueStore()));
            try (KeyValueIterator<String, Long> all = store.all()) {
                all.forEachRemaining(pair -> found.put(pair.key, pair.value));
            }
        } catch (InvalidStateStoreException e) {
            found.clear();
        }
        return found;
    }

    /** How many records of changelogs were read to bring the state back. */
    long restored() {
        return restored.get();
    }

    static Path directory() throws IOException {
        return Files.createTempDirectory("ottla-streams");
    }

    @Override
    public void onRestoreStart(TopicPartition partition, String store, long from, long to) {
    }

    @Override
    public void onBatchRestored(TopicPartition partition, String store, long to, long count) {
        restored.addAndGet(count);
    }

    @Override
    public void onRestoreEnd(TopicPartition partition, String store, long count) {
    }

    @Override
    public void close() {
        Check.that(streams.close(Duration.ofSeconds(20)), "the application was not closed within 20 s");
    }
}
