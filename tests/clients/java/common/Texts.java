import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

/** Records that are no more than a line of text, for programs that look at nothing else of them. */
final class Texts {
    private Texts() {}

    /** {@code <prefix>0 …}. */
    static List<String> named(String prefix, int count) {
        List<String> lines = new ArrayList<>();
        for (int at = 0; at < count; at++) {
            lines.add(prefix + at);
        }
        return lines;
    }

    /** Sends these lines, under the keys {@code key0 …}, and waits for each answer. */
    static void produce(String topic, String prefix, int count, Object... pairs) throws Exception {
        try (KafkaProducer<String, String> producer = Records.producer(pairs)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int at = 0; at < count; at++) {
                sent.add(producer.send(new ProducerRecord<>(topic, "key" + at, prefix + at)));
            }
            for (Future<RecordMetadata> answer : sent) {
                answer.get();
            }
        }
    }

    /** So many records of partition 0. */
    static List<ConsumerRecord<String, String>> readFromStart(String topic, int count, Object... pairs) {
        return Records.readFromStart(topic, 0, count, pairs);
    }
}
