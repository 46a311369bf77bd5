import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Producing and reading back, in the calls that kafka-clients 2.1.0 and 4.3.0 have in common. */
final class Records {
    private Records() {
    }

    /** Pairs of names and values on top of the bootstrap address and time limits for tests. */
    static Properties settings(Object... pairs) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", Check.BOOTSTRAP);
        settings.put("request.timeout.ms", "15000");
        for (int at = 0; at < pairs.length; at += 2) {
            settings.put(pairs[at], pairs[at + 1].toString());
        }
        return settings;
    }

    static KafkaProducer<String, String> producer(Object... pairs) {
        Properties settings = settings(pairs);
        settings.putIfAbsent("delivery.timeout.ms", "30000");
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(Object... pairs) {
        Properties settings = settings("default.api.timeout.ms", 20_000, "auto.offset.reset", "earliest");
        settings.putAll(Records.settings(pairs));
        if (!settings.containsKey("group.id")) {
            settings.put("enable.auto.commit", "false");
        }
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    /** Sends {@code count} records {@code <prefix>0 …}, one key per value, and waits for each answer. */
    static List<RecordMetadata> produce(String topic, String prefix, int count, Object... pairs) throws Exception {
        try (KafkaProducer<String, String> producer = producer(pairs)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int at = 0; at < count; at++) {
                sent.add(producer.send(new ProducerRecord<>(topic, "key" + at, prefix + at)));
            }
            List<RecordMetadata> answers = new ArrayList<>();
            for (Future<RecordMetadata> answer : sent) {
                answers.add(answer.get());
            }
            return answers;
        }
    }

    static List<String> named(String prefix, int count) {
        List<String> values = new ArrayList<>();
        for (int at = 0; at < count; at++) {
            values.add(prefix + at);
        }
        return values;
    }

    /** Partition 0 from the consumer's position, until {@code count} records came or 15 s went by. */
    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> taken = new ArrayList<>();
        long end = System.currentTimeMillis() + 15_000;
        while (taken.size() < count && System.currentTimeMillis() < end) {
            consumer.poll(Duration.ofMillis(100)).forEach(taken::add);
        }
        Check.that(taken.size() >= count, "expected " + count + " records, seen " + taken.size() + " in 15 s");
        return taken;
    }

    static List<ConsumerRecord<String, String>> readFromStart(String topic, int count, Object... pairs) {
        try (KafkaConsumer<String, String> consumer = consumer(pairs)) {
            consumer.assign(Collections.singletonList(new TopicPartition(topic, 0)));
            consumer.seekToBeginning(consumer.assignment());
            return take(consumer, count);
        }
    }

    static List<String> values(List<ConsumerRecord<String, String>> records) {
        List<String> values = new ArrayList<>();
        records.forEach(record -> values.add(record.value()));
        return values;
    }

    /** A consumer of a group on a thread of its own, as a program of its own would be. */
    static final class Member implements AutoCloseable, ConsumerRebalanceListener {
        private final KafkaConsumer<String, String> consumer;
        private final Thread thread;
        private final Set<Integer> owned = new TreeSet<>();
        private final List<String> seen = new ArrayList<>();
        private int revocations;
        private volatile boolean closing;
        private volatile Throwable failure;

        Member(String topic, Object... pairs) {
            consumer = consumer(pairs);
            thread = new Thread(() -> poll(topic), "member");
            thread.setDaemon(true);
            thread.start();
        }

        private void poll(String topic) {
            try {
                consumer.subscribe(Collections.singletonList(topic), this);
                while (!closing) {
                    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(50))) {
                        synchronized (this) {
                            seen.add(record.value());
                        }
                    }
                }
            } catch (RuntimeException e) {
                failure = e;
            } finally {
                consumer.close();
            }
        }

        @Override
        public synchronized void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> owned.add(partition.partition()));
        }

        @Override
        public synchronized void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            revocations += partitions.size();
            partitions.forEach(partition -> owned.remove(partition.partition()));
        }

        synchronized Set<Integer> owned() {
            return new TreeSet<>(owned);
        }

        synchronized List<String> seen() {
            return new ArrayList<>(seen);
        }

        synchronized int revocations() {
            return revocations;
        }

        Throwable failure() {
            return failure;
        }

        void owns(int count) throws Exception {
            Check.eventually("a member owns " + count + " partitions", 20, () -> {
                Check.that(failure == null, "the member failed: " + failure);
                return owned().size() == count;
            });
        }

        @Override
        public void close() {
            closing = true;
            try {
                thread.join(20_000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
