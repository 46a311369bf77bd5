import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.header.Headers;

/** kafka-clients 4.3.0 with its defaults, which are an idempotent producer and two assignors. */
public final class Suite {
    private Suite() {
    }

    public static void main(String[] arguments) {
        Check check = new Check("java 4.3.0");
        AdminSteps.all(check);
        for (String codec : Arrays.asList("none", "gzip", "snappy", "lz4", "zstd")) {
            check.step("produce and consume, " + codec, () -> compressed(codec));
        }
        check.step("acks 0 and 1", Suite::acks);
        check.step("headers, tombstones, timestamps", Suite::headers);
        check.step("record of 900 kB", Suite::large);
        check.step("oversized record refused", Suite::oversized);
        check.step("offsets for time", Suite::offsetsForTimes);
        check.step("commit and resume", Suite::commitAndResume);
        check.step("auto.offset.reset=none", Suite::noReset);
        check.step("position out of range is reset", Suite::outOfRange);
        check.step("two consumers, rebalance", Suite::rebalance);
        check.step("cooperative-sticky rebalance", Suite::cooperative);
        check.step("static membership", Suite::staticMembership);
        check.step("second holder of an instance id fences the first", Suite::fencedInstance);
        if (Check.APACHE) {
            check.skip("transactions refused at once", "Apache Kafka has them");
        } else {
            check.step("transactions refused at once", Suite::transactions);
        }
        if (Check.env("OTTLA_CTL").isEmpty()) {
            check.skip("restart under an open producer and consumer", "no broker to restart");
        } else {
            check.step("restart under an open producer and consumer", Suite::restart);
        }
        check.end();
    }

    private static void compressed(String codec) throws Exception {
        String topic = "java4-" + codec;
        Records.produce(topic, "value", 500, "compression.type", codec, "linger.ms", 20, "batch.size", 2000);
        Check.same(Records.values(Records.readFromStart(topic, 500)), Records.named("value", 500), "records");
        Object[] committed = {"isolation.level", "read_committed"};
        Check.same(Records.readFromStart(topic, 500, committed).size(), 500, "records with read_committed");
    }

    private static void acks() throws Exception {
        Object[] plain = {"enable.idempotence", "false", "acks", "0"};
        Records.produce("java4-acks", "zero", 50, plain);
        Check.eventually("50 unacknowledged records", 10, () -> endOffset("java4-acks") == 50);
        plain[3] = "1";
        Check.same(Records.produce("java4-acks", "one", 50, plain).get(49).offset(), 99L, "offset with acks=1");
    }

    private static void headers() throws Exception {
        try (KafkaProducer<String, String> producer = Records.producer()) {
            ProducerRecord<String, String> record = new ProducerRecord<>("java4-headers", 0, 1_234_567L, null, "v");
            record.headers().add("one", "1".getBytes(StandardCharsets.UTF_8)).add("one", "2".getBytes(StandardCharsets.UTF_8));
            record.headers().add("empty", new byte[0]).add("null", null);
            producer.send(record).get();
            producer.send(new ProducerRecord<>("java4-headers", 0, "gone", null)).get();
        }
        List<ConsumerRecord<String, String>> seen = Records.readFromStart("java4-headers", 2);
        Headers headers = seen.get(0).headers();
        Check.same(headers.toArray().length, 4, "headers");
        Check.same(new String(headers.lastHeader("one").value(), StandardCharsets.UTF_8), "2", "last header 'one'");
        Check.that(headers.lastHeader("null").value() == null, "the null header is not null");
        Check.same(seen.get(0).timestamp(), 1_234_567L, "timestamp");
        Check.that(seen.get(0).key() == null, "the null key is not null");
        Check.that(seen.get(1).value() == null && "gone".equals(seen.get(1).key()), "the tombstone came back as " + seen.get(1));
    }

    private static void large() throws Exception {
        String value = "0123456789".repeat(90_000);
        try (KafkaProducer<String, String> producer = Records.producer()) {
            for (int at = 0; at < 5; at++) {
                producer.send(new ProducerRecord<>("java4-large", at + value));
            }
        }
        Check.same(Records.readFromStart("java4-large", 5).get(4).value(), "4" + value, "the fifth record");
        Object[] narrow = {"max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1000};
        Check.same(Records.readFromStart("java4-large", 5, narrow).size(), 5, "records through a narrow fetch");
    }

    private static void oversized() throws Exception {
        try (KafkaProducer<String, String> producer = Records.producer("max.request.size", 5_000_000)) {
            Check.fails(RecordTooLargeException.class,
                () -> producer.send(new ProducerRecord<>("java4-oversized", "x".repeat(2_000_000))).get());
            Check.same(producer.send(new ProducerRecord<>("java4-oversized", "small")).get().offset(), 0L, "offset of the next record");
        }
    }

    private static void offsetsForTimes() throws Exception {
        TopicPartition partition = new TopicPartition("java4-times", 0);
        try (KafkaProducer<String, String> producer = Records.producer("linger.ms", 50)) {
            for (int at = 0; at < 10; at++) {
                producer.send(new ProducerRecord<>("java4-times", 0, 1_000_000L + at * 1000, "k", "v" + at));
            }
        }
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, 1_004_500L)).get(partition);
            Check.same(found.offset() + "@" + found.timestamp(), "5@1005000", "first record at or after 1004500");
            Check.that(consumer.offsetsForTimes(Map.of(partition, 2_000_000L)).get(partition) == null, "an offset after the end");
            Check.same(consumer.beginningOffsets(Set.of(partition)).get(partition), 0L, "beginning");
            Check.same(consumer.endOffsets(Set.of(partition)).get(partition), 10L, "end");
            consumer.assign(Set.of(partition));
            consumer.seek(partition, found.offset());
            Check.same(Records.values(Records.take(consumer, 5)), Records.named("v", 10).subList(5, 10), "records from there");
        }
    }

    private static void commitAndResume() throws Exception {
        Records.produce("java4-commit", "v", 100);
        TopicPartition partition = new TopicPartition("java4-commit", 0);
        Object[] settings = {"group.id", "java4-commit", "enable.auto.commit", "false", "max.poll.records", 40};
        try (KafkaConsumer<String, String> first = Records.consumer(settings)) {
            first.subscribe(Set.of("java4-commit"));
            Records.take(first, 40);
            first.commitSync(Map.of(partition, new OffsetAndMetadata(37, "as far as 37")));
        }
        try (KafkaConsumer<String, String> second = Records.consumer(settings)) {
            OffsetAndMetadata committed = second.committed(Set.of(partition)).get(partition);
            Check.same(committed.offset() + committed.metadata(), "37as far as 37", "committed");
            second.subscribe(Set.of("java4-commit"));
            Check.same(Records.values(Records.take(second, 63)), Records.named("v", 100).subList(37, 100), "the rest");
        }
    }

    private static void noReset() throws Exception {
        Records.produce("java4-none", "v", 1);
        try (KafkaConsumer<String, String> consumer = Records.consumer("group.id", "java4-none", "auto.offset.reset", "none")) {
            consumer.assign(Set.of(new TopicPartition("java4-none", 0)));
            Check.fails(NoOffsetForPartitionException.class, () -> consumer.poll(Duration.ofSeconds(10)));
        }
    }

    private static void outOfRange() throws Exception {
        Records.produce("java4-range", "v", 20);
        TopicPartition partition = new TopicPartition("java4-range", 0);
        try (Admin admin = Admin.create(Records.settings())) {
            admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(12))).all().get();
        }
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            consumer.assign(Set.of(partition));
            consumer.seek(partition, 3);
            Check.same(Records.take(consumer, 8).get(0).offset(), 12L, "first offset after one that is gone");
            consumer.seek(partition, 500);
            Check.same(Records.take(consumer, 8).get(0).offset(), 12L, "first offset after one that never was");
        }
    }

    private static Object[] member(String group, Object... more) {
        Object[] settings = {"group.id", group, "heartbeat.interval.ms", 300, "session.timeout.ms", 6000, "auto.commit.interval.ms", 200};
        Object[] all = Arrays.copyOf(settings, settings.length + more.length);
        System.arraycopy(more, 0, all, settings.length, more.length);
        return all;
    }

    private static void create(String topic, int partitions) throws Exception {
        try (Admin admin = Admin.create(Records.settings())) {
            admin.createTopics(Set.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        }
    }

    private static void rebalance() throws Exception {
        String topic = "java4-rebalance";
        create(topic, 4);
        try (Records.Member first = new Records.Member(topic, member(topic))) {
            first.owns(4);
            Records.produce(topic, "a", 100);
            Check.eventually("the first member saw all", 10, () -> first.seen().size() == 100);
            try (Records.Member second = new Records.Member(topic, member(topic))) {
                second.owns(2);
                first.owns(2);
                Records.produce(topic, "b", 100);
                Check.eventually("both together saw all", 10, () -> first.seen().size() + second.seen().size() >= 200);
                Set<String> together = new HashSet<>(first.seen());
                together.addAll(second.seen());
                Check.same(together.size(), 200, "different records");
                Check.that(second.seen().size() > 10, "the second member saw only " + second.seen().size());
            }
            first.owns(4);
        }
    }

    /** Incremental: who keeps a partition keeps reading it, so that only the two that move are revoked. */
    private static void cooperative() throws Exception {
        String topic = "java4-cooperative";
        create(topic, 4);
        Object[] settings = member(topic, "partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
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

    private static void staticMembership() throws Exception {
        String topic = "java4-static";
        create(topic, 4);
        try (Records.Member other = new Records.Member(topic, member(topic, "group.instance.id", "other"))) {
            other.owns(4);
            Set<Integer> before;
            try (Records.Member one = new Records.Member(topic, member(topic, "group.instance.id", "one"))) {
                one.owns(2);
                other.owns(2);
                before = one.owned();
            }
            int revocations = other.revocations();
            try (Records.Member again = new Records.Member(topic, member(topic, "group.instance.id", "one"))) {
                again.owns(2);
                Check.same(again.owned(), before, "partitions after coming back");
                Check.same(other.revocations(), revocations, "partitions revoked from the other member meanwhile");
            }
        }
    }

    private static void fencedInstance() throws Exception {
        String topic = "java4-fenced";
        create(topic, 2);
        try (Records.Member first = new Records.Member(topic, member(topic, "group.instance.id", "me"))) {
            first.owns(2);
            try (Records.Member second = new Records.Member(topic, member(topic, "group.instance.id", "me"))) {
                second.owns(2);
                Check.eventually("the first holder failed", 10, () -> first.failure() != null);
                Check.same(first.failure().getClass(), FencedInstanceIdException.class, "its failure");
            }
        }
    }

    /** A retriable error would make the client try until its time-out, and look like a broker that hangs. */
    private static void transactions() {
        try (KafkaProducer<String, String> producer = Records.producer("transactional.id", "t", "max.block.ms", 20_000)) {
            long start = System.nanoTime();
            KafkaException refused = Check.fails(KafkaException.class, producer::initTransactions);
            long tookMs = (System.nanoTime() - start) / 1_000_000;
            Check.that(!(refused instanceof RetriableException) && !(refused instanceof TimeoutException), "retriable: " + refused);
            Check.that(tookMs < 5000, "refused only after " + tookMs + " ms: " + refused);
        }
    }

    private static void restart() throws Exception {
        String topic = "java4-restart";
        Records.produce(topic, "before", 10);
        try (KafkaProducer<String, String> producer = Records.producer();
             Records.Member member = new Records.Member(topic, member(topic))) {
            producer.send(new ProducerRecord<>(topic, "open0")).get();
            Check.eventually("11 records seen", 20, () -> member.seen().size() == 11);
            Thread.sleep(500);
            Check.ctl("restart");
            producer.send(new ProducerRecord<>(topic, "open1")).get();
            Check.eventually("the record after the restart seen", 30, () -> member.seen().contains("open1"));
            Check.same(member.seen().size(), 12, "records seen, each once");
            Check.that(member.failure() == null, "the member failed: " + member.failure());
        }
        Check.same(endOffset(topic), 12L, "end of the partition");
    }

    private static long endOffset(String topic) {
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            return consumer.endOffsets(Collections.singleton(partition)).get(partition);
        }
    }
}
