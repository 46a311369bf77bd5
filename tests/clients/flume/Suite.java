import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.flume.tools.VersionInfo;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Flume's Kafka sink and Kafka source; {@link ChannelSteps} has its Kafka channel, and restarts. */
public final class Suite {
    private static final int RECORDS = 1000;
    private static final String TOO_LARGE = "org.apache.kafka.common.errors.RecordTooLargeException";

    private Suite() {
    }

    public static void main(String[] arguments) throws Exception {
        Check check = new Check("Flume " + VersionInfo.getVersion());
        sinks(check);
        sources(check);
        check.step("groups: commit, stop and resume", Suite::resume);
        check.step("groups: second member joins and leaves", Suite::secondMember);
        ChannelSteps.all(check);
        check.end();
    }

    static void create(String topic, int partitions) throws Exception {
        try (Admin admin = Admin.create(Records.settings())) {
            admin.createTopics(Set.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        }
    }

    static long end(String topic) {
        Set<TopicPartition> partition = Collections.singleton(new TopicPartition(topic, 0));
        try (KafkaConsumer<String, String> consumer = Records.consumer()) {
            return consumer.endOffsets(partition).values().iterator().next();
        }
    }

    // --- the sink: one agent copies what it gets into a topic per setting -------------------------------------

    private static final String[][] SINKS = {
        {"none", "kafka.producer.compression.type = none"},
        {"gzip", "kafka.producer.compression.type = gzip"},
        {"snappy", "kafka.producer.compression.type = snappy"},
        {"lz4", "kafka.producer.compression.type = lz4"},
        {"zstd", "kafka.producer.compression.type = zstd"},
        {"acks 0", "kafka.producer.acks = 0"},
        {"acks 1", "kafka.producer.acks = 1"},
        {"acks all", "kafka.producer.acks = all"},
        {"idempotent", "kafka.producer.enable.idempotence = true", "kafka.producer.acks = all"},
    };

    private static String topic(String setting) {
        return "flume-" + setting.replace(' ', '-');
    }

    private static void sinks(Check check) throws Exception {
        int port = Agent.freePort();
        List<String> names = new ArrayList<>();
        StringBuilder settings = new StringBuilder(Agent.netcat(port));
        for (String[] sink : SINKS) {
            String name = "to-" + sink[0].replace(' ', '-');
            names.add(name);
            create(topic(sink[0]), 1);
            settings.append(Agent.memory(name))
                .append(Agent.kafkaSink(name, name, topic(sink[0]), Arrays.copyOfRange(sink, 1, sink.length)))
                .append("sinks." + name + ".kafka.producer.max.request.size = 5000000\n");
        }
        String all = String.join(" ", names);
        String large = "0123456789".repeat(90_000);
        try (Agent agent = new Agent("sinks", settings.toString(),
                 "sources = in", "channels = " + all, "sinks = " + all,
                 "sources.in.channels = " + all, "sources.in.interceptors = key",
                 "sources.in.interceptors.key.type = static", "sources.in.interceptors.key.key = key",
                 "sources.in.interceptors.key.value = the key");
             Agent.Netcat netcat = new Agent.Netcat(port)) {
            netcat.send(Texts.named("value", RECORDS));
            for (String[] sink : SINKS) {
                check.step("produce: " + sink[0], () -> written(topic(sink[0])));
            }
            check.step("produce: record of 900 kB", () -> {
                netcat.send(List.of(large));
                for (String[] sink : SINKS) {
                    List<String> values = Records.values(Texts.readFromStart(topic(sink[0]), RECORDS + 1));
                    Check.that(values.get(RECORDS).equals(large), "another record in " + topic(sink[0]));
                }
            });
            check.step("errors: record too large", () -> tooLarge(agent, netcat));
        }
    }

    private static void written(String topic) {
        List<ConsumerRecord<String, String>> records = Texts.readFromStart(topic, RECORDS);
        Check.same(Records.values(records), Texts.named("value", RECORDS), "values");
        records.forEach(record -> Check.same(record.key(), "the key", "key"));
    }

    /** The client lets it pass, the broker doesn't; a sink tries for ever what it can't write, and logs it. */
    private static void tooLarge(Agent agent, Agent.Netcat netcat) throws Exception {
        // Nothing that a codec could make small enough.
        byte[] noise = new byte[1_500_000];
        new Random(1).nextBytes(noise);
        netcat.send(List.of(Base64.getEncoder().encodeToString(noise)));
        Check.eventually("the agent logs: " + TOO_LARGE, 15, () -> agent.log().contains(TOO_LARGE));
        Check.that(!agent.log().contains("bytes when serialized"), "it was the client that refused it");
        for (String[] sink : SINKS) {
            Check.same(end(topic(sink[0])), RECORDS + 1L, "end of " + topic(sink[0]));
        }
    }

    // --- the source: into files -------------------------------------------------------------------------------

    /** An agent that writes what it reads from Kafka into files of its name. */
    private static Agent reading(String name, String group, String... source) throws Exception {
        return new Agent(name, "sources = in", "channels = c", "sinks = out", Agent.memory("c"),
            Agent.kafkaSource("in", "c", group, source), Agent.fileRoll("out", "c", name));
    }

    private static void seen(String name, int count, int seconds) throws Exception {
        try {
            Check.eventually(count + " lines in files", seconds, () -> Agent.lines(name).size() >= count);
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + ", but " + Agent.lines(name).size(), e);
        }
    }

    /** One agent with three sources, a step for each. */
    private static void sources(Check check) throws Exception {
        int port = Agent.freePort();
        create("flume-events", 1);
        Texts.produce("flume-beginning", "before", 500);
        for (String name : List.of("one", "two", "other")) {
            Texts.produce("flume-pattern-" + name, name, 10);
        }
        try (Agent agent = new Agent("sources", "sources = in a b c", "channels = in a b c", "sinks = out a b c",
                 Agent.memory("in"), Agent.memory("a"), Agent.memory("b"), Agent.memory("c"),
                 Agent.kafkaSource("a", "a", "flume-beginning", "kafka.topics = flume-beginning"),
                 Agent.fileRoll("a", "a", "beginning"), "sinks.a.sink.serializer = HEADER_AND_TEXT",
                 Agent.kafkaSource("b", "b", "flume-pattern", "kafka.topics.regex = ^flume-pattern-(one|two)$"),
                 Agent.fileRoll("b", "b", "pattern"),
                 Agent.netcat(port), "sources.in.channels = in", "sources.in.interceptors = site",
                 "sources.in.interceptors.site.type = static", "sources.in.interceptors.site.key = site",
                 "sources.in.interceptors.site.value = gateway",
                 Agent.kafkaSink("out", "in", "flume-events", "useFlumeEventFormat = true"),
                 Agent.kafkaSource("c", "c", "flume-events", "kafka.topics = flume-events",
                     "useFlumeEventFormat = true"),
                 Agent.fileRoll("c", "c", "events"), "sinks.c.sink.serializer = HEADER_AND_TEXT");
             Agent.Netcat netcat = new Agent.Netcat(port)) {
            netcat.send(Texts.named("event", 50));
            check.step("consume: from the beginning", Suite::fromTheBeginning);
            check.step("consume: topic pattern", Suite::pattern);
            check.step("consume: events with headers", Suite::events);
        }
    }

    /** The source goes on with what is written while it runs, and notes where each event comes from. */
    private static void fromTheBeginning() throws Exception {
        seen("beginning", 500, 30);
        Texts.produce("flume-beginning", "while", 100);
        seen("beginning", 600, 15);
        List<String> expected = Texts.named("before", 500);
        expected.addAll(Texts.named("while", 100));
        List<String> lines = Agent.lines("beginning");
        Check.same(lines.size(), 600, "lines");
        for (int at = 0; at < 600; at++) {
            String line = lines.get(at), key = "key" + (at < 500 ? at : at - 500);
            for (String part : List.of("key=" + key, "topic=flume-beginning", "partition=0", "offset=" + at)) {
                Check.that(line.matches(".*[{ ]" + part + "[,}].*"), "no " + part + " in " + line);
            }
            Check.that(line.endsWith(" " + expected.get(at)), "not " + expected.get(at) + ": " + line);
        }
    }

    private static void pattern() throws Exception {
        seen("pattern", 20, 30);
        Set<String> expected = new HashSet<>(Texts.named("one", 10));
        expected.addAll(Texts.named("two", 10));
        Check.same(new HashSet<>(Agent.lines("pattern")), expected, "lines");
    }

    /** Flume's own format, which a sink writes and a source reads: the event's headers survive. */
    private static void events() throws Exception {
        seen("events", 50, 30);
        List<String> lines = Agent.lines("events");
        for (int at = 0; at < 50; at++) {
            String line = lines.get(at);
            Check.that(line.contains("site=gateway") && line.endsWith(" event" + at), "not event " + at + ": " + line);
        }
    }

    private static long committed(String topic) throws Exception {
        try (Admin admin = Admin.create(Records.settings())) {
            OffsetAndMetadata committed = admin.listConsumerGroupOffsets(topic)
                .partitionsToOffsetAndMetadata().get().get(new TopicPartition(topic, 0));
            return committed == null ? -1 : committed.offset();
        }
    }

    private static void resume() throws Exception {
        Texts.produce("flume-resume", "first", 300);
        try (Agent agent = reading("resume", "flume-resume", "kafka.topics = flume-resume")) {
            seen("resume", 300, 30);
            // Flume commits once its channel has the events, which may be after they are in the file.
            Check.eventually("offset 300 committed", 10, () -> committed("flume-resume") == 300);
            agent.stop();
            Texts.produce("flume-resume", "second", 200);
            agent.start();
            seen("resume", 500, 30);
        }
        List<String> expected = Texts.named("first", 300);
        expected.addAll(Texts.named("second", 200));
        Check.same(Agent.lines("resume"), expected, "lines, each once and in order");
    }

    private static void secondMember() throws Exception {
        create("flume-members", 2);
        try (Agent first = reading("first", "flume-members", "kafka.topics = flume-members")) {
            Texts.produce("flume-members", "alone", 100);
            seen("first", 100, 30);
            try (Agent second = reading("second", "flume-members", "kafka.topics = flume-members")) {
                Check.eventually("the second member reads too", 30, () -> {
                    Texts.produce("flume-members", "together", 20);
                    return !Agent.lines("second").isEmpty();
                });
            }
            Texts.produce("flume-members", "again", 100);
            Check.eventually("the first member reads all again", 20,
                () -> Agent.lines("first").containsAll(Texts.named("again", 100)));
        }
        Set<String> seen = new HashSet<>(Agent.lines("first"));
        Check.that(seen.containsAll(Texts.named("alone", 100)), "records from before are missing");
        seen.addAll(Agent.lines("second"));
        Check.same(seen.stream().filter(line -> line.startsWith("together")).collect(Collectors.toSet()).size(), 20,
            "different records while there were two");
    }
}
