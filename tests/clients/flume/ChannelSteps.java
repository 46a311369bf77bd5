import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

/**
 * An agent whose channels are topics: netcat source → channel → files, and Kafka source → channel → Kafka sink.
 * Nothing that a source took may be missing behind the sink, whoever goes away; it may come twice.
 */
final class ChannelSteps {
    private final int port = Agent.freePort();
    private final String name;

    private ChannelSteps(String name) throws Exception {
        this.name = name;
        Suite.create(topic("in"), 2);
        Suite.create(topic("out"), 1);
        Suite.create(topic("lines"), 1);
        Suite.create(topic("between"), 1);
    }

    /** One agent for all steps: those in which it goes away itself come last. */
    static void all(Check check) throws Exception {
        ChannelSteps steps = new ChannelSteps("channels");
        try (Agent agent = steps.agent()) {
            check.step("programs: netcat, Kafka channel, files", steps::lines);
            check.step("programs: Kafka source, Kafka channel, Kafka sink", steps::copy);
            if (Check.env("OTTLA_CTL").isEmpty()) {
                check.skip("restarts: broker restarted", "no broker to restart");
                check.skip("restarts: broker killed", "no broker to restart");
            } else {
                check.step("restarts: broker restarted", () -> steps.brokerGone("restarted", "restart"));
                check.step("restarts: broker killed", () -> steps.brokerGone("killed", "kill9", "start"));
            }
            check.step("restarts: agent restarted", () -> steps.agentGone("agent-restarted", agent, Agent::stop));
            check.step("restarts: agent killed", () -> steps.agentGone("agent-killed", agent, Agent::kill));
        }
    }

    private String topic(String role) {
        return "flume-" + name + "-" + role;
    }

    private Agent agent() throws Exception {
        // A Kafka source notes the topic in a header, and a Kafka sink goes by it unless it is told not to.
        String[] sure = {"kafka.producer.acks = all", "kafka.producer.enable.idempotence = true"};
        return new Agent(name, "sources = in kafka", "channels = lines between", "sinks = files kafka",
            Agent.netcat(port), "sources.in.channels = lines", Agent.kafkaChannel("lines", topic("lines"), sure),
            Agent.fileRoll("files", "lines", name),
            Agent.kafkaSource("kafka", "between", topic("in"), "kafka.topics = " + topic("in")),
            Agent.kafkaChannel("between", topic("between"), sure),
            Agent.kafkaSink("kafka", "between", topic("out"), sure), "sinks.kafka.allowTopicOverride = false");
    }

    private List<String> copies() {
        return Records.values(Texts.readFromStart(topic("out"), (int) Suite.end(topic("out"))));
    }

    private void lines() throws Exception {
        Texts.produce(topic("in"), "record", 500);
        try (Agent.Netcat netcat = new Agent.Netcat(port)) {
            netcat.send(Texts.named("line", 500));
            Check.eventually("500 lines", 30, () -> Agent.lines(name).size() >= 500);
        }
        Check.same(Agent.lines(name), Texts.named("line", 500), "lines");
        Check.same(Suite.end(topic("lines")), 500L, "records in the channel");
    }

    /** What was written in the step before. */
    private void copy() throws Exception {
        Check.eventually("500 copies", 30, () -> Suite.end(topic("out")) >= 500);
        List<String> copies = copies();
        Check.same(copies.size(), 500, "copies");
        Check.same(new HashSet<>(copies), new HashSet<>(Texts.named("record", 500)), "copies");
    }

    interface Going {
        void go(Agent agent) throws Exception;
    }

    private void agentGone(String step, Agent agent, Going going) throws Exception {
        try (Lines lines = new Lines(port, step); Feeder feeder = new Feeder(topic("in"), step)) {
            underWay(step);
            going.go(agent);
            agent.start();
            arrived(lines, feeder);
        }
    }

    private void brokerGone(String step, String... verbs) throws Exception {
        long before = Suite.end(topic("lines"));
        try (Lines lines = new Lines(port, step); Feeder feeder = new Feeder(topic("in"), step)) {
            underWay(step);
            for (String verb : verbs) {
                Check.ctl(verb);
            }
            List<String> acknowledged = arrived(lines, feeder);
            // The channel's producer is idempotent and was not restarted: what it wrote is there once.
            Check.same(Suite.end(topic("lines")) - before, (long) acknowledged.size(), "records in the channel");
        }
    }

    private static long count(List<String> values, String step) {
        return values.stream().filter(value -> value.startsWith(step)).count();
    }

    private void underWay(String step) throws Exception {
        Check.eventually("100 lines and 100 copies", 30,
            () -> count(Agent.lines(name), step) >= 100 && count(copies(), step) >= 100);
    }

    /** Both feeders go on for a while; then all that was acknowledged must come out at the end. */
    private List<String> arrived(Lines lines, Feeder feeder) throws Exception {
        int before = lines.count();
        Check.eventually("100 more lines taken", 30, () -> lines.count() >= before + 100);
        List<String> told = lines.finish();
        List<String> sent = feeder.finish();
        Check.eventually("every acknowledged line in the files", 30,
            () -> new HashSet<>(Agent.lines(name)).containsAll(told));
        Check.eventually("every acknowledged record copied", 30, () -> new HashSet<>(copies()).containsAll(sent));
        Check.that(told.size() >= 200, "only " + told.size() + " lines");
        Check.that(sent.size() >= 200, "only " + sent.size() + " records");
        return told;
    }

    /** Something that is fed, one after the other, until it is told to finish. */
    private abstract static class Feeding implements AutoCloseable {
        private final Thread thread = new Thread(this::feed, "feeder");
        private volatile boolean closing;
        private volatile Exception failure;

        abstract void one() throws Exception;

        void begin() {
            thread.setDaemon(true);
            thread.start();
        }

        private void feed() {
            try {
                while (!closing) {
                    one();
                    Thread.sleep(5);
                }
            } catch (Exception e) {
                failure = e;
            }
        }

        void end() throws Exception {
            closing = true;
            thread.join(40_000);
            Check.that(!thread.isAlive(), "the feeder hangs");
            if (failure != null) {
                throw new AssertionError("the feeder failed", failure);
            }
        }
    }

    /** Lines to the netcat source; a line that was not answered with OK does not count, and is not sent again. */
    private static final class Lines extends Feeding {
        private final List<String> acknowledged = new ArrayList<>();
        private final int port;
        private final String prefix;
        private Agent.Netcat netcat;
        private int number;

        Lines(int port, String step) {
            this.port = port;
            prefix = step + "-line";
            begin();
        }

        @Override
        void one() throws Exception {
            String line = prefix + number++;
            try {
                if (netcat == null) {
                    netcat = new Agent.Netcat(port);
                }
                netcat.send(List.of(line));
            } catch (IOException | AssertionError e) {
                // The agent is gone: a new connection when it is back.
                closeConnection();
                return;
            }
            synchronized (acknowledged) {
                acknowledged.add(line);
            }
        }

        int count() {
            synchronized (acknowledged) {
                return acknowledged.size();
            }
        }

        List<String> finish() throws Exception {
            end();
            return acknowledged;
        }

        private void closeConnection() throws IOException {
            if (netcat != null) {
                netcat.close();
                netcat = null;
            }
        }

        @Override
        public void close() throws Exception {
            end();
            closeConnection();
        }
    }

    /** Records to the topic that the Kafka source reads. */
    private static final class Feeder extends Feeding {
        private final KafkaProducer<String, String> producer =
            Records.producer("linger.ms", 5, "enable.idempotence", "true", "acks", "all");
        private final List<Future<RecordMetadata>> sent = new ArrayList<>();
        private final String topic;
        private final String prefix;

        Feeder(String topic, String step) {
            this.topic = topic;
            prefix = step + "-record";
            begin();
        }

        @Override
        void one() {
            int number = sent.size();
            sent.add(producer.send(new ProducerRecord<>(topic, number % 2, null, prefix + number)));
        }

        List<String> finish() throws Exception {
            end();
            for (Future<RecordMetadata> answer : sent) {
                answer.get();
            }
            return Texts.named(prefix, sent.size());
        }

        @Override
        public void close() throws Exception {
            end();
            producer.close();
        }
    }
}
