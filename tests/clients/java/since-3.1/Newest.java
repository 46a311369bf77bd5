import java.util.List;
import java.util.Set;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnsupportedVersionException;

/** What kafka-clients has learned by 3.9: topic ids, the state of producers, and the group protocol of KIP-848. */
final class Newest {
    private final Check check;
    private final String suite;
    private final AdminClient admin = AdminClient.create(Records.settings());

    Newest(Check check, String suite) {
        this.check = check;
        this.suite = suite;
    }

    void all() {
        check.step("topics: describe and delete by id", this::byId);
        check.step("topics: offset of the largest timestamp", this::largestTimestamp);
        check.step("topics: describe producers", this::describeProducers);
        if (Check.APACHE) {
            check.skip("errors: group protocol of KIP-848 refused", "Apache Kafka 4 has it");
        } else {
            check.step("errors: group protocol of KIP-848 refused", this::newGroupProtocol);
        }
    }

    private void byId() throws Exception {
        String name = suite + "-by-id";
        Uuid id = admin.createTopics(Set.of(new NewTopic(name, 1, (short) 1))).topicId(name).get();
        Check.that(!id.equals(Uuid.ZERO_UUID), "no topic id");
        TopicCollection one = TopicCollection.ofTopicIds(List.of(id));
        TopicDescription found = admin.describeTopics(one).allTopicIds().get().get(id);
        Check.same(found.name(), name, "name found by id");
        Check.same(found.topicId(), id, "id in the description");
        TopicCollection unknown = TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()));
        Check.fails(UnknownTopicIdException.class, () -> admin.describeTopics(unknown).allTopicIds().get());
        admin.deleteTopics(one).all().get();
        Check.fails(UnknownTopicOrPartitionException.class, () -> Calls.describe(admin, name));
        Uuid second = admin.createTopics(Set.of(new NewTopic(name, 1, (short) 1))).topicId(name).get();
        Check.that(!second.equals(id), "the same id again");
    }

    private void largestTimestamp() throws Exception {
        String topic = suite + "-largest";
        List<Records.Sent> sent = List.of(at(1000), at(5000), at(3000));
        Records.produce(topic, 0, sent, "batch.size", 0);
        Check.same(Newer.offset(admin, topic, OffsetSpec.maxTimestamp()), "1@5000", "largest timestamp");
    }

    private static Records.Sent at(long timestamp) {
        return new Records.Sent("k", "v", List.of(), timestamp);
    }

    private void describeProducers() throws Exception {
        String topic = suite + "-producers";
        Records.produce(topic, 0, Records.plain("v", 7));
        TopicPartition partition = new TopicPartition(topic, 0);
        List<ProducerState> active =
            admin.describeProducers(Set.of(partition)).partitionResult(partition).get().activeProducers();
        Check.same(active.size(), 1, "active producers");
        Check.same(active.get(0).lastSequence(), 6, "last sequence");
        Check.same(active.get(0).producerEpoch(), 0, "epoch");
    }

    /** Asked for by a setting; the client then has to be told at once, not after its time-out. */
    private void newGroupProtocol() {
        try (KafkaConsumer<String, String> consumer =
                 Records.consumer("group.id", suite + "-848", "group.protocol", "consumer")) {
            consumer.subscribe(Set.of(suite + "-producers"));
            Check.fails(UnsupportedVersionException.class, () -> Records.take(consumer, 1));
        }
    }
}
