import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.config.ConfigResource;

/** What clients 2.8 call otherwise than 4.x, and what only they have. */
final class Version {
    static final List<Map<String, String>> GROUP_PROTOCOLS = List.of(Map.of("heartbeat.interval.ms", "300"));

    static TopicDescription describe(Admin admin, String topic) throws Exception {
        return Common.get(admin.describeTopics(List.of(topic)).values().get(topic));
    }

    static String state(ConsumerGroupDescription group) {
        return group.state().toString();
    }

    /** These clients have no error for it. */
    static void unknownGroup(Admin admin, String group) throws Exception {
        ConsumerGroupDescription description = Common.get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
        Common.equal("Dead", state(description), "state of an unknown group");
        Common.equal(0, description.members().size(), "members of an unknown group");
    }

    static void describeGroup(Admin admin, String group) {}

    /** The request that sets all configurations of a topic at once, of which later clients know nothing. */
    static void describeTopic(Admin admin, String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config only = new Config(List.of(new ConfigEntry("max.message.bytes", "54321")));
        Common.get(admin.alterConfigs(Map.of(resource, only)).all());
        Common.await("the altered configuration", () ->
            KafkaClients.config(admin, topic, "max.message.bytes").value().equals("54321"));
        Common.equal(true, KafkaClients.config(admin, topic, "retention.ms").isDefault(), "retention.ms is the default again");
    }

    static void transactions(Admin admin, String topic, String id) {}
}
