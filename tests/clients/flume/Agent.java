import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A Flume agent in a JVM of its own, as a system would run it: a properties file, a log, and SIGTERM to stop it. */
final class Agent implements AutoCloseable {
    private static final Path DIRECTORY = Path.of(System.getProperty("java.io.tmpdir"));
    private static final int HEAP_MB = 192;

    private final String name;
    private final Path settings;
    private final Path log;
    private Process process;

    /** Starts it with lines {@code sources.in.type = netcat}, to which the agent's name is added. */
    Agent(String name, String... lines) throws IOException {
        this.name = name;
        settings = DIRECTORY.resolve(name + ".properties");
        log = DIRECTORY.resolve(name + ".log");
        List<String> named = new ArrayList<>();
        for (String line : lines) {
            Arrays.stream(line.split("\n")).map(String::strip).filter(one -> !one.isEmpty())
                .forEach(one -> named.add(name + "." + one));
        }
        Files.write(settings, named);
        start();
    }

    void start() throws IOException {
        process = new ProcessBuilder(
            System.getProperty("java.home") + "/bin/java", "-Xmx" + HEAP_MB + "m", "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka=error", "-cp", System.getProperty("java.class.path"),
            "org.apache.flume.node.Application", "--no-reload-conf", "--name", name, "--conf-file", settings.toString())
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
            .redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()))
            .start();
    }

    /** As a service manager stops it. */
    void stop() throws Exception {
        process.destroy();
        Check.that(process.waitFor(20, TimeUnit.SECONDS), "the agent did not end within 20 s of SIGTERM");
    }

    void kill() throws Exception {
        process.destroyForcibly();
        process.waitFor();
    }

    String log() throws IOException {
        return Files.readString(log);
    }

    @Override
    public void close() throws Exception {
        try {
            if (process.isAlive()) {
                stop();
            }
        } finally {
            kill();
            // For whoever looks after a failed step: the runner shows the end of standard error.
            List<String> lines = Files.readAllLines(log);
            lines.subList(Math.max(0, lines.size() - 5), lines.size())
                .forEach(line -> System.err.println(name + ": " + line));
        }
    }

    /** A directory that a file_roll sink of this name writes into. */
    static Path files(String name) throws IOException {
        return Files.createDirectories(DIRECTORY.resolve(name + "-files"));
    }

    /** The lines of all files that a file_roll sink has written, in its order. */
    static List<String> lines(String name) throws IOException {
        File[] files = files(name).toFile().listFiles();
        Arrays.sort(files);
        List<String> lines = new ArrayList<>();
        for (File file : files) {
            String text = Files.readString(file.toPath());
            // What is behind the last line break is being written.
            int end = text.lastIndexOf('\n');
            if (end > 0) {
                lines.addAll(Arrays.asList(text.substring(0, end).split("\n")));
            }
        }
        return lines;
    }

    static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    static String netcat(int port) {
        return "sources.in.type = netcat\nsources.in.bind = 127.0.0.1\nsources.in.port = " + port
            + "\nsources.in.max-line-length = 3000000\n";
    }

    static String memory(String channel) {
        return "channels." + channel + ".type = memory\nchannels." + channel + ".capacity = 5000\nchannels." + channel
            + ".transactionCapacity = 1000\n";
    }

    static String fileRoll(String sink, String channel, String files) throws IOException {
        String start = "sinks." + sink + ".";
        return start + "type = file_roll\n" + start + "channel = " + channel + "\n" + start + "sink.rollInterval = 0\n"
            + start + "sink.directory = " + files(files) + "\n";
    }

    /** {@code more}: settings of the sink, {@code name = value}. */
    static String kafkaSink(String sink, String channel, String topic, String... more) {
        String start = "sinks." + sink + ".";
        return start + "type = org.apache.flume.sink.kafka.KafkaSink\n" + start + "channel = " + channel + "\n"
            + start + "kafka.bootstrap.servers = " + Check.BOOTSTRAP + "\n" + start + "kafka.topic = " + topic + "\n"
            + prefixed(start, more);
    }

    static String kafkaSource(String source, String channel, String group, String... more) {
        String start = "sources." + source + ".";
        return start + "type = org.apache.flume.source.kafka.KafkaSource\n" + start + "channels = " + channel + "\n"
            + start + "kafka.bootstrap.servers = " + Check.BOOTSTRAP + "\n"
            + start + "kafka.consumer.group.id = " + group + "\n" + start + "batchDurationMillis = 200\n"
            + prefixed(start, "backoffSleepIncrement = 100", "maxBackoffSleep = 500")
            + consumer(start) + prefixed(start, more);
    }

    static String kafkaChannel(String channel, String topic, String... more) {
        String start = "channels." + channel + ".";
        return start + "type = org.apache.flume.channel.kafka.KafkaChannel\n"
            + start + "kafka.bootstrap.servers = " + Check.BOOTSTRAP + "\n" + start + "kafka.topic = " + topic + "\n"
            + start + "kafka.consumer.group.id = " + topic + "\n" + start + "kafka.pollTimeout = 100\n"
            + consumer(start) + prefixed(start, more);
    }

    /** What is waited for when an agent has been killed is its members' session. */
    private static String consumer(String start) {
        return prefixed(start, "kafka.consumer.auto.offset.reset = earliest",
            "kafka.consumer.session.timeout.ms = 6000", "kafka.consumer.heartbeat.interval.ms = 500");
    }

    private static String prefixed(String start, String... lines) {
        StringBuilder text = new StringBuilder();
        for (String line : lines) {
            text.append(start).append(line).append('\n');
        }
        return text.toString();
    }

    /** A connection to a netcat source, which answers each line with OK once the channel has it. */
    static final class Netcat implements AutoCloseable {
        private final Socket socket;
        private final Writer out;
        private final BufferedReader in;

        Netcat(int port) throws Exception {
            socket = connected(port);
            out = new OutputStreamWriter(socket.getOutputStream(), StandardCharsets.UTF_8);
            in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
        }

        private static Socket connected(int port) throws Exception {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
            while (true) {
                try {
                    return new Socket(InetAddress.getLoopbackAddress(), port);
                } catch (IOException e) {
                    Check.that(System.nanoTime() < end, "no agent listens within 30 s: " + e);
                    Thread.sleep(100);
                }
            }
        }

        void send(List<String> lines) throws IOException {
            for (String line : lines) {
                out.write(line + "\n");
            }
            out.flush();
            for (String line : lines) {
                Check.same(in.readLine(), "OK", "answer to a line");
            }
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }
}
