import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.utils.AppInfoParser;

/** kafka-clients 2.1.0 as programs of its time use it. */
public final class Suite {
    private Suite() {
    }

    public static void main(String[] arguments) {
        Check check = new Check("Java kafka-clients " + AppInfoParser.getVersion());
        new Canonical(check, arguments[0]).all();
        check.step("topics: legacy alter replaces all settings", () -> legacyAlter(arguments[0] + "-legacy"));
        check.step("programs: the tutorial of 2018", () -> tutorial(arguments[0] + "-tutorial"));
        check.end();
    }

    private static void legacyAlter(String topic) throws Exception {
        try (AdminClient admin = AdminClient.create(Records.settings())) {
            NewTopic made = new NewTopic(topic, 1, (short) 1).configs(Map.of("retention.ms", "7200000"));
            admin.createTopics(Set.of(made)).all().get();
            Calls.alter(admin, topic, "segment.bytes", "2097152");
            Check.eventually("retention.ms is a default again", 5,
                () -> Settings.of(admin, topic, "retention.ms").isDefault());
            Check.same(Settings.of(admin, topic, "segment.bytes").value(), "2097152", "segment.bytes");
        }
    }

    /** The settings and calls are those of the producer and consumer examples printed everywhere in 2018. */
    @SuppressWarnings("deprecation")
    private static void tutorial(String topic) {
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
            producer.send(new ProducerRecord<>(topic, Integer.toString(i), Integer.toString(i)));
        }
        producer.close();

        props = new Properties();
        props.put("bootstrap.servers", Check.BOOTSTRAP);
        props.put("group.id", topic);
        props.put("enable.auto.commit", "true");
        props.put("auto.commit.interval.ms", "1000");
        props.put("auto.offset.reset", "earliest");
        props.put("session.timeout.ms", "30000");
        props.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        props.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(props);
        consumer.subscribe(Arrays.asList(topic));
        List<String> seen = new ArrayList<>();
        List<String> expected = new ArrayList<>();
        long end = System.currentTimeMillis() + 20_000;
        while (seen.size() < 100 && System.currentTimeMillis() < end) {
            for (ConsumerRecord<String, String> record : consumer.poll(100)) {
                expected.add(Integer.toString(expected.size()));
                seen.add(record.value());
            }
        }
        consumer.close();
        Check.sameList(seen, expected, "records read back");
        Check.same(seen.size(), 100, "how many");

        consumer = new KafkaConsumer<>(props);
        OffsetAndMetadata committed = consumer.committed(new TopicPartition(topic, 0));
        consumer.close();
        Check.that(committed != null && committed.offset() == 100, "auto-commit left " + committed);
    }
}
