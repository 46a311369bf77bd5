import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** Kafka's verifiable producer and consumer: they print every acknowledgement and every record as JSON. */
final class Verifiable {
    private static final Pattern VALUE = Pattern.compile("\"value\":\"([^\"]*)\"");
    private static final Pattern OFFSET = Pattern.compile("\"offset\":(\\d+)");

    private Verifiable() {
    }

    static void producer() throws Exception {
        // A JVM of its own: it sends what is left, and prints the sum, in a shutdown hook of the JVM.
        try (Running run = start("verifiable-producer", "--topic @verifiable --max-messages 1000")) {
            Check.same(run.exitCode(20), 0, "exit code");
            new Tools.Run(0, String.join("\n", run.lines()))
                .has("startup_complete", "\"sent\":1000", "\"acked\":1000");
            Check.same(acknowledged(run.lines()).size(), 1000, "acknowledged records");
        }
        Check.same(Records.endOffset(Tools.expand("@verifiable"), 0), 1000L, "end of the partition");
    }

    /** Two runs of one group: the second one goes on where the first one stopped. */
    static void consumer() throws Exception {
        String arguments = "--topic @verifiable --group-id @verifiable --verbose --max-messages ";
        Tools.Run first = Tools.bootstrapped("verifiable-consumer", arguments + 400).ok()
            .has("startup_complete", "partitions_assigned", "offsets_committed", "\"success\":true")
            .has("shutdown_complete");
        Tools.Run second = Tools.bootstrapped("verifiable-consumer", arguments + 600).ok();
        List<String> values = new ArrayList<>(values(first.out().lines().toList()));
        Check.same(values.size(), 400, "records of the first run");
        values.addAll(values(second.out().lines().toList()));
        List<String> expected = new ArrayList<>();
        for (int at = 0; at < 1000; at++) {
            expected.add(Integer.toString(at));
        }
        Check.sameList(values, expected, "records of both runs");
    }

    /** Both tools as programs of their own, at work while the broker goes away and comes back. */
    static void across(String name, Check.Body event) throws Exception {
        String topic = Tools.expand(name);
        int count = 1500;
        Records.produce(topic, 0, List.of(new Records.Sent("first", "first", List.of(), 1)));
        // Its default is no retry, so that it tells of each record once what became of it: retries are switched on.
        String settings = Tools.file("retries=1000\nretry.backoff.ms=100\nenable.idempotence=true\n");
        try (Running consumer = start("verifiable-consumer", "--topic " + topic + " --group-id " + topic
                 + " --session-timeout 6000 --verbose");
             Running producer = start("verifiable-producer", "--topic " + topic + " --max-messages " + count
                 + " --throughput 300 --producer.config " + settings)) {
            Check.eventually("both are at work", 20,
                () -> acknowledged(producer.lines()).size() > 200 && values(consumer.lines()).size() > 200);
            event.run();
            Check.same(producer.exitCode(40), 0, "exit code of the producer");
            Map<String, Long> acknowledged = acknowledged(producer.lines());
            Check.same(acknowledged.size(), count, "acknowledged records");
            Check.eventually("the consumer printed every record", 20,
                () -> new HashSet<>(values(consumer.lines())).containsAll(acknowledged.keySet()));
            Set<Long> offsets = new TreeSet<>();
            for (ConsumerRecord<String, String> record : Records.readFromStart(topic, 0, count + 1)) {
                if (record.offset() > 0) {
                    Check.same(acknowledged.get(record.value()), record.offset(), "offset of " + record.value());
                    offsets.add(record.offset());
                }
            }
            Check.same(offsets.size(), count, "different records in the log");
            Check.same(Records.endOffset(topic, 0), count + 1L, "end of the partition: each record once");
        }
    }

    /** Value to offset. */
    private static Map<String, Long> acknowledged(List<String> lines) {
        Map<String, Long> offsets = new HashMap<>();
        for (String line : lines) {
            Matcher offset = OFFSET.matcher(line);
            Matcher value = VALUE.matcher(line);
            if (line.contains("producer_send_success") && offset.find() && value.find()) {
                offsets.put(value.group(1), Long.parseLong(offset.group(1)));
            }
        }
        return offsets;
    }

    private static List<String> values(List<String> lines) {
        List<String> values = new ArrayList<>();
        for (String line : lines) {
            Matcher value = VALUE.matcher(line);
            if (line.contains("record_data") && value.find()) {
                values.add(value.group(1));
            }
        }
        return values;
    }

    private static Running start(String tool, String arguments) throws Exception {
        String all = "--bootstrap-server " + Check.BOOTSTRAP + " " + Tools.expand(arguments);
        return new Running(Tools.mainClass(tool), all.split(" "));
    }
}
