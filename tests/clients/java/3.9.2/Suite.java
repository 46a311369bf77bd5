import org.apache.kafka.common.utils.AppInfoParser;

/** kafka-clients 3.9.2, whose defaults are an idempotent producer and two assignors. */
public final class Suite {
    private Suite() {
    }

    public static void main(String[] arguments) {
        Check check = new Check("Java kafka-clients " + AppInfoParser.getVersion());
        new Canonical(check, arguments[0]).all();
        new Newer(check, arguments[0]).all();
        new Newest(check, arguments[0]).all();
        check.end();
    }
}
