import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;

/** The command-line tools of Apache Kafka 4.3.0, as they are typed. */
public final class Suite {
    private Suite() {
    }

    public static void main(String[] arguments) {
        Check check = new Check("kafka tools 4.3.0");
        check.step("broker-api-versions", Suite::brokerApiVersions);
        check.step("topics --create", Suite::createTopic);
        check.step("topics --list", () -> topics("--list").ok().has("tools-made\n"));
        check.step("topics --describe", Suite::describeTopic);
        check.step("topics --alter", Suite::alterTopic);
        check.step("console-producer, console-consumer", Suite::console);
        check.step("console with keys and headers", Suite::consoleKeys);
        check.step("console-consumer --group", Suite::consoleGroup);
        check.step("configs --describe, --alter", Suite::configs);
        check.step("get-offsets", Suite::getOffsets);
        check.step("consumer-groups --list", () -> groups("--list").ok().has("tools-group\n"));
        check.step("consumer-groups --describe", Suite::describeGroup);
        check.step("consumer-groups --describe, with a member", Suite::describeActiveGroup);
        check.step("consumer-groups --reset-offsets", Suite::resetOffsets);
        check.step("consumer-groups --delete-offsets, --delete", Suite::deleteGroup);
        check.step("delete-records", Suite::deleteRecords);
        check.step("producer-perf, consumer-perf", Suite::perf);
        check.step("transactions describe-producers", Suite::describeProducers);
        if (Check.env("OTTLA_SEGMENTS").isEmpty()) {
            check.skip("dump-log", "no data directory given");
        } else {
            check.step("dump-log", Suite::dumpLog);
        }
        check.step("ClientCompatibilityTest", Suite::compatibility);
        check.step("topics --delete", Suite::deleteTopic);
        check.end();
    }

    private static Tools.Run topics(String... arguments) throws Exception {
        return Tools.bootstrapped("topics", arguments);
    }

    private static Tools.Run groups(String... arguments) throws Exception {
        return Tools.bootstrapped("consumer-groups", arguments);
    }

    private static Tools.Run produce(String lines, String topic, String... arguments) throws Exception {
        return Tools.typed(lines, "console-producer", "--topic " + topic, String.join(" ", arguments).trim()).ok();
    }

    private static Tools.Run consume(String topic, int count, String... arguments) throws Exception {
        return Tools.bootstrapped("console-consumer", "--topic", topic, "--max-messages " + count + " --timeout-ms 15000",
            String.join(" ", arguments)).ok();
    }

    private static void brokerApiVersions() throws Exception {
        Tools.bootstrapped("broker-api-versions").ok()
            .has(Check.BOOTSTRAP + " (id: ", "Produce(0): 0 to ", "Fetch(1): ", "ApiVersions(18): 0 to ");
    }

    private static void createTopic() throws Exception {
        topics("--create --topic tools-made --partitions 2 --replication-factor 1 --config retention.ms=7200000").ok().has("Created topic tools-made.");
        Check.same(topics("--create --topic tools-made").code(), 1, "exit code of the second creation");
        topics("--create --topic tools-made --if-not-exists").ok();
        topics("--create --topic tools-plain").ok();
    }

    private static void describeTopic() throws Exception {
        topics("--describe --topic tools-made").ok()
            .has("Topic: tools-made\t", "PartitionCount: 2", "ReplicationFactor: 1", "retention.ms=7200000")
            .has("Topic: tools-made\tPartition: 1\tLeader: ");
        topics("--describe --topics-with-overrides").ok().has("Topic: tools-made");
        topics("--describe --unavailable-partitions").ok().lacks("Topic: ");
        Check.same(topics("--describe --topic absent").code(), 1, "exit code for an absent topic");
    }

    private static void alterTopic() throws Exception {
        topics("--alter --topic tools-made --partitions 3").ok();
        Check.eventually("3 partitions", 5, () -> topics("--describe --topic tools-made").out().contains("PartitionCount: 3"));
    }

    private static void console() throws Exception {
        produce("one\ntwo\nthree\n", "tools-console");
        produce("four\n", "tools-console", "--compression-codec zstd --sync");
        produce("five\n", "tools-console", "--request-required-acks 1 --command-property enable.idempotence=false");
        consume("tools-console", 5, "--from-beginning").has("one\ntwo\nthree\nfour\nfive\n", "Processed a total of 5 messages");
        consume("tools-console", 2, "--partition 0 --offset 3").has("four\nfive\n");
        consume("tools-console", 1, "--partition 0 --offset earliest --isolation-level read_committed").has("one\n");
    }

    private static void consoleKeys() throws Exception {
        produce("h1:v1,h2:v2\tk1:value1\nh3:v3\tk2:value2\n", "tools-keys",
            "--reader-property parse.key=true --reader-property key.separator=:",
            "--reader-property parse.headers=true");
        consume("tools-keys", 2, "--from-beginning --formatter-property print.key=true --formatter-property key.separator==",
            "--formatter-property print.headers=true --formatter-property print.partition=true --formatter-property print.offset=true",
            "--formatter-property print.timestamp=true")
            .has("CreateTime:", "Partition:0", "Offset:0", "h1:v1,h2:v2", "k1=value1\n", "Offset:1", "h3:v3", "k2=value2\n");
        // The deprecated spelling is the one that every tutorial has.
        produce("k3,value3\n", "tools-keys", "--property parse.key=true --property key.separator=,");
        consume("tools-keys", 1, "--partition 0 --offset 2 --property print.key=true --property key.separator=/").has("k3/value3\n");
    }

    private static void consoleGroup() throws Exception {
        produce("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "tools-grouped");
        consume("tools-grouped", 4, "--group tools-group --from-beginning").has("1\n2\n3\n4\n").lacks("5\n");
        consume("tools-grouped", 2, "--group tools-group").has("5\n6\n").lacks("4\n");
    }

    private static void configs() throws Exception {
        String made = "--entity-type topics --entity-name tools-made";
        Tools.bootstrapped("configs", made, "--alter --add-config segment.bytes=2097152,max.message.bytes=2000000").ok()
            .has("Completed updating config for topic tools-made.");
        Tools.bootstrapped("configs", made, "--describe").ok().has("segment.bytes=2097152", "max.message.bytes=2000000", "retention.ms=7200000");
        Tools.bootstrapped("configs", made, "--alter --delete-config segment.bytes").ok();
        Tools.bootstrapped("configs", made, "--describe").ok().lacks("segment.bytes").has("max.message.bytes=2000000");
        Tools.bootstrapped("configs", made, "--describe --all").ok().has("segment.bytes=", "cleanup.policy=delete");
        Tools.bootstrapped("configs", "--entity-type topics --describe").ok().has("Dynamic configs for topic tools-made are:");
    }

    private static void getOffsets() throws Exception {
        for (String[] expected : new String[][] {{"-1", "10"}, {"latest", "10"}, {"-2", "0"}, {"earliest", "0"}, {"0", "0"}}) {
            Tools.bootstrapped("get-offsets", "--topic tools-grouped --time", expected[0]).ok().lines("tools-grouped:0:" + expected[1]);
        }
        Tools.bootstrapped("get-offsets", "--topic tools-grouped --time max-timestamp").ok().has("tools-grouped:0:");
        Tools.bootstrapped("get-offsets", "--topic-partitions tools-made:0-2").ok().lines("tools-made:0:0", "tools-made:1:0");
        // An absent offset prints nothing between the colons.
        String tomorrow = Long.toString(System.currentTimeMillis() + 86_400_000);
        Tools.bootstrapped("get-offsets", "--topic tools-grouped --time", tomorrow).ok().lines();
    }

    private static void describeGroup() throws Exception {
        groups("--describe --group tools-group").ok().has("Consumer group 'tools-group' has no active members.")
            .row("GROUP", "TOPIC", "PARTITION", "*")
            .has("tools-group").has(" 6 ").has(" 10 ").has(" 4 ");
        groups("--describe --group tools-group --state").ok().has("Empty");
        groups("--describe --all-groups").ok().has("tools-group");
        groups("--list --state Empty").ok().has("tools-group");
        groups("--describe --group absent").has("absent").lacks("CURRENT-OFFSET");
    }

    private static void describeActiveGroup() throws Exception {
        produce("x\n", "tools-active");
        try (Records.Member member = new Records.Member("tools-active", "group.id", "tools-active", "client.id", "someone",
                "auto.commit.interval.ms", 100)) {
            member.owns(1);
            Check.eventually("the member saw the record", 10, () -> member.seen().size() == 1);
            Check.eventually("the offset is committed", 10,
                () -> groups("--describe --group tools-active").out().matches("(?s).*tools-active +0 +1 +1 +0 .*"));
            groups("--describe --group tools-active").ok().has("someone", "/127.0.0.1");
            groups("--describe --group tools-active --members --verbose").ok().has("someone", "tools-active:0");
            groups("--describe --group tools-active --state").ok().has("Stable", "range");
            groups("--reset-offsets --group tools-active --topic tools-active --to-earliest --execute")
                .has("inactive");
            groups("--delete --group tools-active").has("is not empty");
        }
    }

    private static void resetOffsets() throws Exception {
        String reset = "--reset-offsets --group tools-group --topic tools-grouped";
        groups(reset, "--to-earliest --execute").ok().row("tools-group", "tools-grouped", "0", "0");
        groups(reset, "--shift-by 3 --execute").ok().row("tools-group", "tools-grouped", "0", "3");
        groups("--describe --group tools-group").ok().has(" 3 ").has(" 7 ");
        String hourAgo = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC)
            .format(Instant.now().minusSeconds(3600));
        groups(reset, "--to-datetime", hourAgo, "--execute").ok().row("tools-group", "tools-grouped", "0", "0");
        groups(reset, "--to-latest --dry-run").ok().row("tools-group", "tools-grouped", "0", "10");
        groups(reset, "--to-offset 8 --execute").ok().row("tools-group", "tools-grouped", "0", "8");
        consume("tools-grouped", 2, "--group tools-group").has("9\n10\n").lacks("8\n");
    }

    private static void deleteGroup() throws Exception {
        groups("--delete-offsets --group tools-group --topic tools-grouped").ok().has("Request succeed");
        groups("--delete --group tools-group").ok().has("Deletion of requested consumer groups ('tools-group') was successful.");
        groups("--list").ok().lacks("tools-group\n");
    }

    private static void deleteRecords() throws Exception {
        String file = Tools.file("{\"version\":1,\"partitions\":[{\"topic\":\"tools-grouped\",\"partition\":0,\"offset\":4}]}");
        Tools.bootstrapped("delete-records", "--offset-json-file", file).ok().has("partition: tools-grouped-0\tlow_watermark: 4");
        Tools.bootstrapped("get-offsets", "--topic tools-grouped --time earliest").ok().lines("tools-grouped:0:4");
        consume("tools-grouped", 6, "--from-beginning").has("5\n6\n7\n8\n9\n10\n").lacks("4\n");
    }

    private static void perf() throws Exception {
        Tools.bootstrapped("producer-perf", "--topic tools-perf --num-records 20000 --record-size 100 --throughput -1").ok()
            .has("20000 records sent");
        Tools.bootstrapped("get-offsets", "--topic tools-perf").ok().lines("tools-perf:0:20000");
        Tools.bootstrapped("consumer-perf", "--topic tools-perf --num-records 20000 --timeout 20000").ok()
            .has("data.consumed.in.MB").has(", 20000, ").lacks("WARNING: Exiting before consuming");
    }

    private static void describeProducers() throws Exception {
        Tools.bootstrapped("transactions", "describe-producers --topic tools-perf --partition 0").ok()
            .has("ProducerId").row("*", "0", "*", "19999");
    }

    /** Apache Kafka's own reader, on the very files that the broker wrote. */
    private static void dumpLog() throws Exception {
        produce("alpha\nbeta\n", "tools-dump", "--compression-codec gzip");
        produce("gamma\n", "tools-dump");
        consume("tools-dump", 3, "--from-beginning").has("gamma");
        Path segment = Path.of(Check.env("OTTLA_SEGMENTS"), "tools-dump-0", "00000000000000000000.log");
        Check.that(Files.exists(segment), "no file " + segment);
        String[] dump = {"--files", segment.toString(), "--print-data-log", "--deep-iteration"};
        Tools.run("", "dump-log", dump).ok()
            .has("Log starting offset: 0", "isvalid: true", "compresscodec: gzip", "compresscodec: none")
            .has("offset: 0 ", "payload: alpha", "payload: beta", "offset: 2 ", "payload: gamma")
            .lacks("isvalid: false").lacks("Exception").lacks("Found invalid");
    }

    private static void compatibility() throws Exception {
        // One without an authorizer says "security is disabled", which the test counts as supported; ottla has no ACLs.
        Tools.bootstrapped("compatibility", "--topic tools-compatibility --offsets-for-times-supported true --cluster-id-supported true",
            "--expect-record-too-large-exception false --num-cluster-nodes 1 --create-topics-supported true",
            "--describe-acls-supported", Boolean.toString(Check.APACHE),
            "--describe-configs-supported true --idempotent-producer-supported true").ok().has("SUCCESS.");
    }

    private static void deleteTopic() throws Exception {
        topics("--delete --topic tools-made").ok();
        Check.eventually("no longer listed", 10, () -> topics("--list").out().lines().noneMatch("tools-made"::equals));
        Check.same(topics("--delete --topic tools-made").code(), 1, "exit code of the second deletion");
    }
}
