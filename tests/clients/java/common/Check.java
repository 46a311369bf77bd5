import java.io.PrintStream;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * The steps of one suite: each is run on its own with a time limit and printed as one line,
 * {@code client | step | ok}, {@code FAILED why} or {@code skipped why}. A failed step ends
 * nothing but itself.
 */
final class Check {
    static final String BOOTSTRAP = need("OTTLA_BOOTSTRAP");
    /** True when the suite is pointed at Apache Kafka, to find out whether the suite is right. */
    static final boolean APACHE = "apache".equals(System.getenv("OTTLA_BROKER"));

    private static final int STEP_SECONDS_MAX = 60;
    private static final int DETAIL_CHARS_MAX = 800;
    /** The real one: a step may put another in place of {@code System.out} and hang before it puts it back. */
    private static final PrintStream OUT = System.out;

    private final String client;
    private int failed;

    Check(String client) {
        this.client = client;
    }

    interface Body {
        void run() throws Exception;
    }

    void step(String name, Body body) {
        ExecutorService thread = Executors.newSingleThreadExecutor(task -> {
            Thread made = new Thread(task, name);
            made.setDaemon(true);
            return made;
        });
        long start = System.nanoTime();
        Future<Void> result = thread.submit((Callable<Void>) () -> {
            body.run();
            return null;
        });
        try {
            result.get(STEP_SECONDS_MAX, TimeUnit.SECONDS);
            print(name, "ok (" + (System.nanoTime() - start) / 1_000_000 + " ms)");
        } catch (ExecutionException e) {
            fail(name, describe(e.getCause()));
        } catch (TimeoutException e) {
            fail(name, "not done after " + STEP_SECONDS_MAX + " s");
        } catch (InterruptedException e) {
            fail(name, "interrupted");
        } finally {
            thread.shutdownNow();
        }
    }

    /** A step that stops or kills the broker; there may be none that the suite can restart. */
    void restartStep(String name, Body body) {
        if (env("OTTLA_CTL").isEmpty()) {
            skip(name, "no broker to restart");
        } else {
            step(name, body);
        }
    }

    void skip(String name, String why) {
        print(name, "skipped " + why);
    }

    /** Ends the program even when a client left a thread behind. */
    void end() {
        OUT.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    private void fail(String name, String why) {
        failed++;
        print(name, "FAILED " + why);
    }

    private void print(String name, String result) {
        String line = result.replaceAll("\\s*\\R\\s*", " ");
        String shown = line.length() <= DETAIL_CHARS_MAX ? line : line.substring(0, DETAIL_CHARS_MAX) + "…";
        OUT.println(client + " | " + name + " | " + shown);
        OUT.flush();
    }

    /** The causes in one line, and the line of the suite that saw it. */
    private static String describe(Throwable thrown) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
            text.append(text.length() == 0 ? "" : " <- ").append(cause);
        }
        for (StackTraceElement frame : thrown.getStackTrace()) {
            // The suites' own classes are the ones without a package.
            if (!frame.getClassName().contains(".") && !frame.getClassName().startsWith("Check")) {
                return "(" + frame.getFileName() + ":" + frame.getLineNumber() + ") " + text;
            }
        }
        return text.toString();
    }

    static void that(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void same(Object seen, Object expected, String what) {
        that(expected.equals(seen), what + ": expected " + expected + ", seen " + seen);
    }

    /** Compares element by element: of a thousand records that are not the same, the first one says it. */
    static void sameList(List<?> seen, List<?> expected, String what) {
        for (int at = 0; at < Math.min(seen.size(), expected.size()); at++) {
            same(seen.get(at), expected.get(at), what + ", number " + at);
        }
        same(seen.size(), expected.size(), what + ", how many");
    }

    /** The body must fail with this class, directly or as a cause. */
    static <T extends Throwable> T fails(Class<T> expected, Body body) {
        try {
            body.run();
        } catch (Throwable thrown) {
            for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
                if (expected.isInstance(cause)) {
                    return expected.cast(cause);
                }
            }
            throw new AssertionError("expected " + expected.getSimpleName() + ", seen " + thrown, thrown);
        }
        throw new AssertionError("expected " + expected.getSimpleName() + ", but it went well");
    }

    static void eventually(String what, int seconds, Callable<Boolean> holds) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (!holds.call()) {
            that(System.nanoTime() < end, "not within " + seconds + " s: " + what);
            Thread.sleep(50);
        }
    }

    static String env(String name) {
        String value = System.getenv(name);
        return value == null ? "" : value;
    }

    /** {@code start}, {@code stop}, {@code kill9} or {@code restart} of the broker under test. */
    static void ctl(String verb) throws Exception {
        Process run = new ProcessBuilder(need("OTTLA_CTL"), verb)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
        same(run.waitFor(), 0, "exit code of ctl " + verb);
    }

    private static String need(String name) {
        String value = System.getenv(name);
        if (value == null) {
            throw new IllegalStateException(name + " is not set");
        }
        return value;
    }
}
