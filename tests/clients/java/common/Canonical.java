import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/**
 * The steps of every client, in the calls that kafka-clients 2.1.0 and 4.3.0 have in common.
 *
 * <p>What changed its name in between is in {@code Calls}, of which each version is compiled with its own.
 */
@SuppressWarnings({"deprecation", "removal"})
final class Canonical {
    private static final int RECORDS = 1000;

    private final Check check;
    private final String suite;
    private final AdminClient admin = AdminClient.create(Records.settings());

    Canonical(Check check, String suite) {
        this.check = check;
        this.suite = suite;
    }

    void all() {
        check.step("topics: create", this::create);
        check.step("topics: list", () -> Check.that(isThere(topic("made")), "not listed"));
        check.step("topics: describe", this::describe);
        check.step("topics: alter settings", this::alterSettings);
        check.step("topics: add partitions", this::addPartitions);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            check.step("produce: " + codec, () -> produce(codec, "compression.type", codec, "linger.ms", 5));
        }
        for (String acks : List.of("0", "1", "all")) {
            check.step("produce: acks " + acks,
                () -> produce("acks-" + acks, "acks", acks, "enable.idempotence", "false"));
        }
        check.step("produce: idempotent",
            () -> produce("idempotent", "enable.idempotence", "true", "batch.size", 500));
        check.step("produce: record of 900 kB", this::large);
        check.step("consume: from the beginning", this::fromTheBeginning);
        check.step("consume: seek to timestamp", this::seekToTimestamp);
        check.step("groups: commit, stop and resume", this::stopAndResume);
        check.step("groups: second member joins and leaves", this::secondMember);
        check.step("groups: list, describe, delete", this::groups);
        check.step("errors: unknown topic", this::unknownTopic);
        check.step("errors: topic exists",
            () -> refused(TopicExistsException.class, new NewTopic(topic("made"), 1, (short) 1)));
        check.step("errors: invalid topic name",
            () -> refused(InvalidTopicException.class, new NewTopic("no/slash", 1, (short) 1)));
        check.step("errors: three replicas",
            () -> refused(InvalidReplicationFactorException.class, new NewTopic(topic("three"), 1, (short) 3)));
        check.step("errors: unknown setting", () -> refused(InvalidConfigurationException.class,
            new NewTopic(topic("unknown"), 1, (short) 1).configs(Map.of("no.such.key", "1"))));
        check.step("errors: record too large", this::tooLarge);
        if (Check.APACHE) {
            check.skip("errors: transactions refused", "Apache Kafka has them");
        } else {
            check.step("errors: transactions refused", this::transactions);
        }
        check.restartStep("restarts: broker restarted", () -> underTraffic("restarted", () -> Check.ctl("restart")));
        check.restartStep("restarts: broker killed", () -> underTraffic("killed", () -> {
            Check.ctl("kill9");
            Thread.sleep(500);
            Check.ctl("start");
        }));
        check.step("topics: delete records", this::deleteRecords);
        check.step("topics: delete", this::delete);
    }

    private String topic(String name) {
        return suite + "-" + name;
    }

    /** The settings of a group's member that notices within seconds what changed. */
    static Object[] member(String group, Object... more) {
        List<Object> all = new ArrayList<>(List.of("group.id", group, "heartbeat.interval.ms", 300,
            "session.timeout.ms", 6000, "auto.commit.interval.ms", 200, "metadata.max.age.ms", 1000));
        all.addAll(List.of(more));
        return all.toArray();
    }

    // --- topics ------------------------------------------------------------------------------------------------

    private void create() throws Exception {
        Map<String, String> settings = Map.of("retention.ms", "7200000");
        admin.createTopics(Set.of(new NewTopic(topic("made"), 3, (short) 1).configs(settings))).all().get();
    }

    private void describe() throws Exception {
        TopicDescription made = Calls.describe(admin, topic("made"));
        Check.same(made.partitions().size(), 3, "partitions");
        Check.same(made.partitions().get(2).isr().size(), 1, "in-sync replicas");
        Check.same(made.partitions().get(2).leader().id(), admin.describeCluster().controller().get().id(), "leader");
        Check.same(admin.describeCluster().nodes().get().size(), 1, "nodes");
        Check.that(!admin.describeCluster().clusterId().get().isEmpty(), "no cluster id");
        Check.same(Settings.of(admin, topic("made"), "retention.ms").value(), "7200000", "retention.ms");
        Check.that(!Settings.of(admin, topic("made"), "retention.ms").isDefault(), "retention.ms is a default");
        Check.that(Settings.of(admin, topic("made"), "cleanup.policy").isDefault(), "cleanup.policy is no default");
    }

    private void alterSettings() throws Exception {
        Calls.alter(admin, topic("made"), "segment.bytes", "2097152");
        Check.eventually("segment.bytes is 2097152", 5,
            () -> Settings.of(admin, topic("made"), "segment.bytes").value().equals("2097152"));
    }

    private void addPartitions() throws Exception {
        admin.createPartitions(Map.of(topic("made"), NewPartitions.increaseTo(5))).all().get();
        Check.eventually("5 partitions", 5, () -> Calls.describe(admin, topic("made")).partitions().size() == 5);
        Records.produce(topic("made"), 4, Records.plain("after", 3));
        Check.same(Records.readFromStart(topic("made"), 4, 3).size(), 3, "records of the new partition");
    }

    private void deleteRecords() throws Exception {
        String topic = topic("delete-records");
        Records.produce(topic, 0, Records.plain("v", 20));
        TopicPartition partition = new TopicPartition(topic, 0);
        long low = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(15)))
            .lowWatermarks().get(partition).get().lowWatermark();
        Check.same(low, 15L, "low watermark");
        List<Records.Sent> left = Records.plain("v", 20).subList(15, 20);
        Check.sameList(Records.seen(Records.readFromStart(topic, 0, 5)), left, "what is left");
    }

    private boolean isThere(String topic) throws Exception {
        return admin.listTopics().names().get().contains(topic);
    }

    private void delete() throws Exception {
        admin.deleteTopics(Set.of(topic("made"))).all().get();
        Check.eventually("no longer listed", 10, () -> !isThere(topic("made")));
        Check.fails(UnknownTopicOrPartitionException.class,
            () -> admin.deleteTopics(Set.of(topic("made"))).all().get());
    }

    // --- produce and consume -----------------------------------------------------------------------------------

    /** A thousand records with keys and headers, and all of them back as they were sent. */
    private void produce(String name, Object... settings) throws Exception {
        List<Records.Sent> sent = Records.many(RECORDS);
        Records.produce(topic(name), 0, sent, settings);
        Check.sameList(Records.seen(Records.readFromStart(topic(name), 0, RECORDS)), sent, "records");
        TopicPartition partition = new TopicPartition(topic(name), 0);
        try (KafkaConsumer<String, String> consumer = Records.consumer("isolation.level", "read_committed")) {
            Check.same(consumer.endOffsets(Set.of(partition)).get(partition), (long) RECORDS, "end of the partition");
        }
    }

    private void large() throws Exception {
        List<Records.Sent> sent = new ArrayList<>();
        for (int at = 0; at < 3; at++) {
            sent.add(new Records.Sent("k" + at, at + "0123456789".repeat(90_000), List.of(), 1_000_000L + at));
        }
        Records.produce(topic("large"), 0, sent);
        Check.sameList(Records.seen(Records.readFromStart(topic("large"), 0, 3)), sent, "records");
        // KIP-74: the first batch of an answer comes whole, however little was asked for.
        Object[] narrow = {"max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1000};
        List<Records.Sent> narrowly = Records.seen(Records.readFromStart(topic("large"), 0, 3, narrow));
        Check.sameList(narrowly, sent, "records through a narrow fetch");
    }

    private void fromTheBeginning() throws Exception {
        String topic = topic("beginning");
        admin.createTopics(Set.of(new NewTopic(topic, 3, (short) 1))).all().get();
        for (int partition = 0; partition < 3; partition++) {
            Records.produce(topic, partition, Records.plain("p" + partition + "-", 100));
        }
        Map<Integer, List<Records.Sent>> seen = new HashMap<>();
        try (KafkaConsumer<String, String> consumer = Records.consumer(member(topic))) {
            consumer.subscribe(Set.of(topic));
            for (ConsumerRecord<String, String> record : Records.take(consumer, 300)) {
                List<Records.Sent> of = seen.computeIfAbsent(record.partition(), partition -> new ArrayList<>());
                Check.same(record.offset(), (long) of.size(), "offset in partition " + record.partition());
                of.add(Records.Sent.of(record));
            }
        }
        for (int partition = 0; partition < 3; partition++) {
            Check.sameList(seen.get(partition), Records.plain("p" + partition + "-", 100), "records of " + partition);
        }
    }

    private void seekToTimestamp() throws Exception {
        String topic = topic("times");
        TopicPartition partition = new TopicPartition(topic, 0);
        List<Records.Sent> sent = new ArrayList<>();
        for (int at = 0; at < 10; at++) {
            sent.add(new Records.Sent("k", "v" + at, List.of(), 1_000_000L + at * 1000));
        }
        Records.produce(topic, 0, sent, "linger.ms", 50);
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, 1_004_500L)).get(partition);
            Check.same(found.offset() + "@" + found.timestamp(), "5@1005000", "first record at or after 1004500");
            OffsetAndTimestamp after = consumer.offsetsForTimes(Map.of(partition, 2_000_000L)).get(partition);
            Check.that(after == null, "one after the end: " + after);
            Check.same(consumer.beginningOffsets(Set.of(partition)).get(partition), 0L, "beginning");
            consumer.assign(Set.of(partition));
            consumer.seek(partition, found.offset());
            Check.sameList(Records.seen(Records.take(consumer, 5)), sent.subList(5, 10), "records from there");
        }
    }

    // --- groups ------------------------------------------------------------------------------------------------

    private void stopAndResume() throws Exception {
        String topic = topic("resume");
        TopicPartition partition = new TopicPartition(topic, 0);
        Records.produce(topic, 0, Records.plain("v", 100));
        Object[] settings = member(topic, "enable.auto.commit", "false", "max.poll.records", 40);
        try (KafkaConsumer<String, String> first = Records.consumer(settings)) {
            first.subscribe(Set.of(topic));
            Records.take(first, 40);
            first.commitSync(Map.of(partition, new OffsetAndMetadata(37, "as far as 37")));
        }
        OffsetAndMetadata committed =
            admin.listConsumerGroupOffsets(topic).partitionsToOffsetAndMetadata().get().get(partition);
        Check.same(committed.offset() + committed.metadata(), "37as far as 37", "committed");
        try (KafkaConsumer<String, String> second = Records.consumer(settings)) {
            second.subscribe(Set.of(topic));
            List<Records.Sent> rest = Records.plain("v", 100).subList(37, 100);
            Check.sameList(Records.seen(Records.take(second, 63)), rest, "the rest");
        }
    }

    private void secondMember() throws Exception {
        String topic = topic("rebalance");
        admin.createTopics(Set.of(new NewTopic(topic, 4, (short) 1))).all().get();
        try (Records.Member first = new Records.Member(topic, member(topic))) {
            first.owns(4);
            Records.spread(topic, "a", 100);
            Check.eventually("the first member saw all", 10, () -> first.seen().size() == 100);
            try (Records.Member second = new Records.Member(topic, member(topic))) {
                second.owns(2);
                first.owns(2);
                Records.spread(topic, "b", 100);
                Check.eventually("both together saw all", 10, () -> first.seen().size() + second.seen().size() >= 200);
                Set<String> together = new HashSet<>(first.seen());
                together.addAll(second.seen());
                Check.same(together.size(), 200, "different records");
                Check.same(second.seen().size(), 50, "records of the second member");
            }
            first.owns(4);
            Records.spread(topic, "c", 100);
            Check.eventually("the first member saw all that came later", 10,
                () -> first.seen().stream().filter(value -> value.startsWith("c")).count() == 100);
        }
    }

    private void groups() throws Exception {
        String topic = topic("groups");
        Records.produce(topic, 0, Records.plain("v", 3));
        try (Records.Member member = new Records.Member(topic, member(topic, "client.id", "me"))) {
            member.owns(1);
            ConsumerGroupDescription group = group(topic);
            Check.same(group.state().toString(), "Stable", "state");
            Check.same(group.partitionAssignor(), "range", "assignor");
            Check.same(group.members().size(), 1, "members");
            Check.same(group.members().iterator().next().clientId(), "me", "client id");
            Check.same(group.members().iterator().next().assignment().topicPartitions(),
                Set.of(new TopicPartition(topic, 0)), "assigned partitions");
            Check.fails(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(Set.of(topic)).all().get());
        }
        Check.that(isListed(topic), "not listed");
        Check.same(group(topic).state().toString(), "Empty", "state when all left");
        admin.deleteConsumerGroups(Set.of(topic)).all().get();
        Check.that(!isListed(topic), "still listed");
    }

    private ConsumerGroupDescription group(String name) throws Exception {
        return admin.describeConsumerGroups(Set.of(name)).all().get().get(name);
    }

    private boolean isListed(String name) throws Exception {
        return admin.listConsumerGroups().all().get().stream().anyMatch(group -> group.groupId().equals(name));
    }

    // --- errors ------------------------------------------------------------------------------------------------

    private void refused(Class<? extends Throwable> expected, NewTopic topic) {
        Check.fails(expected, () -> admin.createTopics(Set.of(topic)).all().get());
    }

    private void unknownTopic() {
        String absent = topic("absent");
        Check.fails(UnknownTopicOrPartitionException.class, () -> Calls.describe(admin, absent));
        Check.fails(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(Set.of(absent)).all().get());
        Check.fails(UnknownTopicOrPartitionException.class,
            () -> admin.createPartitions(Map.of(absent, NewPartitions.increaseTo(5))).all().get());
    }

    private void tooLarge() throws Exception {
        String topic = topic("too-large");
        try (KafkaProducer<String, String> producer = Records.producer("max.request.size", 5_000_000)) {
            Check.fails(RecordTooLargeException.class,
                () -> producer.send(new ProducerRecord<>(topic, "x".repeat(2_000_000))).get());
            long next = producer.send(new ProducerRecord<>(topic, "small")).get().offset();
            Check.same(next, 0L, "offset of the next record");
        }
    }

    /** A retriable error would make the client try until its time-out, and look like a broker that hangs. */
    private void transactions() {
        Object[] settings = {"transactional.id", "t", "max.block.ms", 20_000};
        try (KafkaProducer<String, String> producer = Records.producer(settings)) {
            long start = System.nanoTime();
            KafkaException refused = Check.fails(KafkaException.class, producer::initTransactions);
            long tookMs = (System.nanoTime() - start) / 1_000_000;
            boolean again = refused instanceof RetriableException || refused instanceof TimeoutException;
            Check.that(!again, "retriable: " + refused);
            Check.that(tookMs < 5000, "refused only after " + tookMs + " ms: " + refused);
        }
    }

    // --- restarts ----------------------------------------------------------------------------------------------

    private interface Event {
        void happens() throws Exception;
    }

    /** A producer and a member at work while the broker goes away; the same objects go on when it is back. */
    private void underTraffic(String name, Event event) throws Exception {
        String topic = topic(name);
        admin.createTopics(Set.of(new NewTopic(topic, 2, (short) 1))).all().get();
        try (Records.Member member = new Records.Member(topic, member(topic));
             Traffic traffic = new Traffic(topic, 2)) {
            Check.eventually("records were acknowledged and seen", 20,
                () -> traffic.acknowledged() > 300 && member.seen().size() > 100);
            event.happens();
            int before = traffic.acknowledged();
            Check.eventually("records were acknowledged afterwards", 30,
                () -> traffic.acknowledged() > before + 300);
            List<List<String>> sent = traffic.end();
            Set<String> all = new HashSet<>();
            sent.forEach(all::addAll);
            Check.eventually("the member saw every record", 30,
                () -> new HashSet<>(member.seen()).containsAll(all));
            Check.that(member.failure() == null, "the member failed: " + member.failure());
            for (int partition = 0; partition < sent.size(); partition++) {
                List<String> expected = sent.get(partition);
                Check.sameList(Records.values(Records.readFromStart(topic, partition, expected.size())), expected,
                    "partition " + partition + ": each once, in order");
                Check.same(Records.endOffset(topic, partition), (long) expected.size(), "end of " + partition);
            }
        }
    }

    /** Sends to each partition in turn, as an idempotent producer, a record every two milliseconds. */
    private static final class Traffic implements AutoCloseable {
        private final KafkaProducer<String, String> producer =
            Records.producer("enable.idempotence", "true", "acks", "all", "linger.ms", 1, "batch.size", 200,
                "delivery.timeout.ms", 55_000);
        private final List<List<String>> values = new ArrayList<>();
        private final List<Future<?>> sent = new ArrayList<>();
        private final Thread thread;
        private volatile boolean ending;

        Traffic(String topic, int partitions) {
            for (int partition = 0; partition < partitions; partition++) {
                values.add(new ArrayList<>());
            }
            thread = new Thread(() -> send(topic), "traffic");
            thread.setDaemon(true);
            thread.start();
        }

        private void send(String topic) {
            for (int at = 0; !ending; at++) {
                int partition = at % values.size();
                String value = partition + "-" + values.get(partition).size();
                values.get(partition).add(value);
                synchronized (sent) {
                    sent.add(producer.send(new ProducerRecord<>(topic, partition, "key", value)));
                }
                try {
                    Thread.sleep(2);
                } catch (InterruptedException e) {
                    return;
                }
            }
        }

        /** How many of the records were answered, with an offset or with an error; {@link #end} finds the errors. */
        int acknowledged() {
            synchronized (sent) {
                return (int) sent.stream().filter(Future::isDone).count();
            }
        }

        /** What was sent, by partition; each record was acknowledged. */
        List<List<String>> end() throws Exception {
            ending = true;
            thread.join();
            for (Future<?> answer : sent) {
                answer.get();
            }
            return values;
        }

        @Override
        public void close() {
            ending = true;
            producer.close();
        }
    }
}
