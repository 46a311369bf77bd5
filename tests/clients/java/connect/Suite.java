import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.utils.AppInfoParser;

/** Kafka Connect: a file's lines go into a topic, and the topic's records into another file. */
public final class Suite {
    private final String topic;
    private final Path directory;
    private final Path in;
    private final Path out;
    private final List<String> written = new ArrayList<>();

    /** The worker that goes on from one step to the next. */
    private Worker running;

    private Suite(String topic) throws Exception {
        this.topic = topic;
        directory = Files.createTempDirectory(topic);
        in = Files.createFile(directory.resolve("in.txt"));
        out = directory.resolve("out.txt");
        try (AdminClient admin = AdminClient.create(Records.settings())) {
            admin.createTopics(Set.of(new NewTopic(topic, 1, (short) 1))).all().get();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Check check = new Check("Kafka Connect " + AppInfoParser.getVersion());
        Suite standalone = new Suite(arguments[0] + "-standalone");
        check.step("programs: standalone, file source and sink", standalone::sourceAndSink);
        check.step("programs: standalone, restarted", standalone::restarted);
        check.restartStep("restarts: broker restarted", () -> standalone.across(() -> Check.ctl("restart")));
        check.restartStep("restarts: broker killed", () -> standalone.across(() -> {
            Check.ctl("kill9");
            Check.ctl("start");
        }));
        standalone.end();
        Suite distributed = new Suite(arguments[0] + "-distributed");
        check.step("programs: distributed, file source and sink", distributed::distributed);
        check.step("programs: distributed, restarted", distributed::distributedRestarted);
        check.end();
    }

    private void end() throws Exception {
        if (running != null) {
            running.close();
        }
    }

    private void write(int count) throws Exception {
        List<String> lines = new ArrayList<>();
        for (int at = 0; at < count; at++) {
            lines.add("line " + (written.size() + at));
        }
        Files.write(in, lines, StandardOpenOption.APPEND);
        written.addAll(lines);
    }

    private List<String> read() throws Exception {
        return Files.exists(out) ? Files.readAllLines(out) : List.of();
    }

    /** Every line once and in order, in the topic as in the sink's file. */
    private void copied() throws Exception {
        Check.eventually("the sink wrote every line", 20, () -> read().size() >= written.size());
        List<String> values = Records.values(Records.readFromStart(topic, 0, written.size()));
        Check.sameList(values, written, "records of the topic");
        Check.sameList(read(), written, "lines of the sink's file");
        Check.same(Records.endOffset(topic, 0), (long) written.size(), "end of the partition");
    }

    // --- standalone ----------------------------------------------------------------------------------------------

    private Worker standalone() throws Exception {
        Path source = Files.write(directory.resolve("source.properties"), List.of("name=source",
            "connector.class=FileStreamSource", "tasks.max=1", "file=" + in, "topic=" + topic));
        Path sink = Files.write(directory.resolve("sink.properties"), List.of("name=" + topic + "-sink",
            "connector.class=FileStreamSink", "tasks.max=1", "file=" + out, "topics=" + topic));
        return Worker.standalone(directory, source, sink).runs("source").runs(topic + "-sink");
    }

    private void sourceAndSink() throws Exception {
        write(500);
        try (Worker worker = standalone()) {
            copied();
            write(500);
            copied();
        }
    }

    /** The offsets are in a file for the source, and in the broker for the sink: neither begins anew. */
    private void restarted() throws Exception {
        write(100);
        running = standalone();
        copied();
        try (AdminClient admin = AdminClient.create(Records.settings())) {
            String group = "connect-" + topic + "-sink";
            TopicPartition partition = new TopicPartition(topic, 0);
            Check.eventually("the sink committed the end", 10, () -> admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata().get().get(partition).offset() == written.size());
        }
    }

    /** At least once: the sink may write again what it had not committed, and nothing is missing. */
    private void across(Check.Body event) throws Exception {
        write(200);
        Check.eventually("lines are copied", 20, () -> read().size() >= written.size() - 100);
        event.run();
        write(200);
        Check.eventually("the sink wrote every line", 40, () -> new HashSet<>(read()).containsAll(written));
        running.runs("source").runs(topic + "-sink");
        List<String> first = read().stream().distinct().collect(Collectors.toList());
        Check.sameList(first, written, "lines of the sink's file, by their first time");
    }

    // --- distributed ---------------------------------------------------------------------------------------------

    private void distributed() throws Exception {
        write(500);
        try (Worker worker = Worker.distributed(directory, topic)) {
            Check.eventually("the worker answers", 30, () -> worker.get("/").contains("kafka_cluster_id"));
            Check.eventually("it has joined its group", 30, () -> worker.get("/connectors").equals("[]"));
            worker.create("{\"name\":\"source\",\"config\":{\"connector.class\":\"FileStreamSource\","
                + "\"tasks.max\":\"1\",\"file\":\"" + in + "\",\"topic\":\"" + topic + "\"}}");
            worker.create("{\"name\":\"" + topic + "-sink\",\"config\":{\"connector.class\":\"FileStreamSink\","
                + "\"tasks.max\":\"1\",\"file\":\"" + out + "\",\"topics\":\"" + topic + "\"}}");
            worker.runs("source").runs(topic + "-sink");
            copied();
        }
        try (AdminClient admin = AdminClient.create(Records.settings())) {
            ConfigResource configs = new ConfigResource(ConfigResource.Type.TOPIC, topic + "-config");
            Check.same(admin.describeConfigs(Set.of(configs)).all().get().get(configs).get("cleanup.policy").value(),
                "compact", "cleanup.policy of the topic with the connectors");
        }
    }

    /** Connectors, offsets and states are in the broker's topics. */
    private void distributedRestarted() throws Exception {
        write(100);
        try (Worker worker = Worker.distributed(directory, topic)) {
            worker.runs("source").runs(topic + "-sink");
            copied();
        }
    }
}
