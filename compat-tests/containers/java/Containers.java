import com.github.dockerjava.api.exception.NotFoundException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.function.Supplier;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.Network;
import org.testcontainers.kafka.ConfluentKafkaContainer;
import org.testcontainers.kafka.KafkaContainer;
import org.testcontainers.utility.DockerImageName;

/** Starts the image by each class and mode of the module, and uses what it gives: Containers CASE IMAGE */
public class Containers {
    private static final Duration STOP_LIMIT = Duration.ofSeconds(3);
    private static final String OTHER_CLUSTER_ID = "b3R0bGEtY29udGFpbmVycw";

    public static void main(String[] args) throws Exception {
        DockerImageName image = DockerImageName.parse(args[1]);
        switch (args[0]) {
            case "apache", "apache-native", "apache-1.21" -> apache(new KafkaContainer(image));
            case "apache-substitute" -> apache(new KafkaContainer(image.asCompatibleSubstituteFor("apache/kafka")));
            case "apache-listeners" -> apacheListeners(new KafkaContainer(image));
            case "confluent", "confluent-1.21" -> confluent(new ConfluentKafkaContainer(image));
            case "confluent-listeners" -> confluentListeners(new ConfluentKafkaContainer(image));
            case "deprecated-kraft", "deprecated-kraft-7.0", "deprecated-2.0" ->
                deprecated(new org.testcontainers.containers.KafkaContainer(image)
                    .withKraft().withClusterId(OTHER_CLUSTER_ID));
            case "deprecated-zookeeper", "deprecated-zookeeper-7.0" ->
                deprecated(new org.testcontainers.containers.KafkaContainer(image));
            // Nobody listens there: a broker that has no use for ZooKeeper must not wait for it.
            case "deprecated-external-zookeeper" ->
                deprecated(new org.testcontainers.containers.KafkaContainer(image)
                    .withExternalZookeeper("localhost:2181"));
            case "deprecated-listener" -> deprecatedListener(new org.testcontainers.containers.KafkaContainer(image));
            default -> throw new AssertionError("no case " + args[0]);
        }
        System.out.println("ok");
    }

    private static void apache(KafkaContainer container) throws Exception {
        use(container, container::getBootstrapServers);
    }

    private static void confluent(ConfluentKafkaContainer container) throws Exception {
        use(container, container::getBootstrapServers);
    }

    private static void deprecated(org.testcontainers.containers.KafkaContainer container) throws Exception {
        use(container, container::getBootstrapServers);
    }

    private static void apacheListeners(KafkaContainer container) throws Exception {
        try (Network network = Network.newNetwork()) {
            container.withNetwork(network).withListener("ottla:19092").withListener("ottla:19093", mapped(container));
            useListeners(container, network, container::getBootstrapServers);
        }
    }

    private static void confluentListeners(ConfluentKafkaContainer container) throws Exception {
        try (Network network = Network.newNetwork()) {
            container.withNetwork(network).withListener("ottla:19092").withListener("ottla:19093", mapped(container));
            useListeners(container, network, container::getBootstrapServers);
        }
    }

    private static void deprecatedListener(org.testcontainers.containers.KafkaContainer container) throws Exception {
        try (Network network = Network.newNetwork()) {
            container.withKraft().withNetwork(network).withNetworkAliases("ottla")
                .withListener(() -> "ottla:19092").withListener(() -> "ottla:19093");
            use(container, container::getBootstrapServers, () -> seenFromTheNetwork(container, network));
        }
    }

    private static Supplier<String> mapped(GenericContainer<?> container) {
        container.addExposedPort(19093);
        return () -> container.getHost() + ":" + container.getMappedPort(19093);
    }

    private static void useListeners(GenericContainer<?> container, Network network, Supplier<String> bootstrap)
            throws Exception {
        use(container, bootstrap, () -> {
            String second = container.getHost() + ":" + container.getMappedPort(19093);
            try (Client client = new Client(second)) {
                Client.same("the second listener advertises", List.of(second), client.nodes());
                client.exchange("through-the-second");
            }
            seenFromTheNetwork(container, network);
        });
    }

    /** A second container of the same image asks the first by the listener that has its name in the network. */
    private static void seenFromTheNetwork(GenericContainer<?> broker, Network network) throws Exception {
        try (GenericContainer<?> other = new GenericContainer<>(DockerImageName.parse(broker.getDockerImageName()))) {
            other.withNetwork(network).withCreateContainerCmdModifier(c -> c.withEntrypoint("sleep").withCmd("100"));
            other.setWaitStrategy(new org.testcontainers.containers.wait.strategy.AbstractWaitStrategy() {
                @Override
                protected void waitUntilReady() {}
            });
            other.start();
            var answer = other.execInContainer("kafka-topics", "--bootstrap-server", "ottla:19092", "--list");
            Client.same("kafka-topics " + answer.getStderr() + " exits", 0, answer.getExitCode());
            var topics = answer.getStdout().lines().filter(line -> !line.startsWith("__")).sorted().toList();
            Client.same("topics seen from the network", topicsMade(broker), topics);
        }
    }

    private static List<String> topicsMade(GenericContainer<?> container) {
        boolean two = container.getExposedPorts().contains(19093);
        return two ? List.of("records", "through-the-second") : List.of("records");
    }

    private interface Check {
        void run() throws Exception;
    }

    private static void use(GenericContainer<?> container, Supplier<String> bootstrap) throws Exception {
        use(container, bootstrap, () -> {});
    }

    private static void use(GenericContainer<?> container, Supplier<String> bootstrap, Check more) throws Exception {
        try {
            container.start();
            Instant ready = Instant.now();
            var started = Instant.parse(container.getCurrentContainerInfo().getState().getStartedAt());
            System.err.println("ready after " + Duration.between(started, ready).toMillis() + " ms");
            try (Client client = new Client(bootstrap.get())) {
                String clusterId = container.getEnvMap().get("CLUSTER_ID");
                if (clusterId != null) {
                    Client.same("cluster id", clusterId, client.clusterId());
                }
                client.exchange("records");
            }
            more.run();
            stop(container);
        } catch (Throwable failure) {
            if (container.getContainerId() != null) {
                System.err.println(container.getLogs());
            }
            throw failure;
        } finally {
            container.stop();
        }
    }

    private static void stop(GenericContainer<?> container) {
        String id = container.getContainerId();
        Instant asked = Instant.now();
        container.stop();
        Duration taken = Duration.between(asked, Instant.now());
        System.err.println("stopped after " + taken.toMillis() + " ms");
        if (taken.compareTo(STOP_LIMIT) > 0) {
            throw new AssertionError("it took " + taken.toMillis() + " ms to stop");
        }
        try {
            DockerClientFactory.lazyClient().inspectContainerCmd(id).exec();
        } catch (NotFoundException gone) {
            return;
        }
        throw new AssertionError("the container is still there");
    }
}
