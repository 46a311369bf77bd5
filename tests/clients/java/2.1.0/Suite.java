import static java.util.Collections.singleton;
import static java.util.Collections.singletonList;
import static java.util.Collections.singletonMap;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
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
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** kafka-clients 2.1.0 as programs of its time use it. */
public final class Suite {
    private static final AdminClient ADMIN = AdminClient.create(Records.settings());

    private Suite() {
    }

    public static void main(String[] arguments) {
        Check check = new Check("java 2.1.0");
        check.step("2018 tutorial: producer and consumer", Suite::tutorial);
        check.step("create topic", Suite::createTopic);
        check.step("list topics", () -> Check.that(ADMIN.listTopics().names().get().contains("java2-made"), "not listed"));
        check.step("describe topic", Suite::describeTopic);
        check.step("describe cluster", Suite::describeCluster);
        check.step("alter topic config", Suite::alterConfigs);
        check.step("add partitions", Suite::addPartitions);
        for (String codec : Arrays.asList("none", "gzip", "snappy", "lz4")) {
            check.step("produce and consume, " + codec, () -> compressed(codec));
        }
        check.step("acks 0 and 1", Suite::acks);
        check.step("idempotent producer", Suite::idempotent);
        check.step("oversized record refused", Suite::oversized);
        check.step("offsets for time", Suite::offsetsForTimes);
        check.step("commit and resume", Suite::commitAndResume);
        check.step("two consumers, rebalance", Suite::rebalance);
        check.step("describe group", Suite::describeGroup);
        check.step("list groups", Suite::listGroups);
        check.step("delete group", Suite::deleteGroup);
        check.step("delete records", Suite::deleteRecords);
        check.step("delete topic", Suite::deleteTopic);
        check.end();
    }

    /** The settings and calls are those of the producer and consumer examples printed everywhere in 2018. */
    @SuppressWarnings("deprecation")
    private static void tutorial() {
        Properties props = new Properties();
        props.put("bootstrap.servers", Check.BOOTSTRAP);
        props.put("acks", "all");
        props.put("retries", 0);
        props.put("batch.size", 16384);
        props.put("linger.ms", 1);
        props.put("buffer.memory", 33554432);
        props.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        props.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        Producer<String, String> producer = new KafkaProducer<>(props);
        for (int i = 0; i < 100; i++) {
            producer.send(new ProducerRecord<>("my-topic", Integer.toString(i), Integer.toString(i)));
        }
        producer.close();

        props = new Properties();
        props.put("bootstrap.servers", Check.BOOTSTRAP);
        props.put("group.id", "test");
        props.put("enable.auto.commit", "true");
        props.put("auto.commit.interval.ms", "1000");
        props.put("auto.offset.reset", "earliest");
        props.put("session.timeout.ms", "30000");
        props.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        props.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(props);
        consumer.subscribe(Arrays.asList("my-topic"));
        List<String> seen = new ArrayList<>();
        long end = System.currentTimeMillis() + 20_000;
        while (seen.size() < 100 && System.currentTimeMillis() < end) {
            for (ConsumerRecord<String, String> record : consumer.poll(100)) {
                seen.add(record.value());
            }
        }
        consumer.close();
        Check.same(seen, Records.named("", 100), "records read back");

        consumer = new KafkaConsumer<>(props);
        OffsetAndMetadata committed = consumer.committed(new TopicPartition("my-topic", 0));
        consumer.close();
        Check.that(committed != null && committed.offset() == 100, "auto-commit left " + committed);
    }

    private static void createTopic() throws Exception {
        NewTopic topic = new NewTopic("java2-made", 3, (short) 1).configs(singletonMap("retention.ms", "7200000"));
        ADMIN.createTopics(singleton(topic)).all().get();
        Check.fails(TopicExistsException.class, () -> ADMIN.createTopics(singleton(topic)).all().get());
    }

    private static void describeTopic() throws Exception {
        TopicDescription made = ADMIN.describeTopics(singleton("java2-made")).all().get().get("java2-made");
        Check.same(made.partitions().size(), 3, "partitions");
        Check.that(made.partitions().get(0).leader() != null, "no leader");
        Check.same(made.partitions().get(0).isr().size(), 1, "in-sync replicas");
        Check.fails(UnknownTopicOrPartitionException.class, () -> ADMIN.describeTopics(singleton("absent")).all().get());
    }

    private static void describeCluster() throws Exception {
        Check.same(ADMIN.describeCluster().nodes().get().size(), 1, "nodes");
        Check.that(!ADMIN.describeCluster().clusterId().get().isEmpty(), "no cluster id");
        Check.that(ADMIN.describeCluster().controller().get().port() > 0, "no controller");
    }

    /** Read, modify, write with the legacy AlterConfigs (33), which replaces the whole set. */
    @SuppressWarnings("deprecation")
    private static void alterConfigs() throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "java2-made");
        Config before = ADMIN.describeConfigs(singleton(topic)).all().get().get(topic);
        Check.same(before.get("retention.ms").value(), "7200000", "retention.ms as created");
        Check.that(!before.get("retention.ms").isDefault(), "retention.ms is called a default");
        Check.that(before.get("cleanup.policy").isDefault(), "cleanup.policy is not called a default");
        Config after = new Config(singletonList(new ConfigEntry("segment.bytes", "2097152")));
        ADMIN.alterConfigs(singletonMap(topic, after)).all().get();
        Check.eventually("segment.bytes is 2097152 and retention.ms is a default again", 5, () -> {
            Config seen = ADMIN.describeConfigs(singleton(topic)).all().get().get(topic);
            return seen.get("segment.bytes").value().equals("2097152") && seen.get("retention.ms").isDefault();
        });
    }

    private static void addPartitions() throws Exception {
        ADMIN.createPartitions(singletonMap("java2-made", NewPartitions.increaseTo(5))).all().get();
        Check.eventually("5 partitions", 5,
            () -> ADMIN.describeTopics(singleton("java2-made")).all().get().get("java2-made").partitions().size() == 5);
    }

    private static void compressed(String codec) throws Exception {
        String topic = "java2-" + codec;
        Records.produce(topic, "value", 500, "compression.type", codec, "linger.ms", 20);
        Check.same(Records.values(Records.readFromStart(topic, 500)), Records.named("value", 500), "records");
    }

    private static void acks() throws Exception {
        Records.produce("java2-acks", "zero", 50, "acks", "0");
        Check.eventually("50 unacknowledged records", 10, () -> endOffset("java2-acks") == 50);
        Check.same(Records.produce("java2-acks", "one", 50, "acks", "1").get(49).offset(), 99L, "offset with acks=1");
        Check.same(Records.readFromStart("java2-acks", 100).get(99).value(), "one49", "last record");
    }

    private static void idempotent() throws Exception {
        for (int turn = 0; turn < 2; turn++) {
            Records.produce("java2-idempotent", "v", 200, "enable.idempotence", "true", "batch.size", 500, "acks", "all");
        }
        Check.same(endOffset("java2-idempotent"), 400L, "end of the partition");
    }

    private static void oversized() {
        Check.fails(RecordTooLargeException.class, () -> {
            try (KafkaProducer<String, String> producer = Records.producer("max.request.size", 5_000_000)) {
                producer.send(new ProducerRecord<>("java2-large", new String(new char[2_000_000]))).get();
            }
        });
    }

    private static void offsetsForTimes() throws Exception {
        TopicPartition partition = new TopicPartition("java2-times", 0);
        try (KafkaProducer<String, String> producer = Records.producer()) {
            for (int at = 0; at < 10; at++) {
                producer.send(new ProducerRecord<>("java2-times", 0, 1_000_000L + at * 1000, "k", "v" + at));
            }
        }
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(singletonMap(partition, 1_004_500L)).get(partition);
            Check.same(found.offset(), 5L, "offset at 1004500");
            Check.same(found.timestamp(), 1_005_000L, "its timestamp");
            Check.that(consumer.offsetsForTimes(singletonMap(partition, 2_000_000L)).get(partition) == null, "an offset after the end");
            consumer.assign(singleton(partition));
            consumer.seek(partition, found.offset());
            Check.same(Records.take(consumer, 5).get(0).value(), "v5", "first record");
        }
    }

    private static void commitAndResume() throws Exception {
        Records.produce("java2-commit", "v", 100);
        TopicPartition partition = new TopicPartition("java2-commit", 0);
        Object[] settings = {"group.id", "java2-commit", "enable.auto.commit", "false", "max.poll.records", 40};
        try (KafkaConsumer<String, String> first = Records.consumer(settings)) {
            first.subscribe(singleton("java2-commit"));
            Records.take(first, 40);
            first.commitSync(singletonMap(partition, new OffsetAndMetadata(37, "as far as 37")));
        }
        try (KafkaConsumer<String, String> second = Records.consumer(settings)) {
            Check.same(second.committed(partition), new OffsetAndMetadata(37, "as far as 37"), "committed");
            second.subscribe(singleton("java2-commit"));
            List<String> rest = Records.values(Records.take(second, 63));
            Check.same(rest, Records.named("v", 100).subList(37, 100), "records of the second consumer");
        }
    }

    private static void rebalance() throws Exception {
        String topic = "java2-rebalance";
        ADMIN.createTopics(singleton(new NewTopic(topic, 4, (short) 1))).all().get();
        Object[] settings = {"group.id", topic, "heartbeat.interval.ms", 300, "session.timeout.ms", 6000, "metadata.max.age.ms", 1000};
        try (Records.Member first = new Records.Member(topic, settings)) {
            first.owns(4);
            Records.produce(topic, "a", 100);
            Check.eventually("the first member saw all", 10, () -> first.seen().size() == 100);
            try (Records.Member second = new Records.Member(topic, settings)) {
                second.owns(2);
                first.owns(2);
                Records.produce(topic, "b", 100);
                Check.eventually("both together saw all", 10, () -> first.seen().size() + second.seen().size() >= 200);
                Check.that(!second.seen().isEmpty(), "the second member saw nothing");
                Set<String> together = new HashSet<>(first.seen());
                together.addAll(second.seen());
                Check.same(together.size(), 200, "different records");
            }
            first.owns(4);
        }
    }

    private static void describeGroup() throws Exception {
        try (Records.Member member = new Records.Member("java2-made", "group.id", "java2-described", "client.id", "me")) {
            member.owns(5);
            ConsumerGroupDescription group =
                ADMIN.describeConsumerGroups(singleton("java2-described")).all().get().get("java2-described");
            Check.same(group.state().toString(), "Stable", "state");
            Check.same(group.members().size(), 1, "members");
            Check.same(group.members().iterator().next().clientId(), "me", "client id");
            Check.same(group.members().iterator().next().assignment().topicPartitions().size(), 5, "assigned partitions");
        }
        ConsumerGroupDescription empty =
            ADMIN.describeConsumerGroups(singleton("java2-described")).all().get().get("java2-described");
        Check.same(empty.state().toString(), "Empty", "state when all left");
    }

    private static void listGroups() throws Exception {
        Set<String> groups = new HashSet<>();
        ADMIN.listConsumerGroups().all().get().forEach(group -> groups.add(group.groupId()));
        Check.that(groups.containsAll(Arrays.asList("test", "java2-commit")), "listed: " + groups);
        Map<TopicPartition, OffsetAndMetadata> offsets =
            ADMIN.listConsumerGroupOffsets("java2-commit").partitionsToOffsetAndMetadata().get();
        Check.same(offsets.keySet(), singleton(new TopicPartition("java2-commit", 0)), "partitions with an offset");
    }

    private static void deleteGroup() throws Exception {
        ADMIN.deleteConsumerGroups(singleton("java2-commit")).all().get();
        Check.that(ADMIN.listConsumerGroups().all().get().stream().noneMatch(group -> group.groupId().equals("java2-commit")), "still listed");
    }

    private static void deleteRecords() throws Exception {
        Records.produce("java2-delete", "v", 20);
        TopicPartition partition = new TopicPartition("java2-delete", 0);
        long low = ADMIN.deleteRecords(singletonMap(partition, RecordsToDelete.beforeOffset(15)))
            .lowWatermarks().get(partition).get().lowWatermark();
        Check.same(low, 15L, "low watermark");
        Check.same(Records.values(Records.readFromStart("java2-delete", 5)), Records.named("v", 20).subList(15, 20), "what is left");
    }

    private static void deleteTopic() throws Exception {
        ADMIN.deleteTopics(singleton("java2-made")).all().get();
        Check.eventually("no longer listed", 10, () -> !ADMIN.listTopics().names().get().contains("java2-made"));
        ADMIN.close(5, TimeUnit.SECONDS);
    }

    private static long endOffset(String topic) {
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            return consumer.endOffsets(singleton(partition)).get(partition);
        }
    }
}
