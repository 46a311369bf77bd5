import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import org.apache.kafka.common.utils.AppInfoParser;

/** The command-line tools of Apache Kafka 2.8 and 4.3, as they are typed. */
public final class Suite {
    private Suite() {
    }

    public static void main(String[] arguments) {
        Check check = new Check("Kafka tools " + AppInfoParser.getVersion());
        Tools.begin(arguments[0]);
        check.step("topics: kafka-broker-api-versions", Suite::brokerApiVersions);
        check.step("topics: kafka-topics --create", Suite::createTopic);
        check.step("topics: kafka-topics --list", () -> topics("--list").ok().has("@made\n"));
        check.step("topics: kafka-topics --describe", Suite::describeTopic);
        check.step("topics: kafka-topics --alter", Suite::alterTopic);
        check.step("topics: kafka-configs --describe, --alter", Suite::configs);
        for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
            check.step("produce: kafka-console-producer, " + codec, () -> compressed(codec));
        }
        check.step("consume: kafka-console-consumer", Suite::console);
        check.step("consume: kafka-console-consumer, keys and headers", Suite::consoleKeys);
        check.step("groups: kafka-console-consumer --group", Suite::consoleGroup);
        check.step("topics: kafka-get-offsets", Suite::getOffsets);
        check.step("groups: kafka-consumer-groups --list", () -> groups("--list").ok().has("@group\n"));
        check.step("groups: kafka-consumer-groups --describe", Suite::describeGroup);
        check.step("groups: kafka-consumer-groups --describe, with a member", Suite::describeActiveGroup);
        check.step("groups: kafka-consumer-groups --reset-offsets", Suite::resetOffsets);
        check.step("groups: kafka-consumer-groups --delete-offsets, --delete", Suite::deleteGroup);
        check.step("topics: kafka-delete-records", Suite::deleteRecords);
        check.step("groups: kafka-streams-application-reset", Suite::resetApplication);
        check.step("errors: topic exists",
            () -> refused("--create --topic @plain", "already exists", "TopicExistsException"));
        check.step("errors: unknown topic", () -> {
            refused("--describe --topic @absent", "does not exist");
            refused("--delete --topic @absent", "does not exist");
            groups("--describe --group @absent").has("@absent").lacks("CURRENT-OFFSET");
        });
        check.step("errors: three replicas, fewer partitions", () -> {
            refused("--create --topic @bad --replication-factor 3", "InvalidReplicationFactorException");
            refused("--alter --topic @made --partitions 1", "InvalidPartitionsException");
        });
        check.step("produce: kafka-producer-perf-test", Suite::producerPerf);
        check.step("consume: kafka-consumer-perf-test", Suite::consumerPerf);
        check.step("produce: kafka-verifiable-producer", Verifiable::producer);
        check.step("groups: kafka-verifiable-consumer", Verifiable::consumer);
        check.step("programs: kafka-e2e-latency", Suite::latency);
        check.step("programs: kafka-cluster", () -> Tools.run("", "cluster",
            "cluster-id --bootstrap-server " + Check.BOOTSTRAP).ok().has("Cluster ID: "));
        if (!Tools.OLD) {
            check.step("groups: kafka-groups", Suite::kafkaGroups);
            check.step("topics: kafka-transactions describe-producers", Suite::describeProducers);
        }
        if (Check.env("OTTLA_SEGMENTS").isEmpty()) {
            check.skip("programs: kafka-dump-log", "no data directory given");
        } else {
            check.step("programs: kafka-dump-log", Suite::dumpLog);
        }
        check.step("programs: ClientCompatibilityTest", Suite::compatibility);
        check.restartStep("restarts: broker restarted",
            () -> Verifiable.across("@restarted", () -> Check.ctl("restart")));
        check.restartStep("restarts: broker killed", () -> Verifiable.across("@killed", () -> {
            Check.ctl("kill9");
            Check.ctl("start");
        }));
        check.step("topics: kafka-topics --delete", Suite::deleteTopic);
        check.end();
    }

    private static Tools.Run topics(String... arguments) throws Exception {
        return Tools.bootstrapped("topics", arguments);
    }

    private static Tools.Run groups(String... arguments) throws Exception {
        return Tools.bootstrapped("consumer-groups", arguments);
    }

    private static Tools.Run configs(String... arguments) throws Exception {
        return Tools.bootstrapped("configs", arguments);
    }

    private static Tools.Run getOffsets(String... arguments) throws Exception {
        return Tools.bootstrapped("get-offsets", arguments);
    }

    private static Tools.Run produce(String lines, String topic, String... arguments) throws Exception {
        return Tools.typed(lines, "console-producer", "--topic " + topic, String.join(" ", arguments)).ok();
    }

    private static Tools.Run consume(String topic, int count, String... arguments) throws Exception {
        String limits = "--max-messages " + count + " --timeout-ms 15000";
        return Tools.bootstrapped("console-consumer", "--topic", topic, limits, String.join(" ", arguments)).ok();
    }

    private static void brokerApiVersions() throws Exception {
        Tools.bootstrapped("broker-api-versions").ok()
            .has(Check.BOOTSTRAP + " (id: ", "Produce(0): ", "Fetch(1): ", "ApiVersions(18): 0 to ");
    }

    // --- topics and settings ---------------------------------------------------------------------------------

    private static void createTopic() throws Exception {
        topics("--create --topic @made --partitions 2 --replication-factor 1 --config retention.ms=7200000").ok()
            .has("Created topic @made.");
        topics("--create --topic @made --if-not-exists").ok();
        topics("--create --topic @plain").ok();
    }

    private static void describeTopic() throws Exception {
        topics("--describe --topic @made").ok()
            .has("Topic: @made\t", "PartitionCount: 2", "ReplicationFactor: 1", "retention.ms=7200000")
            .has("Topic: @made\tPartition: 1\tLeader: ");
        topics("--describe --topics-with-overrides").ok().has("Topic: @made");
        topics("--describe --unavailable-partitions").ok().lacks("Topic: ");
    }

    private static void alterTopic() throws Exception {
        topics("--alter --topic @made --partitions 3").ok();
        Check.eventually("3 partitions", 5,
            () -> topics("--describe --topic @made").out().contains("PartitionCount: 3"));
    }

    private static void configs() throws Exception {
        String made = "--entity-type topics --entity-name @made";
        configs(made, "--alter --add-config segment.bytes=2097152,max.message.bytes=2000000").ok()
            .has("Completed updating config for topic @made.");
        configs(made, "--describe").ok()
            .has("segment.bytes=2097152", "max.message.bytes=2000000", "retention.ms=7200000");
        configs(made, "--alter --delete-config segment.bytes").ok();
        configs(made, "--describe").ok().lacks("segment.bytes").has("max.message.bytes=2000000");
        configs(made, "--describe --all").ok().has("segment.bytes=", "cleanup.policy=delete");
        configs("--entity-type topics --describe").ok().has("Dynamic configs for topic @made are:");
    }

    private static void getOffsets() throws Exception {
        for (String[] expected : new String[][] {{"-1", "10"}, {"-2", "0"}, {"0", "0"}}) {
            getOffsets("--topic @grouped --time", expected[0]).ok().lines("@grouped:0:" + expected[1]);
        }
        // An absent offset prints nothing between the colons in 2.8, and no line later on.
        String tomorrow = Long.toString(System.currentTimeMillis() + 86_400_000);
        Tools.Run none = getOffsets("--topic @grouped --time", tomorrow).ok();
        if (Tools.OLD) {
            none.lines("@grouped:0:");
            getOffsets("--topic @made --partitions 0,1").ok().lines("@made:0:0", "@made:1:0");
            return;
        }
        none.lines();
        getOffsets("--topic @grouped --time latest").ok().lines("@grouped:0:10");
        getOffsets("--topic @grouped --time earliest").ok().lines("@grouped:0:0");
        getOffsets("--topic @grouped --time max-timestamp").ok().has("@grouped:0:");
        getOffsets("--topic-partitions @made:0-2").ok().lines("@made:0:0", "@made:1:0");
    }

    private static void deleteRecords() throws Exception {
        String file = Tools.file(
            "{\"version\":1,\"partitions\":[{\"topic\":\"@grouped\",\"partition\":0,\"offset\":4}]}");
        Tools.bootstrapped("delete-records", "--offset-json-file", file).ok()
            .has("partition: @grouped-0\tlow_watermark: 4");
        getOffsets("--topic @grouped --time -2").ok().lines("@grouped:0:4");
        consume("@grouped", 6, "--from-beginning").has("5\n6\n7\n8\n9\n10\n").lacks("4\n");
    }

    private static void describeProducers() throws Exception {
        Tools.bootstrapped("transactions", "describe-producers --topic @perf --partition 0").ok()
            .has("ProducerId").row("*", "0", "*", "19999");
    }

    private static void deleteTopic() throws Exception {
        topics("--delete --topic @made").ok();
        Check.eventually("no longer listed", 10,
            () -> topics("--list").out().lines().noneMatch(Tools.expand("@made")::equals));
    }

    // --- console ---------------------------------------------------------------------------------------------

    private static void compressed(String codec) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (int at = 0; at < 1000; at++) {
            lines.append("line ").append(at).append('\n');
        }
        produce(lines.toString(), "@" + codec, "--compression-codec " + codec);
        Tools.Run seen = consume("@" + codec, 1000, "--from-beginning");
        Check.that(("\n" + seen.out()).contains("\n" + lines), "not the lines as they were typed: " + seen.out());
    }

    private static void console() throws Exception {
        produce("one\ntwo\nthree\n", "@console");
        produce("four\n", "@console", "--compression-codec zstd --sync");
        produce("five\n", "@console", "--request-required-acks 1 --producer-property enable.idempotence=false");
        consume("@console", 5, "--from-beginning")
            .has("one\ntwo\nthree\nfour\nfive\n", "Processed a total of 5 messages");
        consume("@console", 2, "--partition 0 --offset 3").has("four\nfive\n");
        consume("@console", 1, "--partition 0 --offset earliest --isolation-level read_committed").has("one\n");
    }

    private static void consoleKeys() throws Exception {
        // The spelling that every tutorial has; deprecated in 4.2.
        produce("k1:value1\nk2:value2\n", "@keys", "--property parse.key=true --property key.separator=:");
        consume("@keys", 2, "--from-beginning --property print.key=true --property key.separator==",
            "--property print.partition=true --property print.offset=true --property print.timestamp=true")
            .has("CreateTime:", "Partition:0", "Offset:0", "k1=value1\n", "Offset:1", "k2=value2\n");
        if (Tools.OLD) {
            return;
        }
        produce("h1:v1,h2:v2\tk3:value3\nh3:v3\tk4:value4\n", "@keys",
            "--reader-property parse.key=true --reader-property key.separator=:",
            "--reader-property parse.headers=true");
        consume("@keys", 2, "--partition 0 --offset 2 --formatter-property print.key=true",
            "--formatter-property key.separator== --formatter-property print.headers=true")
            .has("h1:v1,h2:v2", "k3=value3\n", "h3:v3", "k4=value4\n");
    }

    // --- groups ----------------------------------------------------------------------------------------------

    private static void consoleGroup() throws Exception {
        produce("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "@grouped");
        consume("@grouped", 4, "--group @group --from-beginning").has("1\n2\n3\n4\n").lacks("5\n");
        consume("@grouped", 2, "--group @group").has("5\n6\n").lacks("4\n");
    }

    private static void describeGroup() throws Exception {
        groups("--describe --group @group").ok().has("Consumer group '@group' has no active members.")
            .row("GROUP", "TOPIC", "PARTITION", "*").row("@group", "@grouped", "0", "6");
        groups("--describe --group @group --state").ok().has("Empty");
        groups("--describe --all-groups").ok().has("@group");
        groups("--list --state Empty").ok().has("@group");
    }

    private static void describeActiveGroup() throws Exception {
        produce("x\n", "@active");
        Object[] settings = Canonical.member(Tools.expand("@active"), "client.id", "someone");
        try (Records.Member member = new Records.Member(Tools.expand("@active"), settings)) {
            member.owns(1);
            Check.eventually("the member saw the record", 10, () -> member.seen().size() == 1);
            String row = Tools.expand("(?s).*@active +0 +1 +1 +0 .*");
            Check.eventually("the offset is committed", 10,
                () -> groups("--describe --group @active").out().matches(row));
            groups("--describe --group @active").ok().has("someone", "/127.0.0.1");
            groups("--describe --group @active --members --verbose").ok().has("someone").has(Tools.OLD
                ? "@active(0)" : "@active:0");
            groups("--describe --group @active --state").ok().has("Stable", "range");
            groups("--reset-offsets --group @active --topic @active --to-earliest --execute").has("inactive");
            groups("--delete --group @active").has("is not empty");
        }
    }

    private static void resetOffsets() throws Exception {
        String reset = "--reset-offsets --group @group --topic @grouped";
        groups(reset, "--to-earliest --execute").ok().row("@group", "@grouped", "0", "0");
        groups(reset, "--shift-by 3 --execute").ok().row("@group", "@grouped", "0", "3");
        groups("--describe --group @group").ok().row("@group", "@grouped", "0", "3", "10", "7");
        String hourAgo = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS").withZone(ZoneOffset.UTC)
            .format(Instant.now().minusSeconds(3600));
        groups(reset, "--to-datetime", hourAgo, "--execute").ok().row("@group", "@grouped", "0", "0");
        groups(reset, "--by-duration PT1H --execute").ok().row("@group", "@grouped", "0", "0");
        groups(reset, "--shift-by 2 --dry-run --export").ok().has("@grouped").has("0,2");
        String plan = Tools.file("@grouped,0,5\n");
        groups("--reset-offsets --group @group --execute --from-file", plan).ok().row("@group", "@grouped", "0", "5");
        groups(reset, "--to-latest --dry-run").ok().row("@group", "@grouped", "0", "10");
        groups(reset, "--to-offset 8 --execute").ok().row("@group", "@grouped", "0", "8");
        consume("@grouped", 2, "--group @group").has("9\n10\n").lacks("8\n");
    }

    private static void refused(String arguments, String... why) throws Exception {
        Tools.Run run = topics(arguments).has(why);
        Check.same(run.code(), 1, "exit code, after printing: " + run.out());
    }

    private static void kafkaGroups() throws Exception {
        // The type's column stays empty: it came with ListGroups v5, for the group protocol of KIP-848.
        Tools.bootstrapped("groups", "--list").ok().row("GROUP", "TYPE", "PROTOCOL").has("@verifiable")
            .row("@verifiable", Check.APACHE ? "Classic" : "consumer");
        Tools.bootstrapped("groups", "--list --consumer").ok().has("@verifiable");
        Tools.bootstrapped("groups", "--list --group-type share").ok().lacks("@verifiable");
    }

    /** The offsets of what an application reads go back to the start, and its own topics go away. */
    private static void resetApplication() throws Exception {
        topics("--create --topic @application-counts-changelog").ok();
        consume("@grouped", 2, "--group @application --from-beginning");
        Tools.run("", "streams-application-reset", (Tools.OLD ? "--bootstrap-servers " : "--bootstrap-server ")
            + Check.BOOTSTRAP + " --application-id @application --input-topics @grouped").ok().has("@grouped");
        consume("@grouped", 1, "--group @application").has("5\n").lacks("6\n");
        topics("--list").ok().lacks("@application-counts-changelog");
    }

    private static void deleteGroup() throws Exception {
        groups("--delete-offsets --group @group --topic @grouped").ok().has("Request succeed");
        groups("--delete --group @group").ok()
            .has("Deletion of requested consumer groups ('@group') was successful.");
        groups("--list").ok().lacks("@group\n");
    }

    // --- programs --------------------------------------------------------------------------------------------

    private static void producerPerf() throws Exception {
        Tools.run("", "producer-perf", "--topic @perf --num-records 20000 --record-size 100 --throughput -1"
            + " --producer-props bootstrap.servers=" + Check.BOOTSTRAP).ok().has("20000 records sent");
        getOffsets("--topic @perf").ok().lines("@perf:0:20000");
    }

    private static void consumerPerf() throws Exception {
        Tools.bootstrapped("consumer-perf", "--topic @perf --timeout 20000",
            Tools.OLD ? "--messages 20000" : "--num-records 20000").ok()
            .has("data.consumed.in.MB").has(", 20000, ").lacks("WARNING: Exiting before consuming");
    }

    private static void latency() throws Exception {
        Tools.run("", "e2e-latency", Check.BOOTSTRAP + " @latency 200 1 100").ok()
            .has("Avg latency: ", "Percentiles: ");
    }

    /** Apache Kafka's own reader, on the very files that the broker wrote. */
    private static void dumpLog() throws Exception {
        produce("alpha\nbeta\n", "@dump", "--compression-codec gzip");
        produce("gamma\n", "@dump", "--compression-codec none");
        consume("@dump", 3, "--from-beginning").has("gamma");
        Path segment = Path.of(Check.env("OTTLA_SEGMENTS"), Tools.expand("@dump-0"), "00000000000000000000.log");
        Check.that(Files.exists(segment), "no file " + segment);
        Tools.Run dump = Tools.run("", "dump-log", "--files " + segment + " --print-data-log --deep-iteration").ok()
            .has("tarting offset: 0", "isvalid: true")
            .has("offset: 0 ", "payload: alpha", "payload: beta", "offset: 2 ", "payload: gamma")
            .lacks("isvalid: false").lacks("Exception").lacks("Found invalid");
        new Tools.Run(0, dump.out().toLowerCase(Locale.ROOT))
            .has("compresscodec: gzip", "compresscodec: none");
    }

    private static void compatibility() throws Exception {
        // One without an authorizer says "security is disabled", which the test counts as supported; ottla has no ACLs.
        Tools.bootstrapped("compatibility", "--topic @compatibility --offsets-for-times-supported true",
            "--cluster-id-supported true --expect-record-too-large-exception false --num-cluster-nodes 1",
            "--create-topics-supported true --describe-acls-supported", Boolean.toString(Check.APACHE),
            "--describe-configs-supported true", Tools.OLD ? "" : "--idempotent-producer-supported true").ok()
            .has("SUCCESS.");
    }
}
