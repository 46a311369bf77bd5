import java.io.File;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;

/** The pieces that the steps put jobs together from, in the calls that Flink 1.20 and 2.2 have in common. */
final class Jobs {
    static final long FIRST_TIMESTAMP = 1_700_000_000_000L;
    static final int CHECKPOINT_MS = 300;
    private static final int SLOTS = 4;

    private static MiniCluster cluster;

    private Jobs() {
    }

    /** One cluster in this JVM for all jobs, which are submitted to it as to any other. */
    static void startCluster() throws Exception {
        Configuration settings = new Configuration();
        settings.setString("rest.address", "127.0.0.1");
        settings.setString("rest.bind-port", "0");
        settings.setString("taskmanager.memory.managed.size", "16 m");
        settings.setString("taskmanager.memory.network.min", "16 m");
        settings.setString("taskmanager.memory.network.max", "16 m");
        cluster = new MiniCluster(new MiniClusterConfiguration.Builder()
            .setConfiguration(settings).setNumTaskManagers(1).setNumSlotsPerTaskManager(SLOTS).build());
        cluster.start();
    }

    /**
     * Settings of the next job: checkpoints every 300 ms into a directory of the job's name, begun from a savepoint
     * if there is one, and restarted as often as {@code attempts} says after a failure.
     */
    static StreamExecutionEnvironment environment(String job, int parallelism, int attempts, String savepoint)
            throws Exception {
        Configuration settings = new Configuration();
        settings.setString("execution.checkpointing.interval", CHECKPOINT_MS + " ms");
        settings.setString("execution.checkpointing.dir", directory(job));
        settings.setString("restart-strategy.type", attempts == 0 ? "none" : "fixed-delay");
        settings.setString("restart-strategy.fixed-delay.attempts", Integer.toString(attempts));
        settings.setString("restart-strategy.fixed-delay.delay", "200 ms");
        if (savepoint != null) {
            settings.setString("execution.state-recovery.path", savepoint);
        }
        URI address = cluster.getRestAddress().get();
        return StreamExecutionEnvironment.createRemoteEnvironment(address.getHost(), address.getPort(), settings)
            .setParallelism(parallelism);
    }

    private static String directory(String job) {
        return new File(System.getProperty("java.io.tmpdir"), job).toURI().toString();
    }

    static KafkaSourceBuilder<String> source(String topic) {
        return sourceOf(topic).setTopics(topic);
    }

    /** A source without topics yet; its offsets are committed on checkpoints. */
    static KafkaSourceBuilder<String> sourceOf(String group) {
        return KafkaSource.<String>builder()
            .setBootstrapServers(Check.BOOTSTRAP)
            .setGroupId(group)
            .setDeserializer(new Line());
    }

    static <T> KafkaSinkBuilder<T> sink(DeliveryGuarantee guarantee, KafkaRecordSerializationSchema<T> serializer) {
        return KafkaSink.<T>builder()
            .setBootstrapServers(Check.BOOTSTRAP)
            .setDeliveryGuarantee(guarantee)
            .setRecordSerializer(serializer);
    }

    static DataStream<String> read(StreamExecutionEnvironment environment, KafkaSourceBuilder<String> source) {
        return environment.fromSource(source.build(), WatermarkStrategy.noWatermarks(), "kafka");
    }

    /** A job that only reads: what it sees is in {@link Tap#seen}. */
    static Job reading(String job, KafkaSourceBuilder<String> source) throws Exception {
        StreamExecutionEnvironment environment = environment(job, 1, 0, null);
        read(environment, source).map(new Tap(job)).sinkTo(new DiscardingSink<>());
        return new Job(environment, job);
    }

    /** The numbers 0 to {@code count} - 1 into a sink, to the end. */
    static void writing(String job, int count, KafkaSinkBuilder<Long> sink) throws Exception {
        StreamExecutionEnvironment environment = environment(job, 1, 0, null);
        environment.fromSequence(0, count - 1).sinkTo(sink.build());
        try (Job running = new Job(environment, job)) {
            running.ends();
        }
    }

    /** A job that has been submitted to the cluster, and is cancelled in the end. */
    static final class Job implements AutoCloseable {
        private final JobClient client;
        private final String name;

        Job(StreamExecutionEnvironment environment, String name) throws Exception {
            Tap.forget(name);
            this.name = name;
            client = environment.executeAsync(name);
        }

        void ends() throws Exception {
            client.getJobExecutionResult().get(40, TimeUnit.SECONDS);
        }

        void running() throws Exception {
            Check.eventually("the job runs", 20, () -> {
                JobStatus status = client.getJobStatus().get();
                if (status.isGloballyTerminalState()) {
                    ends();
                }
                return status == JobStatus.RUNNING && Tap.openings(name) > 0;
            });
        }

        void seen(int count, int seconds) throws Exception {
            try {
                Check.eventually(count + " records seen", seconds, () -> Tap.seen(name).size() >= count);
            } catch (AssertionError e) {
                throw new AssertionError(e.getMessage() + ", but " + Tap.seen(name).size() + ", job " + status(), e);
            }
        }

        private String status() throws Exception {
            return client.getJobStatus().get().toString();
        }

        String stopWithSavepoint() throws Exception {
            return client.stopWithSavepoint(false, directory(name), SavepointFormatType.CANONICAL)
                .get(20, TimeUnit.SECONDS);
        }

        @Override
        public void close() throws Exception {
            try {
                client.cancel().get(20, TimeUnit.SECONDS);
            } catch (ExecutionException e) {
                // It has ended by itself.
                return;
            }
            Check.eventually("the cancelled job ended", 20,
                () -> client.getJobStatus().get().isGloballyTerminalState());
        }
    }

    /** Lets everything through, and the suite see it: the mini cluster is in the suite's own JVM. */
    static final class Tap extends RichMapFunction<String, String> {
        private static final long serialVersionUID = 1;
        private static final Map<String, Queue<String>> SEEN = new ConcurrentHashMap<>();
        private static final Map<String, AtomicInteger> OPENINGS = new ConcurrentHashMap<>();
        private final String job;
        private final String poison;

        Tap(String job) {
            this(job, null);
        }

        /** The first time that a record holds {@code poison}, the job fails. */
        Tap(String job, String poison) {
            this.job = job;
            this.poison = poison;
        }

        static void forget(String job) {
            SEEN.put(job, new ConcurrentLinkedQueue<>());
            OPENINGS.put(job, new AtomicInteger());
        }

        static List<String> seen(String job) {
            return new ArrayList<>(SEEN.get(job));
        }

        /** How often the job's tasks began: as often as there are parallel ones, unless the job was restarted. */
        static int openings(String job) {
            return OPENINGS.get(job).get();
        }

        @Override
        public void open(OpenContext context) {
            OPENINGS.get(job).incrementAndGet();
        }

        @Override
        public String map(String line) {
            if (poison != null && line.contains(poison) && OPENINGS.get(job).get() == 1) {
                throw new IllegalStateException("failing as asked at " + line);
            }
            SEEN.get(job).add(line);
            return line;
        }
    }

    /** All of a record in a line: partition, offset, timestamp, key, headers, value. */
    static final class Line implements KafkaRecordDeserializationSchema<String> {
        private static final long serialVersionUID = 1;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<String> out) {
            StringBuilder headers = new StringBuilder();
            for (Header header : record.headers()) {
                headers.append(header.key()).append('=').append(text(header.value())).append(';');
            }
            out.collect(record.partition() + " " + record.offset() + " " + record.timestamp() + " "
                + text(record.key()) + " " + headers + " " + text(record.value()));
        }

        @Override
        public TypeInformation<String> getProducedType() {
            return Types.STRING;
        }

        static String value(String line) {
            return line.substring(line.lastIndexOf(' ') + 1);
        }

        static List<String> values(List<String> lines) {
            List<String> values = new ArrayList<>();
            lines.forEach(line -> values.add(value(line)));
            return values;
        }
    }

    /** A number as a record with everything that a record can have. */
    static final class Numbered implements KafkaRecordSerializationSchema<Long> {
        private static final long serialVersionUID = 1;
        private final String topic;
        private final int partitions;
        private final int padding;

        Numbered(String topic, int partitions, int padding) {
            this.topic = topic;
            this.partitions = partitions;
            this.padding = padding;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(Long number, KafkaSinkContext context, Long timestamp) {
            int partition = (int) (number % partitions);
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
                topic, partition, FIRST_TIMESTAMP + number, bytes("key" + number), bytes(value(number)));
            record.headers().add("number", bytes(number.toString())).add("empty", new byte[0]);
            return record;
        }

        /** The lines that reading a partition back gives. */
        List<String> expected(int partition, int count) {
            List<String> lines = new ArrayList<>();
            for (long number = partition; number < count; number += partitions) {
                lines.add(partition + " " + lines.size() + " " + (FIRST_TIMESTAMP + number) + " key" + number
                    + " number=" + number + ";empty=; " + value(number));
            }
            return lines;
        }

        private String value(long number) {
            return "value" + number + "-" + "x".repeat(padding);
        }
    }

    /** The value of a {@link Line} into another topic, in the partition that it was read from. */
    static final class Copied implements KafkaRecordSerializationSchema<String> {
        private static final long serialVersionUID = 1;
        private final String topic;

        Copied(String topic) {
            this.topic = topic;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(String line, KafkaSinkContext context, Long timestamp) {
            int partition = Integer.parseInt(line.substring(0, line.indexOf(' ')));
            return new ProducerRecord<>(topic, partition, null, bytes("copy-" + Line.value(line)));
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "null" : new String(bytes, StandardCharsets.UTF_8);
    }
}
