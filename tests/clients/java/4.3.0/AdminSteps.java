import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** What the admin client of kafka-clients 4.3.0 asks of a broker. */
final class AdminSteps {
    private static final Admin ADMIN = Admin.create(Records.settings());
    private static final ConfigResource MADE = new ConfigResource(ConfigResource.Type.TOPIC, "java4-made");

    private AdminSteps() {
    }

    static void all(Check check) {
        check.step("describe cluster", AdminSteps::describeCluster);
        check.step("create topic", AdminSteps::createTopic);
        check.step("create topic, refusals", AdminSteps::createTopicRefusals);
        check.step("list topics", () -> Check.that(ADMIN.listTopics().names().get().contains("java4-made"), "not listed"));
        check.step("describe topic", AdminSteps::describeTopic);
        check.step("alter topic config", AdminSteps::incrementalAlterConfigs);
        check.step("describe broker config", AdminSteps::describeBroker);
        check.step("add partitions", AdminSteps::addPartitions);
        check.step("describe producers", AdminSteps::describeProducers);
        check.step("list offsets", AdminSteps::listOffsets);
        check.step("delete records", AdminSteps::deleteRecords);
        check.step("describe group", AdminSteps::describeGroup);
        check.step("alter and delete group offsets", AdminSteps::groupOffsets);
        check.step("list groups", AdminSteps::listGroups);
        check.step("delete group", AdminSteps::deleteGroup);
        check.step("delete topic", AdminSteps::deleteTopic);
    }

    private static void describeCluster() throws Exception {
        DescribeClusterResult cluster = ADMIN.describeCluster();
        Check.same(cluster.nodes().get().size(), 1, "nodes");
        Check.that(!cluster.clusterId().get().isEmpty(), "no cluster id");
        Check.same(cluster.controller().get().host() + ":" + cluster.controller().get().port(), Check.BOOTSTRAP, "controller");
    }

    private static void createTopic() throws Exception {
        NewTopic topic = new NewTopic("java4-made", 3, (short) 1).configs(Map.of("retention.ms", "7200000"));
        ADMIN.createTopics(Set.of(topic), new CreateTopicsOptions().validateOnly(true)).all().get();
        Check.that(!ADMIN.listTopics().names().get().contains("java4-made"), "created by validateOnly");
        CreateTopicsResult created = ADMIN.createTopics(Set.of(topic));
        Check.same(created.numPartitions("java4-made").get(), 3, "partitions");
        Check.that(!created.topicId("java4-made").get().equals(Uuid.ZERO_UUID), "no topic id");
        Check.same(created.config("java4-made").get().get("retention.ms").value(), "7200000", "retention.ms");
        ADMIN.createTopics(Set.of(new NewTopic("defaults", Optional.empty(), Optional.empty()))).all().get();
        ADMIN.createTopics(Set.of(new NewTopic("assigned", Map.of(0, List.of(nodeId()))))).all().get();
    }

    private static int nodeId() throws Exception {
        return ADMIN.describeCluster().nodes().get().iterator().next().id();
    }

    private static void createTopicRefusals() {
        refused(TopicExistsException.class, new NewTopic("java4-made", 1, (short) 1));
        refused(InvalidTopicException.class, new NewTopic("no/slash", 1, (short) 1));
        refused(InvalidReplicationFactorException.class, new NewTopic("three", 1, (short) 3));
        refused(InvalidConfigurationException.class, new NewTopic("unknown", 1, (short) 1).configs(Map.of("no.such.key", "1")));
        refused(InvalidConfigurationException.class, new NewTopic("bad", 1, (short) 1).configs(Map.of("retention.ms", "soon")));
    }

    private static void refused(Class<? extends Throwable> expected, NewTopic topic) {
        Check.fails(expected, () -> ADMIN.createTopics(Set.of(topic)).all().get());
    }

    private static void describeTopic() throws Exception {
        TopicDescription made = ADMIN.describeTopics(Set.of("java4-made")).allTopicNames().get().get("java4-made");
        Check.same(made.partitions().size(), 3, "partitions");
        Check.same(made.partitions().get(2).leader().id(), nodeId(), "leader");
        Check.same(made.partitions().get(2).isr().size(), 1, "in-sync replicas");
        TopicCollection byId = TopicCollection.ofTopicIds(List.of(made.topicId()));
        Check.same(ADMIN.describeTopics(byId).allTopicIds().get().get(made.topicId()).name(), "java4-made", "name found by id");
        Check.fails(UnknownTopicOrPartitionException.class, () -> ADMIN.describeTopics(Set.of("absent")).allTopicNames().get());
        TopicCollection unknown = TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()));
        Check.fails(UnknownTopicIdException.class, () -> ADMIN.describeTopics(unknown).allTopicIds().get());
    }

    private static void incrementalAlterConfigs() throws Exception {
        alter(new AlterConfigOp(new ConfigEntry("segment.bytes", "2097152"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND));
        Check.eventually("the settings are changed, the others kept", 5, () ->
            value("segment.bytes").equals("2097152") && value("retention.ms").equals("7200000")
                && Set.of(value("cleanup.policy").split(",")).equals(Set.of("delete", "compact")));
        alter(new AlterConfigOp(new ConfigEntry("segment.bytes", ""), AlterConfigOp.OpType.DELETE),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.SUBTRACT));
        Check.eventually("the settings are as before", 5, () ->
            made().get("segment.bytes").isDefault() && value("cleanup.policy").equals("delete"));
        Check.that(made().get("retention.ms").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "source of retention.ms");
        Check.fails(InvalidConfigurationException.class,
            () -> alter(new AlterConfigOp(new ConfigEntry("no.such.key", "1"), AlterConfigOp.OpType.SET)));
    }

    private static void alter(AlterConfigOp... operations) throws Exception {
        ADMIN.incrementalAlterConfigs(Map.<ConfigResource, Collection<AlterConfigOp>>of(MADE, List.of(operations))).all().get();
    }

    private static Config made() throws InterruptedException, ExecutionException {
        return ADMIN.describeConfigs(Set.of(MADE)).all().get().get(MADE);
    }

    private static String value(String key) throws InterruptedException, ExecutionException {
        return made().get(key).value();
    }

    private static void describeBroker() throws Exception {
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(nodeId()));
        Config config = ADMIN.describeConfigs(Set.of(broker)).all().get().get(broker);
        Check.same(config.get("auto.create.topics.enable").value(), "true", "auto.create.topics.enable");
    }

    private static void addPartitions() throws Exception {
        ADMIN.createPartitions(Map.of("java4-made", NewPartitions.increaseTo(5))).all().get();
        Check.eventually("5 partitions", 5,
            () -> ADMIN.describeTopics(Set.of("java4-made")).allTopicNames().get().get("java4-made").partitions().size() == 5);
    }

    private static void describeProducers() throws Exception {
        Records.produce("java4-producers", "v", 7);
        TopicPartition partition = new TopicPartition("java4-producers", 0);
        List<ProducerState> active = ADMIN.describeProducers(Set.of(partition)).partitionResult(partition).get().activeProducers();
        Check.same(active.size(), 1, "active producers");
        Check.same(active.get(0).lastSequence(), 6, "last sequence");
        Check.same(active.get(0).producerEpoch(), 0, "epoch");
    }

    private static void listOffsets() throws Exception {
        try (KafkaProducer<String, String> producer = Records.producer()) {
            for (long timestamp : new long[] {1000, 5000, 3000}) {
                producer.send(new ProducerRecord<>("java4-list-offsets", 0, timestamp, "k", "v")).get();
            }
        }
        Check.same(offset(OffsetSpec.earliest()), "0@-1", "earliest");
        Check.same(offset(OffsetSpec.latest()), "3@-1", "latest");
        Check.same(offset(OffsetSpec.maxTimestamp()), "1@5000", "largest timestamp");
        Check.same(offset(OffsetSpec.forTimestamp(2000)), "1@5000", "at or after 2000");
        Check.same(offset(OffsetSpec.forTimestamp(6000)), "-1@-1", "at or after 6000");
    }

    private static String offset(OffsetSpec spec) throws Exception {
        TopicPartition partition = new TopicPartition("java4-list-offsets", 0);
        ListOffsetsResultInfo found = ADMIN.listOffsets(Map.of(partition, spec)).partitionResult(partition).get();
        return found.offset() + "@" + found.timestamp();
    }

    private static void deleteRecords() throws Exception {
        Records.produce("java4-delete", "v", 20);
        TopicPartition partition = new TopicPartition("java4-delete", 0);
        long low = ADMIN.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(15)))
            .lowWatermarks().get(partition).get().lowWatermark();
        Check.same(low, 15L, "low watermark");
        Check.same(Records.values(Records.readFromStart("java4-delete", 5)), Records.named("v", 20).subList(15, 20), "what is left");
    }

    private static void describeGroup() throws Exception {
        try (Records.Member member = new Records.Member("java4-made", "group.id", "java4-described", "client.id", "me")) {
            member.owns(5);
            ConsumerGroupDescription group = group("java4-described");
            Check.same(group.groupState(), GroupState.STABLE, "state");
            Check.same(group.partitionAssignor(), "range", "assignor");
            Check.same(group.members().size(), 1, "members");
            Check.same(group.members().iterator().next().clientId(), "me", "client id");
            Check.same(group.members().iterator().next().assignment().topicPartitions().size(), 5, "assigned partitions");
            Check.fails(GroupNotEmptyException.class, () -> ADMIN.deleteConsumerGroups(Set.of("java4-described")).all().get());
            Check.fails(GroupSubscribedToTopicException.class, () ->
                ADMIN.deleteConsumerGroupOffsets("java4-described", Set.of(new TopicPartition("java4-made", 0))).all().get());
            Check.fails(UnknownMemberIdException.class, () ->
                ADMIN.alterConsumerGroupOffsets("java4-described", Map.of(new TopicPartition("java4-made", 0), new OffsetAndMetadata(0))).all().get());
        }
        Check.same(group("java4-described").groupState(), GroupState.EMPTY, "state when all left");
        Check.that(isAbsent("absent"), "a group that is not there is described");
    }

    /** An error since version 6 of DescribeGroups, a state before. */
    private static boolean isAbsent(String name) throws Exception {
        try {
            return group(name).groupState() == GroupState.DEAD;
        } catch (ExecutionException e) {
            return e.getCause() instanceof GroupIdNotFoundException;
        }
    }

    private static ConsumerGroupDescription group(String name) throws Exception {
        return ADMIN.describeConsumerGroups(Set.of(name)).all().get().get(name);
    }

    private static void groupOffsets() throws Exception {
        TopicPartition zero = new TopicPartition("java4-made", 0);
        TopicPartition one = new TopicPartition("java4-made", 1);
        ADMIN.alterConsumerGroupOffsets("java4-offsets",
            Map.of(zero, new OffsetAndMetadata(7, Optional.of(0), "seven"), one, new OffsetAndMetadata(9))).all().get();
        Map<TopicPartition, OffsetAndMetadata> seen = offsets();
        Check.same(seen.get(zero).offset() + seen.get(zero).metadata(), "7seven", "offset and metadata");
        Check.same(seen.get(one).offset(), 9L, "offset of partition 1");
        ADMIN.deleteConsumerGroupOffsets("java4-offsets", Set.of(zero)).all().get();
        Check.same(offsets().keySet(), Set.of(one), "partitions with an offset");
    }

    private static Map<TopicPartition, OffsetAndMetadata> offsets() throws Exception {
        return ADMIN.listConsumerGroupOffsets("java4-offsets").partitionsToOffsetAndMetadata().get();
    }

    private static void listGroups() throws Exception {
        Check.that(groups(new ListGroupsOptions()).containsAll(List.of("java4-described", "java4-offsets")), "not listed");
        Check.that(groups(ListGroupsOptions.forConsumerGroups()).contains("java4-described"), "not listed as a consumer group");
        ListGroupsOptions stable = new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE));
        Check.that(!groups(stable).contains("java4-described"), "an empty group is listed as stable");
    }

    private static List<String> groups(ListGroupsOptions options) throws Exception {
        return new ArrayList<>(ADMIN.listGroups(options).all().get()).stream()
            .map(group -> group.groupId()).collect(Collectors.toList());
    }

    private static void deleteGroup() throws Exception {
        ADMIN.deleteConsumerGroups(Set.of("java4-offsets")).all().get();
        Check.that(!groups(new ListGroupsOptions()).contains("java4-offsets"), "still listed");
        Check.fails(GroupIdNotFoundException.class, () -> ADMIN.deleteConsumerGroups(Set.of("java4-offsets")).all().get());
    }

    private static void deleteTopic() throws Exception {
        Uuid first = ADMIN.describeTopics(Set.of("java4-made")).allTopicNames().get().get("java4-made").topicId();
        ADMIN.deleteTopics(TopicCollection.ofTopicIds(List.of(first))).all().get();
        ADMIN.deleteTopics(Set.of("assigned")).all().get();
        Check.fails(UnknownTopicOrPartitionException.class, () -> ADMIN.deleteTopics(Set.of("assigned")).all().get());
        Check.eventually("no longer listed", 10, () -> !ADMIN.listTopics().names().get().contains("java4-made"));
        ADMIN.createTopics(Set.of(new NewTopic("java4-made", 1, (short) 1))).all().get();
        Check.that(!ADMIN.describeTopics(Set.of("java4-made")).allTopicNames().get().get("java4-made").topicId().equals(first), "the same id again");
    }
}
