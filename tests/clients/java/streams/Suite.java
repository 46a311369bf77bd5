import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Kafka Streams with at_least_once: a topology without state, and one that counts, which has a repartition topic and a
 * changelog.
 */
public final class Suite {
    private static final List<String> WORDS = List.of("salt", "water", "pump", "valve", "tank", "wind", "sun");
    private static final AdminClient ADMIN = AdminClient.create(Records.settings());

    private final String lines;
    private final String counts;
    private final String application;
    private final Path state = Application.directory();
    private final Map<String, Long> expected = new TreeMap<>();
    private int rounds;

    private Suite(String suite) throws Exception {
        lines = suite + "-lines";
        counts = suite + "-counts";
        application = suite + "-counting";
        ADMIN.createTopics(Set.of(new NewTopic(lines, 2, (short) 1), new NewTopic(counts, 2, (short) 1))).all().get();
    }

    public static void main(String[] arguments) throws Exception {
        Check check = new Check("Kafka Streams " + AppInfoParser.getVersion());
        String suite = arguments[0];
        Suite counting = new Suite(suite);
        check.step("programs: topology without state", () -> stateless(suite + "-in", suite + "-out"));
        check.step("programs: counting topology", counting::counts);
        check.step("programs: its topics for repartition and changelog", counting::internalTopics);
        check.step("programs: application restarted", counting::restarted);
        check.step("programs: application restarted without its directory", counting::restored);
        check.step("groups: second member joins and leaves", counting::secondInstance);
        check.restartStep("restarts: broker restarted", () -> counting.across(() -> Check.ctl("restart")));
        check.restartStep("restarts: broker killed", () -> counting.across(() -> {
            Check.ctl("kill9");
            Check.ctl("start");
        }));
        check.end();
    }

    // --- without state -----------------------------------------------------------------------------------------

    private static void stateless(String in, String out) throws Exception {
        ADMIN.createTopics(Set.of(new NewTopic(in, 1, (short) 1), new NewTopic(out, 1, (short) 1))).all().get();
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(in)
            .filter((key, value) -> !key.endsWith("7"))
            .mapValues(value -> value + "!")
            .to(out);
        List<Records.Sent> sent = Records.many(1000);
        List<Records.Sent> expected = sent.stream().filter(record -> !record.key().endsWith("7"))
            .map(record -> new Records.Sent(record.key(), record.value() + "!", record.headers(), record.timestamp()))
            .collect(Collectors.toList());
        Check.that(expected.size() < 1000, "nothing is filtered");
        try (Application running = new Application(out, Application.directory(), builder.build())) {
            running.runs();
            Records.produce(in, 0, sent);
            Check.sameList(Records.seen(Records.readFromStart(out, 0, expected.size())), expected, "records");
            running.sound();
        }
        Check.same(Records.endOffset(out, 0), (long) expected.size(), "end of the partition");
        Check.same(ADMIN.listConsumerGroupOffsets(out).partitionsToOffsetAndMetadata().get()
            .get(new TopicPartition(in, 0)).offset(), 1000L, "committed offset");
    }

    // --- counting ----------------------------------------------------------------------------------------------

    /** The records have no word as their key, so that Streams must repartition them. */
    private Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(lines)
            .flatMapValues(line -> List.of(line.split(" ")))
            .selectKey((key, word) -> word)
            .groupByKey(Grouped.as("words"))
            .count(Materialized.as("counts"))
            .toStream()
            .to(counts, Produced.with(Serdes.String(), Serdes.Long()));
        return builder.build();
    }

    private Application start(Path directory) throws Exception {
        Application started = new Application(application, directory, topology());
        started.runs();
        return started;
    }

    /** Two hundred lines more, in both partitions. */
    private void write() throws Exception {
        rounds++;
        for (int partition = 0; partition < 2; partition++) {
            List<Records.Sent> sent = new ArrayList<>();
            for (int at = 0; at < 100; at++) {
                String line = WORDS.get(at % WORDS.size()) + " " + WORDS.get(at * rounds % 3 + partition);
                sent.add(new Records.Sent("line" + at, line, List.of(), System.currentTimeMillis()));
                for (String word : line.split(" ")) {
                    expected.merge(word, 1L, Long::sum);
                }
            }
            Records.produce(lines, partition, sent);
        }
    }

    /** The last count of each word in the output topic is the expected one. */
    private void counted() {
        Check.same(last(expected::equals), expected, "last counts in the output topic");
    }

    private interface Enough {
        boolean is(Map<String, Long> last);
    }

    /** Reads the output from its start until there is enough, or for 20 s. */
    private Map<String, Long> last(Enough enough) {
        Map<String, Long> last = new TreeMap<>();
        long end = System.currentTimeMillis() + 20_000;
        try (KafkaConsumer<String, Long> consumer = new KafkaConsumer<>(
                Records.settings("enable.auto.commit", "false"), new StringDeserializer(), new LongDeserializer())) {
            consumer.assign(List.of(new TopicPartition(counts, 0), new TopicPartition(counts, 1)));
            consumer.seekToBeginning(consumer.assignment());
            while (!enough.is(last) && System.currentTimeMillis() < end) {
                for (ConsumerRecord<String, Long> record : consumer.poll(Duration.ofMillis(100))) {
                    last.put(record.key(), record.value());
                }
            }
        }
        return last;
    }

    private void counts() throws Exception {
        try (Application running = start(state)) {
            write();
            counted();
            Check.same(running.store("counts"), expected, "the store");
            running.sound();
        }
    }

    private void internalTopics() throws Exception {
        String changelog = application + "-counts-changelog";
        String repartition = application + "-words-repartition";
        Set<String> names = ADMIN.listTopics().names().get();
        Check.that(names.containsAll(Set.of(changelog, repartition)), "listed are " + names);
        Check.same(setting(changelog, "cleanup.policy"), "compact", "cleanup.policy of the changelog");
        Check.same(setting(repartition, "cleanup.policy"), "delete", "cleanup.policy of the repartition topic");
        Check.same(setting(repartition, "retention.ms"), "-1", "retention.ms of the repartition topic");
    }

    private static String setting(String topic, String key) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config config = ADMIN.describeConfigs(Set.of(resource)).all().get().get(resource);
        return config.get(key).value();
    }

    private void restarted() throws Exception {
        try (Application running = start(state)) {
            Check.same(running.store("counts"), expected, "the store after a restart");
            Check.same(running.restored(), 0L, "records restored although the state was there");
            write();
            counted();
            running.sound();
        }
    }

    private void restored() throws Exception {
        try (Application running = start(Application.directory())) {
            Check.same(running.store("counts"), expected, "the store, from the changelog");
            Check.that(running.restored() >= expected.size(), "restored only " + running.restored() + " records");
            write();
            counted();
            running.sound();
        }
    }

    /** The words are divided among the two instances, and come back when one leaves. */
    private void secondInstance() throws Exception {
        try (Application first = start(state)) {
            try (Application second = start(Application.directory())) {
                Check.eventually("both instances have a part of the store", 20, () -> {
                    Map<String, Long> both = new TreeMap<>(first.store("counts"));
                    both.putAll(second.store("counts"));
                    return !first.store("counts").isEmpty() && !second.store("counts").isEmpty()
                        && !first.store("counts").equals(both) && both.equals(expected);
                });
                write();
                counted();
                second.sound();
            }
            write();
            counted();
            Check.eventually("the first one has the whole store again", 20,
                () -> first.store("counts").equals(expected));
            first.sound();
        }
    }

    /** At least once: nothing is lost; what was not yet committed may be counted again. */
    private void across(Check.Body event) throws Exception {
        try (Application running = start(state)) {
            write();
            CompletableFuture<Void> happened = CompletableFuture.runAsync(() -> {
                try {
                    event.run();
                } catch (Exception e) {
                    throw new CompletionException(e);
                }
            });
            do {
                write();
            } while (!happened.isDone());
            happened.get();
            write();
            Map<String, Long> last = last(this::atLeast);
            Check.that(atLeast(last), "expected at least " + expected + ", seen " + last);
            Check.eventually("the store has what the topic has", 20,
                () -> running.store("counts").equals(last(this::atLeast)));
            running.sound();
            expected.putAll(running.store("counts"));
        }
    }

    private boolean atLeast(Map<String, Long> seen) {
        return expected.entrySet().stream().allMatch(word -> seen.getOrDefault(word.getKey(), 0L) >= word.getValue());
    }
}
