import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;

/** A main class in a JVM of its own; it ends with the suite at the latest, in whose process group it is. */
final class Running implements AutoCloseable {
    private final ConcurrentLinkedQueue<String> lines = new ConcurrentLinkedQueue<>();
    private final Process process;
    private final Thread reader;

    Running(String mainClass, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(
            System.getProperty("java.home") + File.separator + "bin" + File.separator + "java", "-Xmx256m",
            "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir=" + System.getProperty("java.io.tmpdir"),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp", System.getProperty("java.class.path"), mainClass));
        command.addAll(List.of(arguments));
        process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        reader = new Thread(this::read, mainClass);
        reader.setDaemon(true);
        reader.start();
    }

    private void read() {
        new BufferedReader(new InputStreamReader(process.getInputStream())).lines().forEach(lines::add);
    }

    /** What it has written to its standard output until now. */
    List<String> lines() {
        return new ArrayList<>(lines);
    }

    boolean isAlive() {
        return process.isAlive();
    }

    int exitCode(int seconds) throws Exception {
        Check.eventually("the program ended", seconds, () -> !process.isAlive());
        reader.join(5000);
        return process.exitValue();
    }

    /** SIGTERM, and what follows when that is not enough. */
    @Override
    public void close() throws Exception {
        process.destroy();
        if (!process.waitFor(20, TimeUnit.SECONDS)) {
            process.destroyForcibly();
        }
    }
}
