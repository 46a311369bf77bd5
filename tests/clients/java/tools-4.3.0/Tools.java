import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the command-line tools in this JVM, one after another, each with standard streams of its own.
 *
 * <p>They all end through Kafka's {@link Exit}, whose procedure can be replaced: that is what makes fifty runs
 * possible in the time that the start of a few JVMs takes.
 */
final class Tools {
    private static final Map<String, String> MAIN_CLASSES = Map.ofEntries(
        Map.entry("topics", "org.apache.kafka.tools.TopicCommand"),
        Map.entry("console-producer", "org.apache.kafka.tools.ConsoleProducer"),
        Map.entry("console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
        Map.entry("consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
        Map.entry("configs", "kafka.admin.ConfigCommand"),
        Map.entry("get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
        Map.entry("delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
        Map.entry("producer-perf", "org.apache.kafka.tools.ProducerPerformance"),
        Map.entry("consumer-perf", "org.apache.kafka.tools.ConsumerPerformance"),
        Map.entry("broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
        Map.entry("dump-log", "org.apache.kafka.tools.DumpLogSegments"),
        Map.entry("transactions", "org.apache.kafka.tools.TransactionsCommand"),
        Map.entry("compatibility", "org.apache.kafka.tools.ClientCompatibilityTest"));

    private Tools() {
    }

    /** How a tool ended and what it wrote: standard output, then standard error; which one a tool uses differs. */
    record Run(int code, String out) {
        Run ok() {
            Check.same(code, 0, "exit code, after printing: " + out);
            return this;
        }

        Run has(String... parts) {
            for (String part : parts) {
                Check.that(out.contains(part), "no '" + part + "' in: " + out);
            }
            return this;
        }

        Run lacks(String part) {
            Check.that(!out.contains(part), "'" + part + "' in: " + out);
            return this;
        }

        /** A line whose columns, whatever the white space between them, are these; {@code *} is any. */
        Run row(String... columns) {
            boolean found = out.lines().map(line -> List.of(line.trim().split("[\\s,]+"))).anyMatch(line -> {
                boolean same = line.size() >= columns.length;
                for (int at = 0; same && at < columns.length; at++) {
                    same = columns[at].equals("*") || columns[at].equals(line.get(at));
                }
                return same;
            });
            Check.that(found, "no row " + String.join(" ", columns) + " in: " + out);
            return this;
        }

        Run lines(String... expected) {
            Check.same(out.lines().filter(line -> !line.isBlank()).toList(), List.of(expected), "lines");
            return this;
        }
    }

    static Run bootstrapped(String tool, String... arguments) throws Exception {
        return typed("", tool, arguments);
    }

    /** With {@code input} on standard input; the arguments may hold several words each. */
    static Run typed(String input, String tool, String... arguments) throws Exception {
        return run(input, tool, ("--bootstrap-server " + Check.BOOTSTRAP + " " + String.join(" ", arguments)).split(" "));
    }

    static Run run(String input, String tool, String[] arguments) throws Exception {
        ByteArrayOutputStream written = new ByteArrayOutputStream();
        ByteArrayOutputStream complained = new ByteArrayOutputStream();
        PrintStream out = System.out;
        PrintStream err = System.err;
        InputStream in = System.in;
        // The first exit is the one that counts: some tools catch what is thrown here, and exit again.
        AtomicReference<Integer> first = new AtomicReference<>();
        Exit.Procedure ended = (code, message) -> {
            first.compareAndSet(null, code);
            throw new Ended();
        };
        Exit.setExitProcedure(ended);
        Exit.setHaltProcedure(ended);
        // console-producer sends what is left only in its hook.
        List<Runnable> hooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        try {
            System.setOut(new PrintStream(written, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(complained, true, StandardCharsets.UTF_8));
            System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
            boolean returned = returns(MAIN_CLASSES.get(tool), arguments);
            hooks.forEach(Runnable::run);
            System.out.flush();
            int code = first.get() != null ? first.get() : returned ? 0 : 1;
            return new Run(code, written.toString(StandardCharsets.UTF_8) + complained.toString(StandardCharsets.UTF_8));
        } finally {
            System.setOut(out);
            System.setErr(err);
            System.setIn(in);
        }
    }

    /** False when the tool failed with something that is not an exit. */
    private static boolean returns(String mainClass, String[] arguments) throws Exception {
        try {
            Class.forName(mainClass).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return true;
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof Ended) {
                return true;
            }
            e.getCause().printStackTrace();
            return false;
        }
    }

    static String file(String content) throws Exception {
        Path path = Files.createTempFile("ottla-clients", ".txt");
        path.toFile().deleteOnExit();
        return Files.writeString(path, content).toString();
    }

    /** An error, so that a tool's own {@code catch (Exception e)} does not take it for its failure. */
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1L;

        Ended() {
            super("exit", null, false, false);
        }
    }
}
