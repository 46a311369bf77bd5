import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
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
 * <p>They all end through Kafka's {@link Exit}, whose procedure can be replaced: that is what makes a hundred runs
 * possible in the time that the start of a few JVMs takes. In every text, {@code @} stands for the suite's name and a
 * hyphen: {@code @made} is a topic of this suite.
 */
final class Tools {
    /** True for the tools of 2.8, which were not yet moved from {@code kafka.admin} and {@code kafka.tools}. */
    static final boolean OLD = !exists("org.apache.kafka.tools.TopicCommand");

    private static final Map<String, String> MOVED = Map.ofEntries(
        Map.entry("topics", "kafka.admin.TopicCommand org.apache.kafka.tools.TopicCommand"),
        Map.entry("console-producer", "kafka.tools.ConsoleProducer org.apache.kafka.tools.ConsoleProducer"),
        Map.entry("console-consumer", "kafka.tools.ConsoleConsumer org.apache.kafka.tools.consumer.ConsoleConsumer"),
        Map.entry("consumer-groups",
            "kafka.admin.ConsumerGroupCommand org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
        Map.entry("configs", "kafka.admin.ConfigCommand kafka.admin.ConfigCommand"),
        Map.entry("get-offsets", "kafka.tools.GetOffsetShell org.apache.kafka.tools.GetOffsetShell"),
        Map.entry("delete-records", "kafka.admin.DeleteRecordsCommand org.apache.kafka.tools.DeleteRecordsCommand"),
        Map.entry("consumer-perf", "kafka.tools.ConsumerPerformance org.apache.kafka.tools.ConsumerPerformance"),
        Map.entry("broker-api-versions",
            "kafka.admin.BrokerApiVersionsCommand org.apache.kafka.tools.BrokerApiVersionsCommand"),
        Map.entry("cluster", "kafka.tools.ClusterTool org.apache.kafka.tools.ClusterTool"),
        Map.entry("e2e-latency", "kafka.tools.EndToEndLatency org.apache.kafka.tools.EndToEndLatency"),
        Map.entry("streams-application-reset", "kafka.tools.StreamsResetter org.apache.kafka.tools.StreamsResetter"),
        Map.entry("dump-log", "kafka.tools.DumpLogSegments org.apache.kafka.tools.DumpLogSegments"));

    private static final Map<String, String> SAME = Map.of(
        "producer-perf", "org.apache.kafka.tools.ProducerPerformance",
        "groups", "org.apache.kafka.tools.GroupsCommand",
        "transactions", "org.apache.kafka.tools.TransactionsCommand",
        "verifiable-producer", "org.apache.kafka.tools.VerifiableProducer",
        "verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer",
        "compatibility", "org.apache.kafka.tools.ClientCompatibilityTest");

    /** Scala's Console keeps the standard output that it found first: that one stays, and what is behind it changes. */
    private static final Switch OUT = new Switch();

    private static String prefix;

    private Tools() {
    }

    static void begin(String suite) {
        prefix = suite + "-";
        System.setOut(new PrintStream(OUT, true, UTF_8));
        System.setErr(new PrintStream(OUT, true, UTF_8));
    }

    static String expand(String text) {
        return text.replace("@", prefix);
    }

    /** How a tool ended and what it wrote to standard output and standard error; which one a tool uses differs. */
    record Run(int code, String out) {
        Run ok() {
            Check.same(code, 0, "exit code, after printing: " + out);
            return this;
        }

        Run has(String... parts) {
            for (String part : parts) {
                Check.that(out.contains(expand(part)), "no '" + expand(part) + "' in: " + out);
            }
            return this;
        }

        Run lacks(String part) {
            Check.that(!out.contains(expand(part)), "'" + expand(part) + "' in: " + out);
            return this;
        }

        /** A line whose columns, whatever the white space between them, are these; {@code *} is any. */
        Run row(String... columns) {
            boolean found = out.lines().map(line -> List.of(line.trim().split("[\\s,]+"))).anyMatch(line -> {
                boolean same = line.size() >= columns.length;
                for (int at = 0; same && at < columns.length; at++) {
                    same = columns[at].equals("*") || expand(columns[at]).equals(line.get(at));
                }
                return same;
            });
            Check.that(found, "no row " + expand(String.join(" ", columns)) + " in: " + out);
            return this;
        }

        /** These lines and no others, but blank ones. */
        Run lines(String... expected) {
            List<String> lines = out.lines().filter(line -> !line.isBlank()).toList();
            Check.same(lines, List.of(expected).stream().map(Tools::expand).toList(), "lines");
            return this;
        }
    }

    static Run bootstrapped(String tool, String... arguments) throws Exception {
        return typed("", tool, arguments);
    }

    /** With {@code input} on standard input; the arguments may hold several words each. */
    static Run typed(String input, String tool, String... arguments) throws Exception {
        String bootstrap = OLD && tool.equals("get-offsets") ? "--broker-list" : "--bootstrap-server";
        return run(input, tool, bootstrap + " " + Check.BOOTSTRAP + " " + String.join(" ", arguments));
    }

    static Run run(String input, String tool, String arguments) throws Exception {
        ByteArrayOutputStream written = new ByteArrayOutputStream();
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
            OUT.to(written);
            System.setIn(new ByteArrayInputStream(input.getBytes(UTF_8)));
            boolean returned = returns(mainClass(tool), expand(arguments).trim().split(" +"));
            hooks.forEach(Runnable::run);
            System.out.flush();
            int code = first.get() != null ? first.get() : returned ? 0 : 1;
            return new Run(code, written.toString(UTF_8));
        } finally {
            OUT.to(OutputStream.nullOutputStream());
            System.setIn(in);
        }
    }

    static String mainClass(String tool) {
        String same = SAME.get(tool);
        return same != null ? same : MOVED.get(tool).split(" ")[OLD ? 0 : 1];
    }

    /** False when the tool failed with something that is not an exit. */
    private static boolean returns(String mainClass, String[] arguments) throws Exception {
        try {
            Class.forName(mainClass, true, new Fresh(mainClass))
                .getMethod("main", String[].class).invoke(null, (Object) arguments);
            return true;
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof Ended) {
                return true;
            }
            e.getCause().printStackTrace();
            return false;
        }
    }

    private static boolean exists(String name) {
        try {
            Class.forName(name);
            return true;
        } catch (ClassNotFoundException e) {
            return false;
        }
    }

    static String file(String content) throws Exception {
        Path path = Files.createTempFile("ottla-clients", ".txt");
        path.toFile().deleteOnExit();
        return Files.writeString(path, expand(content)).toString();
    }

    /** Loads a tool's package anew: ConsoleConsumer of 2.8 counts its messages in a static field. */
    private static final class Fresh extends ClassLoader {
        private final String begin;

        Fresh(String mainClass) {
            super(Tools.class.getClassLoader());
            begin = mainClass.substring(0, mainClass.lastIndexOf('.') + 1);
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith(begin) || name.indexOf('.', begin.length()) >= 0) {
                return super.loadClass(name, resolve);
            }
            synchronized (getClassLoadingLock(name)) {
                Class<?> loaded = findLoadedClass(name);
                return loaded != null ? loaded : define(name);
            }
        }

        private Class<?> define(String name) throws ClassNotFoundException {
            try (InputStream file = getParent().getResourceAsStream(name.replace('.', '/') + ".class")) {
                if (file == null) {
                    throw new ClassNotFoundException(name);
                }
                byte[] bytes = file.readAllBytes();
                return defineClass(name, bytes, 0, bytes.length);
            } catch (IOException e) {
                throw new ClassNotFoundException(name, e);
            }
        }
    }

    private static final class Switch extends OutputStream {
        private volatile OutputStream target = OutputStream.nullOutputStream();

        void to(OutputStream other) {
            target = other;
        }

        @Override
        public void write(int one) throws IOException {
            target.write(one);
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws IOException {
            target.write(bytes, from, length);
        }
    }

    /** An error, so that a tool's own {@code catch (Exception e)} does not take it for its failure. */
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1L;

        Ended() {
            super("exit", null, false, false);
        }
    }
}
