import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.header.Headers;

/** What kafka-clients has learned by 2.5: incremental settings, static members, cooperative rebalances. */
final class Newer {
    private static final Duration LONG = Duration.ofSeconds(10);

    private final Check check;
    private final String suite;
    private final AdminClient admin = AdminClient.create(Records.settings());

    Newer(Check check, String suite) {
        this.check = check;
        this.suite = suite;
    }

    void all() {
        check.step("topics: create with the broker's defaults", this::createDefaults);
        check.step("topics: append to a setting", this::appendToSetting);
        check.step("topics: list offsets", this::listOffsets);
        check.step("topics: describe the broker's settings", this::describeBroker);
        check.step("produce: null key, null value, null header", this::nulls);
        check.step("consume: no offset and no reset", this::noReset);
        check.step("consume: position out of range is reset", this::outOfRange);
        check.step("groups: cooperative", this::cooperative);
        check.step("groups: static member", this::staticMember);
        check.step("groups: alter and delete offsets", this::offsets);
        check.step("errors: second holder of an instance id", this::fenced);
    }

    private String topic(String name) {
        return suite + "-" + name;
    }

    private String create(String name, int partitions) throws Exception {
        admin.createTopics(Set.of(new NewTopic(topic(name), partitions, (short) 1))).all().get();
        return topic(name);
    }

    private void createDefaults() throws Exception {
        String validated = topic("validated");
        CreateTopicsOptions validate = new CreateTopicsOptions().validateOnly(true);
        admin.createTopics(Set.of(new NewTopic(validated, 3, (short) 1)), validate).all().get();
        Check.that(!admin.listTopics().names().get().contains(validated), "created by validateOnly");
        NewTopic made = new NewTopic(topic("defaults"), Optional.empty(), Optional.empty());
        CreateTopicsResult created = admin.createTopics(Set.of(made.configs(Map.of("retention.ms", "7200000"))));
        Check.same(created.numPartitions(topic("defaults")).get(), 1, "partitions");
        Check.same(created.config(topic("defaults")).get().get("retention.ms").value(), "7200000", "retention.ms");
        int node = admin.describeCluster().controller().get().id();
        admin.createTopics(Set.of(new NewTopic(topic("assigned"), Map.of(0, List.of(node))))).all().get();
    }

    private void appendToSetting() throws Exception {
        String topic = create("append", 1);
        alter(topic, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
        Check.eventually("both policies", 5, () ->
            Set.of(policy(topic).split(",")).equals(Set.of("delete", "compact")));
        alter(topic, "cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT);
        Check.eventually("one policy", 5, () -> policy(topic).equals("delete"));
        alter(topic, "cleanup.policy", "", AlterConfigOp.OpType.DELETE);
        Check.eventually("a default again", 5, () -> Settings.of(admin, topic, "cleanup.policy").isDefault());
        Check.fails(InvalidConfigurationException.class,
            () -> alter(topic, "no.such.key", "1", AlterConfigOp.OpType.SET));
    }

    private String policy(String topic) throws Exception {
        return Settings.of(admin, topic, "cleanup.policy").value();
    }

    private void alter(String topic, String key, String value, AlterConfigOp.OpType operation) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry(key, value), operation);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
    }

    private void listOffsets() throws Exception {
        String topic = topic("list-offsets");
        Records.produce(topic, 0, List.of(at(1000), at(5000), at(3000)), "batch.size", 0);
        Check.same(offset(admin, topic, OffsetSpec.earliest()), "0@-1", "earliest");
        Check.same(offset(admin, topic, OffsetSpec.latest()), "3@-1", "latest");
        Check.same(offset(admin, topic, OffsetSpec.forTimestamp(2000)), "1@5000", "at or after 2000");
        Check.same(offset(admin, topic, OffsetSpec.forTimestamp(6000)), "-1@-1", "at or after 6000");
    }

    private static Records.Sent at(long timestamp) {
        return new Records.Sent("k", "v", List.of(), timestamp);
    }

    static String offset(Admin admin, String topic, OffsetSpec spec) throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        ListOffsetsResultInfo found = admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get();
        return found.offset() + "@" + found.timestamp();
    }

    private void describeBroker() throws Exception {
        String node = admin.describeCluster().controller().get().idString();
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, node);
        ConfigEntry creates =
            admin.describeConfigs(Set.of(broker)).all().get().get(broker).get("auto.create.topics.enable");
        Check.same(creates.value(), "true", "auto.create.topics.enable");
    }

    private void nulls() throws Exception {
        String topic = topic("nulls");
        try (KafkaProducer<String, String> producer = Records.producer()) {
            ProducerRecord<String, String> record = new ProducerRecord<>(topic, 0, 1_234_567L, null, "v");
            record.headers().add("one", new byte[] {1}).add("one", new byte[] {2}).add("null", null);
            producer.send(record).get();
            producer.send(new ProducerRecord<>(topic, 0, "gone", null)).get();
        }
        List<ConsumerRecord<String, String>> seen = Records.readFromStart(topic, 0, 2);
        Headers headers = seen.get(0).headers();
        Check.same(headers.toArray().length, 3, "headers");
        Check.same(headers.lastHeader("one").value()[0], (byte) 2, "last header 'one'");
        Check.that(headers.lastHeader("null").value() == null, "the null header is not null");
        Check.that(seen.get(0).key() == null, "the null key is not null");
        Check.same(seen.get(1).key(), "gone", "key of the record without a value");
        Check.that(seen.get(1).value() == null, "the null value is not null");
    }

    private void noReset() throws Exception {
        String topic = topic("no-reset");
        Records.produce(topic, 0, Records.plain("v", 1));
        Object[] settings = {"group.id", topic, "auto.offset.reset", "none"};
        try (KafkaConsumer<String, String> consumer = Records.consumer(settings)) {
            consumer.assign(Set.of(new TopicPartition(topic, 0)));
            Check.fails(NoOffsetForPartitionException.class, () -> consumer.poll(LONG));
        }
    }

    private void outOfRange() throws Exception {
        String topic = topic("range");
        TopicPartition partition = new TopicPartition(topic, 0);
        Records.produce(topic, 0, Records.plain("v", 20));
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(12))).all().get();
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            consumer.assign(Set.of(partition));
            consumer.seek(partition, 3);
            Check.same(Records.take(consumer, 8).get(0).offset(), 12L, "first offset after one that is gone");
            consumer.seek(partition, 500);
            Check.same(Records.take(consumer, 8).get(0).offset(), 12L, "first offset after one that never was");
        }
    }

    /** Incremental: who keeps a partition keeps reading it, so that only the two that move are revoked. */
    private void cooperative() throws Exception {
        String topic = create("cooperative", 4);
        Object[] settings =
            Canonical.member(topic, "partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
        try (Records.Member first = new Records.Member(topic, settings)) {
            first.owns(4);
            try (Records.Member second = new Records.Member(topic, settings)) {
                second.owns(2);
                first.owns(2);
                Check.same(first.revocations(), 2, "partitions revoked from the first member");
            }
            first.owns(4);
            Check.same(first.revocations(), 2, "partitions revoked from the first member in the end");
        }
    }

    private void staticMember() throws Exception {
        String topic = create("static", 4);
        Object[] settings = Canonical.member(topic, "group.instance.id", "one");
        Object[] others = Canonical.member(topic, "group.instance.id", "other");
        try (Records.Member other = new Records.Member(topic, others)) {
            other.owns(4);
            Set<Integer> before;
            try (Records.Member one = new Records.Member(topic, settings)) {
                one.owns(2);
                other.owns(2);
                before = one.owned();
            }
            int revocations = other.revocations();
            try (Records.Member again = new Records.Member(topic, settings)) {
                again.owns(2);
                Check.same(again.owned(), before, "partitions after coming back");
                Check.same(other.revocations(), revocations, "partitions revoked from the other member meanwhile");
            }
        }
    }

    private void fenced() throws Exception {
        String topic = create("fenced", 2);
        Object[] settings = Canonical.member(topic, "group.instance.id", "me");
        try (Records.Member first = new Records.Member(topic, settings)) {
            first.owns(2);
            try (Records.Member second = new Records.Member(topic, settings)) {
                second.owns(2);
                Check.eventually("the first holder failed", 10, () -> first.failure() != null);
                Check.same(first.failure().getClass(), FencedInstanceIdException.class, "its failure");
            }
        }
    }

    private void offsets() throws Exception {
        String topic = create("offsets", 2);
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        admin.alterConsumerGroupOffsets(topic,
            Map.of(zero, new OffsetAndMetadata(7, Optional.of(0), "seven"), one, new OffsetAndMetadata(9))).all().get();
        OffsetAndMetadata seven = committed(topic).get(zero);
        Check.same(seven.offset() + seven.metadata(), "7seven", "offset and metadata");
        Check.same(committed(topic).get(one).offset(), 9L, "offset of partition 1");
        admin.deleteConsumerGroupOffsets(topic, Set.of(zero)).all().get();
        Check.same(committed(topic).keySet(), Set.of(one), "partitions with an offset");
        try (Records.Member member = new Records.Member(topic, Canonical.member(topic))) {
            member.owns(2);
            Check.fails(GroupSubscribedToTopicException.class,
                () -> admin.deleteConsumerGroupOffsets(topic, Set.of(one)).all().get());
            Check.fails(UnknownMemberIdException.class,
                () -> admin.alterConsumerGroupOffsets(topic, Map.of(one, new OffsetAndMetadata(0))).all().get());
        }
    }

    private Map<TopicPartition, OffsetAndMetadata> committed(String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }
}
