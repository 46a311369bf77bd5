import static java.nio.charset.StandardCharsets.UTF_8;

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

    /** A record as a program knows it; {@code toString} shortens what is long. */
    record Sent(String key, String value, List<String> headers, long timestamp) {
        static Sent of(ConsumerRecord<String, String> record) {
            List<String> headers = new ArrayList<>();
            record.headers().forEach(header -> headers.add(header.key() + "=" + new String(header.value(), UTF_8)));
            return new Sent(record.key(), record.value(), headers, record.timestamp());
        }

        ProducerRecord<String, String> to(String topic, int partition) {
            ProducerRecord<String, String> record = new ProducerRecord<>(topic, partition, timestamp, key, value);
            for (String header : headers) {
                String[] parts = header.split("=", 2);
                record.headers().add(parts[0], parts[1].getBytes(UTF_8));
            }
            return record;
        }

        @Override
        public String toString() {
            String shown = value.length() <= 60 ? value : value.substring(0, 60) + "… (" + value.length() + ")";
            return key + " " + shown + " " + headers + " @" + timestamp;
        }
    }

    /** Records with keys and two headers, short ones and longer ones, a millisecond apart. */
    static List<Sent> many(int count) {
        long start = System.currentTimeMillis() - count;
        List<Sent> records = new ArrayList<>();
        for (int at = 0; at < count; at++) {
            String value = "value " + at + " " + "reading ".repeat(at % 11 * at % 31);
            records.add(new Sent("key" + at % 17, value, List.of("number=" + at, "empty="), start + at));
        }
        return records;
    }

    static List<Sent> plain(String prefix, int count) {
        List<Sent> records = new ArrayList<>();
        for (int at = 0; at < count; at++) {
            records.add(new Sent("key" + at, prefix + at, List.of(), 1_700_000_000_000L + at));
        }
        return records;
    }

    /** Sends and waits for each answer; with acks=0 an answer has no offset. */
    static void produce(String topic, int partition, List<Sent> records, Object... pairs) throws Exception {
        try (KafkaProducer<String, String> producer = producer(pairs)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (Sent record : records) {
                sent.add(producer.send(record.to(topic, partition)));
            }
            for (int at = 0; at < sent.size(); at++) {
                RecordMetadata answer = sent.get(at).get();
                Check.that(!answer.hasOffset() || answer.partition() == partition, "answered for " + answer);
            }
        }
    }

    /** Values {@code <prefix>0 …}, to the four partitions of a topic in turn. */
    static void spread(String topic, String prefix, int count) throws Exception {
        try (KafkaProducer<String, String> producer = producer()) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int at = 0; at < count; at++) {
                sent.add(producer.send(new ProducerRecord<>(topic, at % 4, "key", prefix + at)));
            }
            for (Future<RecordMetadata> answer : sent) {
                answer.get();
            }
        }
    }

    /** What comes from the consumer's position, until {@code count} records came or 15 s went by. */
    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> taken = new ArrayList<>();
        long end = System.currentTimeMillis() + 15_000;
        while (taken.size() < count && System.currentTimeMillis() < end) {
            consumer.poll(Duration.ofMillis(100)).forEach(taken::add);
        }
        Check.that(taken.size() >= count, "expected " + count + " records, seen " + taken.size() + " in 15 s");
        return taken;
    }

    static List<ConsumerRecord<String, String>> readFromStart(String topic, int partition, int count, Object... pairs) {
        try (KafkaConsumer<String, String> consumer = consumer(pairs)) {
            consumer.assign(Set.of(new TopicPartition(topic, partition)));
            consumer.seekToBeginning(consumer.assignment());
            return take(consumer, count);
        }
    }

    static long endOffset(String topic, int partition) {
        TopicPartition at = new TopicPartition(topic, partition);
        try (KafkaConsumer<String, String> consumer = consumer()) {
            return consumer.endOffsets(Set.of(at)).get(at);
        }
    }

    static List<Sent> seen(List<ConsumerRecord<String, String>> records) {
        List<Sent> seen = new ArrayList<>();
        records.forEach(record -> seen.add(Sent.of(record)));
        return seen;
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
