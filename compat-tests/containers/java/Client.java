import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** A plain client of the broker in the container. */
class Client implements AutoCloseable {
    private static final int PARTITIONS = 3;
    private static final int RECORDS = 10;
    private static final long LIMIT_S = 30;

    private final String bootstrap;
    private final Admin admin;

    Client(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    String clusterId() throws Exception {
        return admin.describeCluster().clusterId().get(LIMIT_S, TimeUnit.SECONDS);
    }

    List<String> nodes() throws Exception {
        var nodes = admin.describeCluster().nodes().get(LIMIT_S, TimeUnit.SECONDS);
        return nodes.stream().map(node -> node.host() + ":" + node.port()).toList();
    }

    /** Makes a topic, produces to each of its partitions in turn and reads it back in a group. */
    void exchange(String topic) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1))).all().get(LIMIT_S, TimeUnit.SECONDS);
        Map<Integer, List<String>> sent = produce(topic);
        same("records of " + topic, sent, consume(topic));
    }

    private Map<Integer, List<String>> produce(String topic) throws Exception {
        Map<Integer, List<String>> sent = new HashMap<>();
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int n = 0; n < RECORDS; n++) {
                var record = new ProducerRecord<>(topic, n % PARTITIONS, "key " + n, "value " + n);
                var stored = producer.send(record).get(LIMIT_S, TimeUnit.SECONDS);
                same("offset of record " + n, (long) (n / PARTITIONS), stored.offset());
                sent.computeIfAbsent(n % PARTITIONS, partition -> new ArrayList<>())
                    .add(stored.offset() + " key " + n + " value " + n);
            }
        }
        return sent;
    }

    private Map<Integer, List<String>> consume(String topic) {
        Map<Integer, List<String>> seen = new HashMap<>();
        Map<String, Object> config =
            Map.of("bootstrap.servers", bootstrap, "group.id", "readers-of-" + topic, "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
            for (int count = 0; count < RECORDS && System.nanoTime() < deadline; ) {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    seen.computeIfAbsent(record.partition(), partition -> new ArrayList<>())
                        .add(record.offset() + " " + record.key() + " " + record.value());
                    count++;
                }
            }
            consumer.commitSync(Duration.ofSeconds(LIMIT_S));
        }
        return seen;
    }

    static void same(String what, Object expected, Object found) {
        if (!expected.equals(found)) {
            throw new AssertionError(what + ": expected " + expected + ", found " + found);
        }
    }

    @Override
    public void close() {
        admin.close();
    }
}
