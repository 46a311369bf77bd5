import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.config.ConfigResource;

/** What had other names in 2.1.0: one setting is changed with the legacy AlterConfigs (33), which replaces them all. */
final class Calls {
    private Calls() {
    }

    static TopicDescription describe(AdminClient admin, String topic) throws Exception {
        return admin.describeTopics(Set.of(topic)).all().get().get(topic);
    }

    static void alter(AdminClient admin, String topic, String key, String value) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.alterConfigs(Map.of(resource, new Config(List.of(new ConfigEntry(key, value))))).all().get();
    }
}
