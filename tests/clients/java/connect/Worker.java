import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A Connect worker in a JVM of its own, and what its REST interface says. */
final class Worker implements AutoCloseable {
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    private final Running running;
    private final String address;

    private Worker(String mainClass, Path directory, List<String> settings, List<Path> connectors) throws Exception {
        try (ServerSocket free = new ServerSocket(0)) {
            address = "http://127.0.0.1:" + free.getLocalPort();
        }
        List<String> lines = new ArrayList<>(settings);
        lines.add("bootstrap.servers=" + Check.BOOTSTRAP);
        lines.add("key.converter=org.apache.kafka.connect.storage.StringConverter");
        lines.add("value.converter=org.apache.kafka.connect.storage.StringConverter");
        lines.add("listeners=" + address);
        // The connectors are found by their manifests; the default scans every class of the class path as well.
        lines.add("plugin.discovery=service_load");
        lines.add("offset.flush.interval.ms=1000");
        // A broker that was killed is noticed by its closed connection; a member that was killed only by this.
        lines.add("consumer.session.timeout.ms=6000");
        lines.add("consumer.heartbeat.interval.ms=1000");
        List<String> arguments = new ArrayList<>();
        arguments.add(Files.write(directory.resolve("worker.properties"), lines).toString());
        connectors.forEach(connector -> arguments.add(connector.toString()));
        running = new Running(mainClass, arguments.toArray(new String[0]));
    }

    static Worker standalone(Path directory, Path... connectors) throws Exception {
        List<String> settings = List.of("offset.storage.file.filename=" + directory.resolve("offsets"));
        return new Worker("org.apache.kafka.connect.cli.ConnectStandalone", directory, settings, List.of(connectors));
    }

    /** Three topics of its own, each with the one replica that every single broker needs to be asked for. */
    static Worker distributed(Path directory, String group) throws Exception {
        List<String> settings = new ArrayList<>(List.of("group.id=" + group, "session.timeout.ms=6000",
            "heartbeat.interval.ms=1000"));
        for (String topic : List.of("config", "offset", "status")) {
            settings.add(topic + ".storage.topic=" + group + "-" + topic);
            settings.add(topic + ".storage.replication.factor=1");
        }
        return new Worker("org.apache.kafka.connect.cli.ConnectDistributed", directory, settings, List.of());
    }

    /** Waits until the connector and its one task run. */
    Worker runs(String connector) throws Exception {
        Check.eventually("connector " + connector + " and its task run", 40, () -> {
            Check.that(running.isAlive(), "Connect has ended");
            return get("/connectors/" + connector + "/status").split("\"state\":\"RUNNING\"", -1).length == 3;
        });
        return this;
    }

    /** The answer's body; empty while there is nobody to ask. */
    String get(String path) {
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create(address + path)).build();
            return HTTP.send(request, HttpResponse.BodyHandlers.ofString()).body();
        } catch (Exception e) {
            return "";
        }
    }

    void create(String connector) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(address + "/connectors"))
            .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(connector)).build();
        HttpResponse<String> answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
        Check.same(answer.statusCode(), 201, "status after " + answer.body());
    }

    @Override
    public void close() throws Exception {
        running.close();
    }
}
