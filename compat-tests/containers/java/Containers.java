import com.github.dockerjava.api.exception.NotFoundException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.function.Supplier;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.Network;
import org.testcontainers.containers.wait.strategy.AbstractWaitStrategy;
import org.testcontainers.kafka.ConfluentKafkaContainer;
import org.testcontainers.kafka.KafkaContainer;
import org.testcontainers.utility.DockerImageName;

/** Starts the image by each class and mode of the module, and uses what it gives: Containers CASE IMAGE */
@SuppressWarnings("deprecation")
public class Containers {
    private static final Duration STOP_LIMIT = Duration.ofSeconds(3);
    /** What the module sets where there is no ZooKeeper. */
    private static final String CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw";
    private static final String OTHER_CLUSTER_ID = "b3R0bGEtY29udGFpbmVycw";
    private static final Check NOTHING_MORE = () -> {};

    private interface Check {
        void run() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        DockerImageName image = DockerImageName.parse(args[1]);
        switch (args[0]) {
            case "apache", "apache-native", "apache-1.21" -> apache(new KafkaContainer(image));
            case "apache-substitute" -> apache(new KafkaContainer(image.asCompatibleSubstituteFor("apache/kafka")));
            case "apache-listeners" -> apacheListeners(new KafkaContainer(image));
            case "confluent", "confluent-1.21" -> confluent(new ConfluentKafkaContainer(image));
            case "confluent-listeners" -> confluentListeners(new ConfluentKafkaContainer(image));
            case "deprecated-kraft", "deprecated-kraft-7.0", "deprecated-2.0" -> deprecatedKraft(deprecated(image));
            case "deprecated-listener" -> deprecatedListener(deprecated(image));
            case "deprecated-zookeeper", "deprecated-zookeeper-7.0" -> deprecatedZookeeper(deprecated(image));
            // Nobody listens there: a broker that has no use for ZooKeeper must not wait for it.
            case "deprecated-external-zookeeper" ->
                deprecatedZookeeper(deprecated(image).withExternalZookeeper("localhost:2181"));
            default -> throw new AssertionError("no case " + args[0]);
        }
        System.out.println("ok");
    }

    private static org.testcontainers.containers.KafkaContainer deprecated(DockerImageName image) {
        return new org.testcontainers.containers.KafkaContainer(image);
    }

    private static void apache(KafkaContainer container) throws Exception {
        use(container, container::getBootstrapServers, CLUSTER_ID, NOTHING_MORE);
    }

    private static void confluent(ConfluentKafkaContainer container) throws Exception {
        use(container, container::getBootstrapServers, CLUSTER_ID, NOTHING_MORE);
    }

    private static void deprecatedKraft(org.testcontainers.containers.KafkaContainer container) throws Exception {
        container.withKraft().withClusterId(OTHER_CLUSTER_ID);
        use(container, container::getBootstrapServers, OTHER_CLUSTER_ID, NOTHING_MORE);
    }

    private static void deprecatedZookeeper(org.testcontainers.containers.KafkaContainer container) throws Exception {
        use(container, container::getBootstrapServers, null, NOTHING_MORE);
    }

    private static void apacheListeners(KafkaContainer container) throws Exception {
        try (Network network = Network.newNetwork()) {
            container.withNetwork(network).withListener("ottla:19092").withListener("ottla:19093", mapped(container));
            use(container, container::getBootstrapServers, CLUSTER_ID, () -> bothListeners(container, network));
        }
    }

    private static void confluentListeners(ConfluentKafkaContainer container) throws Exception {
        try (Network network = Network.newNetwork()) {
            container.withNetwork(network).withListener("ottla:19092").withListener("ottla:19093", mapped(container));
            use(container, container::getBootstrapServers, CLUSTER_ID, () -> bothListeners(container, network));
        }
    }

    private static void deprecatedListener(org.testcontainers.containers.KafkaContainer container) throws Exception {
        try (Network network = Network.newNetwork()) {
            container.withKraft().withNetwork(network).withNetworkAliases("ottla").withListener(() -> "ottla:19092");
            use(container, container::getBootstrapServers, CLUSTER_ID,
                () -> fromTheNetwork(container, network, "records"));
        }
    }

    /** Has port 19093 published, and gives the address that it then has. */
    private static Supplier<String> mapped(GenericContainer<?> container) {
        container.addExposedPort(19093);
        return () -> container.getHost() + ":" + container.getMappedPort(19093);
    }

    private static void bothListeners(GenericContainer<?> container, Network network) throws Exception {
        String second = container.getHost() + ":" + container.getMappedPort(19093);
        try (Client client = new Client(second)) {
            Client.same("addresses that the second listener tells", List.of(second), client.nodes());
            client.exchange("through-the-second");
        }
        fromTheNetwork(container, network, "records", "through-the-second");
    }

    /** A second container of the same image asks the first, by the listener that has its name in the network. */
    private static void fromTheNetwork(GenericContainer<?> broker, Network network, String... topics) throws Exception {
        try (GenericContainer<?> other = new GenericContainer<>(DockerImageName.parse(broker.getDockerImageName()))) {
            // Not by the network's DNS: musl asks every nameserver at once, and podman names the machine's as well.
            var networks = broker.getCurrentContainerInfo().getNetworkSettings().getNetworks().values();
            other.withExtraHost("ottla", networks.iterator().next().getIpAddress());
            other.withNetwork(network).withCreateContainerCmdModifier(c -> c.withEntrypoint("sleep").withCmd("100"));
            other.waitingFor(new AbstractWaitStrategy() {
                @Override
                protected void waitUntilReady() {}
            });
            other.start();
            var answer = other.execInContainer("kafka-topics", "--bootstrap-server", "ottla:19092", "--list");
            Client.same("exit code of kafka-topics, with " + answer.getStderr(), 0, answer.getExitCode());
            var found = answer.getStdout().lines().filter(line -> !line.startsWith("__")).sorted().toList();
            Client.same("topics seen from the network", List.of(topics), found);
        }
    }

    private static void use(
            GenericContainer<?> container, Supplier<String> bootstrap, String clusterId, Check more) throws Exception {
        try {
            container.start();
            Instant ready = Instant.now();
            var started = Instant.parse(container.getCurrentContainerInfo().getState().getStartedAt());
            System.err.println("ready after " + Duration.between(started, ready).toMillis() + " ms");
            try (Client client = new Client(bootstrap.get())) {
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
