import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/** Jobs with a source, a map and an at-least-once sink: stopped, failing, and with the broker gone under them. */
final class JobSteps {
    private static final int PARALLELISM = 2;

    private JobSteps() {
    }

    static void all(Check check) {
        check.step("programs: source, map and sink", JobSteps::copy);
        check.step("programs: stopped with a savepoint, resumed", JobSteps::savepoint);
        check.step("restarts: job fails, resumes from its checkpoint", JobSteps::jobFails);
        if (Check.env("OTTLA_CTL").isEmpty()) {
            check.skip("restarts: broker restarted", "no broker to restart");
            check.skip("restarts: broker killed", "no broker to restart");
        } else {
            check.step("restarts: broker restarted", () -> brokerGone("restarted", "restart"));
            check.step("restarts: broker killed", () -> brokerGone("killed", "kill9", "wait", "start"));
        }
    }

    private static String out(String topic) {
        return topic + "-out";
    }

    private static void create(String topic) throws Exception {
        Suite.create(topic, Suite.PARTITIONS);
        Suite.create(out(topic), Suite.PARTITIONS);
    }

    private static Jobs.Job copying(String topic, int parallelism, int attempts, String savepoint, String poison)
            throws Exception {
        StreamExecutionEnvironment environment = Jobs.environment(topic, parallelism, attempts, savepoint);
        Jobs.read(environment, Jobs.source(topic).setStartingOffsets(OffsetsInitializer.earliest()))
            .map(new Jobs.Tap(topic, poison))
            .sinkTo(Jobs.sink(DeliveryGuarantee.AT_LEAST_ONCE, new Jobs.Copied(out(topic))).build());
        return new Jobs.Job(environment, topic);
    }

    /** The values of a topic by partition, as a plain consumer reads them up to the end as it is now. */
    private static List<List<String>> contents(String topic) {
        List<TopicPartition> partitions = new ArrayList<>();
        List<List<String>> values = new ArrayList<>();
        for (int partition = 0; partition < Suite.PARTITIONS; partition++) {
            partitions.add(new TopicPartition(topic, partition));
            values.add(new ArrayList<>());
        }
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long count = consumer.endOffsets(partitions).values().stream().mapToLong(Long::longValue).sum();
            Records.take(consumer, (int) count)
                .forEach(record -> values.get(record.partition()).add(record.value()));
        }
        return values;
    }

    private static int count(String topic) {
        return contents(topic).stream().mapToInt(List::size).sum();
    }

    /** Record for record and in order, each once: a job that did not fail writes nothing twice. */
    private static void copiedOnce(String topic) {
        List<List<String>> expected = contents(topic);
        expected.forEach(values -> values.replaceAll(value -> "copy-" + value));
        List<List<String>> copied = contents(out(topic));
        for (int partition = 0; partition < Suite.PARTITIONS; partition++) {
            String where = "copies in partition " + partition;
            Check.same(copied.get(partition).size(), expected.get(partition).size(), where);
            Check.same(copied.get(partition), expected.get(partition), where);
        }
    }

    private static void copy() throws Exception {
        String topic = Suite.prefix + "copy";
        create(topic);
        Texts.produce(topic, "early", 1000);
        try (Jobs.Job job = copying(topic, PARALLELISM, 0, null, null)) {
            job.seen(1000, 20);
            Texts.produce(topic, "late", 500);
            Check.eventually("1500 copies", 20, () -> count(out(topic)) >= 1500);
        }
        copiedOnce(topic);
    }

    private static void savepoint() throws Exception {
        String topic = Suite.prefix + "savepoint";
        create(topic);
        Texts.produce(topic, "early", 300);
        String savepoint;
        try (Jobs.Job job = copying(topic, PARALLELISM, 0, null, null)) {
            job.seen(300, 20);
            savepoint = job.stopWithSavepoint();
        }
        Texts.produce(topic, "late", 200);
        try (Jobs.Job job = copying(topic, PARALLELISM, 0, savepoint, null)) {
            job.seen(200, 20);
            Check.eventually("500 copies", 20, () -> count(out(topic)) >= 500);
        }
        copiedOnce(topic);
    }

    /** The copies since the last checkpoint are written again: at least once. */
    private static void jobFails() throws Exception {
        String topic = Suite.prefix + "fails";
        create(topic);
        Texts.produce(topic, "early", 300);
        try (Jobs.Job job = copying(topic, 1, 1, null, "poison")) {
            job.seen(300, 20);
            Thread.sleep(2 * Jobs.CHECKPOINT_MS);
            Texts.produce(topic, "poison", 1);
            Check.eventually("the job began anew", 20, () -> Jobs.Tap.openings(topic) == 2);
            Texts.produce(topic, "late", 200);
            Check.eventually("501 different copies", 20, () -> different(out(topic)).size() == 501);
        }
        Set<String> expected = new HashSet<>();
        different(topic).forEach(value -> expected.add("copy-" + value));
        Check.same(different(out(topic)), expected, "copies");
        int again = count(out(topic)) - expected.size();
        Check.that(again < 300, "it began from the start, not from a checkpoint: " + again + " written again");
    }

    private static Set<String> different(String topic) {
        Set<String> values = new HashSet<>();
        contents(topic).forEach(values::addAll);
        return values;
    }

    /**
     * Records are produced at a steady pace, the broker goes away in the middle and comes back: the same job copies
     * everything that was acknowledged. It doesn't fail of it: its clients wait.
     */
    private static void brokerGone(String name, String... verbs) throws Exception {
        String topic = Suite.prefix + name;
        create(topic);
        List<String> acknowledged;
        int copied;
        try (Jobs.Job job = copying(topic, PARALLELISM, 3, null, null);
             Feeder feeder = new Feeder(topic)) {
            job.seen(200, 20);
            for (String verb : verbs) {
                if (verb.equals("wait")) {
                    // Several checkpoints fall due, which can't be done without the broker.
                    Thread.sleep(5 * Jobs.CHECKPOINT_MS);
                } else {
                    Check.ctl(verb);
                }
            }
            int before = Jobs.Tap.seen(topic).size();
            job.seen(before + 300, 30);
            acknowledged = feeder.finish();
            Check.eventually("all copied", 20, () -> different(out(topic)).size() >= acknowledged.size());
            Check.same(Jobs.Tap.openings(topic), PARALLELISM, "tasks begun, so that the job was not restarted");
        }
        Set<String> copies = different(out(topic));
        acknowledged.forEach(value -> Check.that(copies.contains("copy-" + value), "acknowledged but lost: " + value));
        Check.that(acknowledged.size() > 400, "only " + acknowledged.size() + " records acknowledged");
        Check.same(count(topic), different(topic).size(), "records of the idempotent producer, each once");
        copiedOnce(topic);
    }

    /** A plain producer that sends a record every 5 ms, as long as it is open. */
    private static final class Feeder implements AutoCloseable {
        private final KafkaProducer<String, String> producer = Records.producer("linger.ms", 5);
        private final List<Future<RecordMetadata>> sent = new ArrayList<>();
        private final Thread thread;
        private volatile boolean closing;

        Feeder(String topic) {
            thread = new Thread(() -> feed(topic), "feeder");
            thread.setDaemon(true);
            thread.start();
        }

        private void feed(String topic) {
            try {
                while (!closing) {
                    int number = sent.size(), partition = number % Suite.PARTITIONS;
                    sent.add(producer.send(new ProducerRecord<>(topic, partition, null, "value" + number)));
                    Thread.sleep(5);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        /** Stops, and waits for every answer: each must be an acknowledgement. */
        List<String> finish() throws Exception {
            closing = true;
            thread.join();
            List<String> acknowledged = new ArrayList<>();
            for (Future<RecordMetadata> answer : sent) {
                answer.get();
                acknowledged.add("value" + acknowledged.size());
            }
            return acknowledged;
        }

        @Override
        public void close() throws Exception {
            closing = true;
            thread.join();
            producer.close();
        }
    }
}
