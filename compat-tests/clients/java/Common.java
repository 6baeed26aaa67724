import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What the programs share: the arguments BOOTSTRAP PREFIX SCENARIO, clients, checks, and waiting with a deadline. */
final class Common {
    static final Duration DEADLINE = Duration.ofSeconds(30);
    static String bootstrap;
    static String prefix;

    interface Scenario {
        void run() throws Exception;
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    /** Runs the scenario that the arguments name; prints `ok`, or the reason on standard error. Does not return. */
    static void main(String[] arguments, Duration limit, Map<String, Scenario> scenarios) {
        bootstrap = arguments[0];
        prefix = arguments[1];
        watch(Thread.currentThread(), limit);
        try {
            Scenario scenario = scenarios.get(arguments[2]);
            if (scenario == null) throw new AssertionError("no scenario " + arguments[2]);
            scenario.run();
        } catch (Throwable failure) {
            failure.printStackTrace();
            System.exit(1);
        }
        System.out.println("ok");
        System.exit(0);
    }

    /** Where the scenario stands when its time is up is the best hint that there is. */
    private static void watch(Thread scenario, Duration limit) {
        Thread watch = new Thread(() -> {
            try {
                Thread.sleep(limit.toMillis());
            } catch (InterruptedException never) {
                return;
            }
            System.err.println("not done in " + limit.toSeconds() + " s; it is here:");
            for (StackTraceElement element : scenario.getStackTrace()) System.err.println("    " + element);
            System.exit(1);
        });
        watch.setDaemon(true);
        watch.start();
    }

    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(what);
    }

    static void equal(Object expected, Object actual, Object what) {
        if (!Objects.deepEquals(expected, actual)) {
            throw new AssertionError(what + ": expected " + expected + ", got " + actual);
        }
    }

    /** The call fails with exactly this exception, be it thrown or the cause of a future's. */
    static <E extends Throwable> E fails(Class<E> expected, Callable<?> call) {
        Throwable failure = null;
        try {
            Object result = call.call();
            if (result instanceof Future<?> future) future.get(DEADLINE.toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException wrapped) {
            failure = wrapped.getCause();
        } catch (Exception thrown) {
            failure = thrown;
        }
        if (failure == null || failure.getClass() != expected) {
            throw new AssertionError("expected " + expected.getName() + ", got " + failure, failure);
        }
        return expected.cast(failure);
    }

    static <T> T get(Future<T> future) throws Exception {
        return future.get(DEADLINE.toSeconds(), TimeUnit.SECONDS);
    }

    /** Asks again and again until it holds; the condition itself is expected to take a moment, or is asked 20 times a second. */
    static void await(String what, Condition condition) throws Exception {
        await(what, DEADLINE, condition);
    }

    static void await(String what, Duration limit, Condition condition) throws Exception {
        long end = System.nanoTime() + limit.toNanos();
        while (!condition.holds()) {
            if (System.nanoTime() > end) throw new AssertionError("not in " + limit.toSeconds() + " s: " + what);
            Thread.sleep(50);
        }
    }

    /** Properties with the bootstrap servers, and these names and values in turn. */
    static Properties properties(Object... namesAndValues) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < namesAndValues.length; i += 2) {
            properties.put((String) namesAndValues[i], namesAndValues[i + 1].toString());
        }
        return properties;
    }

    static Admin admin() {
        return Admin.create(properties());
    }

    static KafkaProducer<String, String> producer(Object... namesAndValues) {
        return new KafkaProducer<>(properties(namesAndValues), new StringSerializer(), new StringSerializer());
    }

    /** A consumer that begins at the beginning and commits nothing by itself, unless told otherwise. */
    static KafkaConsumer<String, String> consumer(Object... namesAndValues) {
        Properties properties = properties("auto.offset.reset", "earliest", "enable.auto.commit", "false");
        properties.putAll(properties(namesAndValues));
        return new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    /** Creates a topic and waits until each partition has a leader. */
    static String createTopic(Admin admin, String topic, int partitions, Map<String, String> configs) throws Exception {
        get(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all());
        await("leaders of " + topic, () -> {
            try {
                return Version.describe(admin, topic).partitions().stream()
                    .filter(p -> p.leader() != null && !p.leader().isEmpty()).count() == partitions;
            } catch (ExecutionException notYet) {
                return false;
            }
        });
        return topic;
    }

    static List<TopicPartition> partitions(String topic, int count) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (int p = 0; p < count; p++) partitions.add(new TopicPartition(topic, p));
        return partitions;
    }

    /** Polls until this many have come. More than that in the last poll are kept too: the caller's count shows them. */
    static <K, V> List<ConsumerRecord<K, V>> read(Consumer<K, V> consumer, int count) throws Exception {
        List<ConsumerRecord<K, V>> records = new ArrayList<>();
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (records.size() < count) {
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            if (System.nanoTime() > end) {
                throw new AssertionError("only " + records.size() + " of " + count + " records in " + DEADLINE.toSeconds() + " s");
            }
        }
        return records;
    }

    /** How many records, at least, are in transactions that have not ended. */
    static long openRecords(Consumer<?, ?> uncommitted, Consumer<?, ?> committed, List<TopicPartition> partitions) {
        long end = sum(uncommitted.endOffsets(partitions));
        return end - sum(committed.endOffsets(partitions));
    }

    static long sum(Map<TopicPartition, Long> offsets) {
        return offsets.values().stream().mapToLong(Long::longValue).sum();
    }
}
