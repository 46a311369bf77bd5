import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Flink's KafkaSource and KafkaSink, alone; {@link JobSteps} has the jobs with both. */
public final class Suite {
    static final int PARTITIONS = 3;
    private static final int RECORDS = 1000;
    /** Topics of the suites of two versions differ, so that both can use one broker. */
    static String prefix;

    private Suite() {
    }

    public static void main(String[] arguments) throws Exception {
        prefix = "flink-" + arguments[0] + "-";
        Check check = new Check("Flink " + EnvironmentInformation.getVersion());
        Jobs.startCluster();
        for (String codec : Arrays.asList("none", "gzip", "snappy", "lz4", "zstd")) {
            check.step("produce: " + codec, () -> compressed(codec));
        }
        check.step("produce: sink without a guarantee", Suite::withoutGuarantee);
        check.step("produce: record of 900 kB", Suite::large);
        check.step("consume: from the beginning", Suite::fromTheBeginning);
        check.step("consume: latest", Suite::latest);
        check.step("consume: seek to timestamp", Suite::timestamps);
        check.step("consume: topic pattern", Suite::pattern);
        check.step("consume: new partition", Suite::newPartition);
        check.step("groups: commit on checkpoint", Suite::commitOnCheckpoint);
        check.step("groups: commit, stop and resume", Suite::resume);
        check.step("errors: no committed offset", Suite::noCommittedOffset);
        check.step("errors: unknown topic", Suite::unknownTopic);
        check.step("errors: record too large", Suite::tooLarge);
        if (Check.APACHE) {
            check.skip("errors: exactly-once sink refused at once", "Apache Kafka has transactions");
        } else {
            check.step("errors: exactly-once sink refused at once", Suite::exactlyOnce);
        }
        JobSteps.all(check);
        check.end();
    }

    static void create(String topic, int partitions) throws Exception {
        try (Admin admin = Admin.create(Records.settings())) {
            admin.createTopics(Set.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        }
    }

    private static KafkaSinkBuilder<Long> numbered(String topic, int partitions, int padding) {
        return Jobs.sink(DeliveryGuarantee.AT_LEAST_ONCE, new Jobs.Numbered(topic, partitions, padding));
    }

    /** What a bounded job reads, by partition, each in the order in which it came. */
    private static Map<Integer, List<String>> partitions(String job, KafkaSourceBuilder<String> source)
            throws Exception {
        try (Jobs.Job reading = Jobs.reading(job, source)) {
            reading.ends();
        }
        return Jobs.Tap.seen(job).stream()
            .collect(Collectors.groupingBy(line -> Integer.parseInt(line.substring(0, line.indexOf(' ')))));
    }

    private static void written(String topic, int partitions, int padding, int count) throws Exception {
        Map<Integer, List<String>> read = partitions(topic, Jobs.source(topic)
            .setStartingOffsets(OffsetsInitializer.earliest()).setBounded(OffsetsInitializer.latest()));
        Map<Integer, List<String>> expected = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            expected.put(partition, new Jobs.Numbered(topic, partitions, padding).expected(partition, count));
        }
        for (int partition = 0; partition < partitions; partition++) {
            List<String> lines = read.getOrDefault(partition, List.of());
            Check.same(lines.size(), expected.get(partition).size(), "records in partition " + partition);
            for (int at = 0; at < lines.size(); at++) {
                Check.same(lines.get(at), expected.get(partition).get(at), "record " + at);
            }
        }
    }

    private static void compressed(String codec) throws Exception {
        String topic = prefix + codec;
        create(topic, PARTITIONS);
        Jobs.writing(topic, RECORDS, numbered(topic, PARTITIONS, 20)
            .setProperty("compression.type", codec).setProperty("linger.ms", "20"));
        written(topic, PARTITIONS, 20, RECORDS);
    }

    private static void withoutGuarantee() throws Exception {
        String topic = prefix + "unsure";
        create(topic, 1);
        Jobs.writing(topic, RECORDS, Jobs.sink(DeliveryGuarantee.NONE, new Jobs.Numbered(topic, 1, 20))
            .setProperty("acks", "1").setProperty("enable.idempotence", "false"));
        written(topic, 1, 20, RECORDS);
    }

    private static void large() throws Exception {
        String topic = prefix + "large";
        create(topic, 1);
        Jobs.writing(topic, 3, numbered(topic, 1, 900_000));
        written(topic, 1, 900_000, 3);
    }

    /** Unbounded: it goes on with what is written while it runs. */
    private static void fromTheBeginning() throws Exception {
        String topic = prefix + "beginning";
        create(topic, 1);
        Texts.produce(topic, "before", 500);
        try (Jobs.Job job = Jobs.reading(topic, Jobs.source(topic).setStartingOffsets(OffsetsInitializer.earliest()))) {
            job.seen(500, 20);
            Texts.produce(topic, "while", 100);
            job.seen(600, 10);
        }
        List<String> values = Jobs.Line.values(Jobs.Tap.seen(topic));
        Check.same(values.subList(0, 500), Texts.named("before", 500), "records from before");
        Check.same(values.subList(500, values.size()), Texts.named("while", 100), "records while it ran");
    }

    private static void latest() throws Exception {
        String topic = prefix + "latest";
        create(topic, 1);
        Texts.produce(topic, "before", 50);
        try (Jobs.Job job = Jobs.reading(topic, Jobs.source(topic).setStartingOffsets(OffsetsInitializer.latest()))) {
            job.running();
            // The enumerator asks for the end only after the tasks run: what it says is found out by writing.
            Check.eventually("a record seen", 15, () -> {
                Texts.produce(topic, "while", 1);
                return !Jobs.Tap.seen(topic).isEmpty();
            });
        }
        Set<String> values = Set.copyOf(Jobs.Line.values(Jobs.Tap.seen(topic)));
        Check.same(values, Set.of("while0"), "values");
    }

    private static void timestamps() throws Exception {
        String topic = prefix + "timestamps";
        create(topic, 1);
        Jobs.writing(topic, 100, numbered(topic, 1, 0));
        KafkaSourceBuilder<String> between = Jobs.source(topic)
            .setStartingOffsets(OffsetsInitializer.timestamp(Jobs.FIRST_TIMESTAMP + 40))
            .setBounded(OffsetsInitializer.timestamp(Jobs.FIRST_TIMESTAMP + 90));
        List<String> seen = partitions(topic, between).get(0);
        Check.same(seen, new Jobs.Numbered(topic, 1, 0).expected(0, 100).subList(40, 90), "records between");
    }

    private static void pattern() throws Exception {
        for (String name : List.of("one", "two", "other")) {
            Texts.produce(prefix + "pattern-" + name, name, 10);
        }
        KafkaSourceBuilder<String> source = Jobs.sourceOf(prefix + "pattern")
            .setTopicPattern(Pattern.compile(Pattern.quote(prefix) + "pattern-(one|two)"))
            .setBounded(OffsetsInitializer.latest());
        List<String> values = Jobs.Line.values(partitions(prefix + "pattern", source).get(0));
        Check.same(values.size(), 20, "records");
        Check.that(values.containsAll(Texts.named("one", 10)) && values.containsAll(Texts.named("two", 10)),
            "not those of both topics: " + values);
    }

    private static void newPartition() throws Exception {
        String topic = prefix + "partition";
        create(topic, 1);
        Texts.produce(topic, "first", 10);
        KafkaSourceBuilder<String> source = Jobs.source(topic)
            .setProperty("partition.discovery.interval.ms", "300")
            .setProperty("metadata.max.age.ms", "300");
        try (Jobs.Job job = Jobs.reading(topic, source);
             Admin admin = Admin.create(Records.settings());
             KafkaProducer<String, String> producer = Records.producer()) {
            job.seen(10, 20);
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get();
            Check.eventually("the producer knows of the new partition", 10,
                () -> producer.send(new ProducerRecord<>(topic, 1, "k", "second")).get().partition() == 1);
            job.seen(11, 10);
        }
        String last = Jobs.Tap.seen(topic).get(10);
        Check.that(last.startsWith("1 0 ") && last.endsWith(" second"), "not the new partition's record: " + last);
    }

    private static long committed(Admin admin, String group) throws Exception {
        OffsetAndMetadata committed = admin.listConsumerGroupOffsets(group)
            .partitionsToOffsetAndMetadata().get().get(new TopicPartition(group, 0));
        return committed == null ? -1 : committed.offset();
    }

    /** One record after the other: the source waits up to 10 s for a record before it looks after a commit. */
    private static void commitOnCheckpoint() throws Exception {
        String topic = prefix + "commit";
        create(topic, 1);
        try (Admin admin = Admin.create(Records.settings());
             KafkaProducer<String, String> producer = Records.producer();
             Jobs.Job job = Jobs.reading(topic, Jobs.source(topic))) {
            for (long wanted : List.of(1L, 20L)) {
                Check.eventually("offset " + wanted + " committed", 20, () -> {
                    producer.send(new ProducerRecord<>(topic, "value")).get();
                    return committed(admin, topic) >= wanted;
                });
            }
        }
    }

    /** Goes on at the group's offset, and neither at the beginning nor at the end. */
    private static void resume() throws Exception {
        String topic = prefix + "resume";
        create(topic, 1);
        Texts.produce(topic, "value", 100);
        KafkaSourceBuilder<String> source = Jobs.source(topic)
            .setStartingOffsets(OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST));
        long committed;
        try (Admin admin = Admin.create(Records.settings());
             KafkaProducer<String, String> producer = Records.producer();
             Jobs.Job job = Jobs.reading(topic, source)) {
            job.seen(100, 20);
            Check.eventually("offset committed", 20, () -> {
                producer.send(new ProducerRecord<>(topic, "more")).get();
                return committed(admin, topic) >= 100;
            });
        }
        try (Admin admin = Admin.create(Records.settings())) {
            committed = committed(admin, topic);
        }
        Texts.produce(topic, "rest", 25);
        try (Jobs.Job job = Jobs.reading(topic, source)) {
            job.seen(25, 20);
            Check.eventually("the last record seen", 10,
                () -> Jobs.Line.values(Jobs.Tap.seen(topic)).contains("rest24"));
        }
        String first = Jobs.Tap.seen(topic).get(0);
        Check.that(first.startsWith("0 " + committed + " "), "committed " + committed + ", but went on with " + first);
    }

    private static void noCommittedOffset() throws Exception {
        String topic = prefix + "nowhere";
        create(topic, 1);
        KafkaSourceBuilder<String> source = Jobs.source(topic)
            .setStartingOffsets(OffsetsInitializer.committedOffsets());
        try (Jobs.Job job = Jobs.reading(topic, source)) {
            Check.fails(NoOffsetForPartitionException.class, job::ends);
        }
    }

    private static void unknownTopic() throws Exception {
        String topic = prefix + "unknown";
        try (Jobs.Job job = Jobs.reading(topic, Jobs.source(topic))) {
            Check.fails(UnknownTopicOrPartitionException.class, job::ends);
        }
    }

    private static void tooLarge() throws Exception {
        String topic = prefix + "too-large";
        create(topic, 1);
        Check.fails(RecordTooLargeException.class, () -> Jobs.writing(topic, 1,
            numbered(topic, 1, 2_000_000).setProperty("max.request.size", "5000000")));
    }

    /** It needs transactions, which the broker hasn't: the job must fail of it, soon, and not be retried for ever. */
    private static void exactlyOnce() throws Exception {
        String topic = prefix + "exactly-once";
        create(topic, 1);
        KafkaSinkBuilder<Long> sink = Jobs.sink(DeliveryGuarantee.EXACTLY_ONCE, new Jobs.Numbered(topic, 1, 0))
            .setTransactionalIdPrefix(topic).setProperty("transaction.timeout.ms", "60000");
        long start = System.nanoTime();
        ExecutionException failed = Check.fails(ExecutionException.class, () -> Jobs.writing(topic, 10, sink));
        long tookMs = (System.nanoTime() - start) / 1_000_000;
        KafkaException refused = Check.fails(KafkaException.class, () -> {
            throw failed;
        });
        Check.that(!(refused instanceof RetriableException), "retriable: " + refused);
        Check.that(tookMs < 8000, "refused only after " + tookMs + " ms: " + refused);
        Check.that(refused.getMessage().contains("transactions are not supported"), "unclear: " + refused);
    }
}
