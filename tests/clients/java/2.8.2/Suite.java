import org.apache.kafka.common.utils.AppInfoParser;

/** kafka-clients 2.8.2, the last of the 2.x line. */
public final class Suite {
    private Suite() {
    }

    public static void main(String[] arguments) {
        Check check = new Check("Java kafka-clients " + AppInfoParser.getVersion());
        new Canonical(check, arguments[0]).all();
        new Newer(check, arguments[0]).all();
        check.end();
    }
}
