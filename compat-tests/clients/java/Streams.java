import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/** Applications of Kafka Streams: state that is restored, exactly once through a kill, windows, and tables. */
public final class Streams {
    public static void main(String[] arguments) throws Exception {
        if (arguments[2].equals("sums-until-killed")) {
            sumsUntilKilled(arguments);
            return;
        }
        Runtime.getRuntime().addShutdownHook(new Thread(Application::removeState));
        Common.main(arguments, Duration.ofSeconds(115), Map.of(
            "words", Streams::words,
            "exactly-once", Streams::exactlyOnce,
            "windows", Streams::windows,
            "globaltable", Streams::globalTable));
    }

    // words

    /** Counts words; a second run with an empty state directory goes on from the changelog. */
    static void words() throws Exception {
        String application = Common.prefix + "-words";
        String lines = application + "-lines";
        String counts = application + "-counts";
        try (Admin admin = Common.admin(); KafkaProducer<String, String> producer = Common.producer(); Output output = new Output(counts, 2)) {
            Common.createTopic(admin, lines, 2, Map.of());
            Common.createTopic(admin, counts, 2, Map.of());

            StreamsBuilder builder = new StreamsBuilder();
            builder.<String, String>stream(lines)
                .flatMapValues(line -> List.of(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.as("by-word"))
                .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts").withValueSerde(Serdes.Long()))
                .toStream().mapValues(String::valueOf).to(counts);
            Topology topology = builder.build();
            List<TopicPartition> changelog = Common.partitions(application + "-counts-changelog", 2);
            List<TopicPartition> repartition = Common.partitions(application + "-by-word-repartition", 2);

            Application first = new Application(topology, application, "processing.guarantee", "at_least_once", "repartition.purge.interval.ms", 100);
            produceLines(producer, lines, 0, 100);
            output.awaitLatest(wordsOf(0, 100));
            Common.equal(wordsOf(0, 100), first.store("counts"), "store of the first run");
            Common.equal("compact", config(admin, changelog.get(0).topic(), "cleanup.policy"), "cleanup.policy of the changelog");
            Common.equal("delete", config(admin, repartition.get(0).topic(), "cleanup.policy"), "cleanup.policy of the repartition topic");
            Common.equal("-1", config(admin, repartition.get(0).topic(), "retention.ms"), "retention.ms of the repartition topic");
            try (KafkaConsumer<String, String> consumer = Common.consumer()) {
                Map<TopicPartition, Long> ends = consumer.endOffsets(repartition);
                Common.equal(300L, Common.sum(ends), "records of the repartition topic");
                Common.await("the repartition topic is purged", () -> consumer.beginningOffsets(repartition).equals(ends));
            }
            first.close();

            long changes;
            try (KafkaConsumer<String, Long> consumer = new KafkaConsumer<>(Common.properties(), new StringDeserializer(), new LongDeserializer())) {
                changes = Common.sum(consumer.endOffsets(changelog));
                consumer.assign(changelog);
                consumer.seekToBeginning(changelog);
                Map<String, String> latest = new TreeMap<>();
                Common.read(consumer, (int) changes).forEach(record -> latest.put(record.key(), record.value().toString()));
                Common.equal(wordsOf(0, 100), latest, "what the changelog says");
            }

            produceLines(producer, lines, 100, 200);
            Application second = new Application(topology, application, "processing.guarantee", "at_least_once");
            output.awaitLatest(wordsOf(0, 200));
            Common.equal(wordsOf(0, 200), second.store("counts"), "store of the second run");
            Common.equal(changes, second.restored.get(), "records restored from the changelog");
            second.close();
        }
    }

    private static String line(int i) {
        return "every w" + i % 7 + " x" + i % 13;
    }

    private static Map<String, String> wordsOf(int from, int to) {
        Map<String, Integer> counts = new HashMap<>();
        for (int i = from; i < to; i++) for (String word : line(i).split(" ")) counts.merge(word, 1, Integer::sum);
        Map<String, String> words = new TreeMap<>();
        counts.forEach((word, count) -> words.put(word, count.toString()));
        return words;
    }

    private static void produceLines(KafkaProducer<String, String> producer, String topic, int from, int to) throws Exception {
        List<Future<RecordMetadata>> acknowledged = new ArrayList<>();
        for (int i = from; i < to; i++) acknowledged.add(producer.send(new ProducerRecord<>(topic, i % 2, null, line(i))));
        for (Future<RecordMetadata> future : acknowledged) Common.get(future);
    }

    // exactly-once

    private static final int NUMBERS = 2000;
    private static final int KEYS = 10;

    /** Running sums; the first run is killed, the second closed, both in the middle, and every sum comes exactly once. */
    static void exactlyOnce() throws Exception {
        String application = Common.prefix + "-sums";
        List<TopicPartition> outputs = Common.partitions(application + "-out", 2);
        try (Admin admin = Common.admin(); KafkaProducer<String, String> producer = Common.producer();
            Output output = new Output(application + "-out", 2);
            KafkaConsumer<String, String> uncommitted = Common.consumer("isolation.level", "read_uncommitted")) {
            Common.createTopic(admin, application + "-in", 2, Map.of());
            Common.createTopic(admin, application + "-out", 2, Map.of());
            List<Future<RecordMetadata>> acknowledged = new ArrayList<>();
            for (int i = 0; i < NUMBERS; i++) acknowledged.add(producer.send(new ProducerRecord<>(application + "-in", "key-" + i % KEYS, "" + i)));
            for (Future<RecordMetadata> future : acknowledged) Common.get(future);

            Process killed = new ProcessBuilder(ProcessHandle.current().info().command().orElseThrow(),
                "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-Dottla.workshop=" + System.getProperty("ottla.workshop"), "-cp", System.getProperty("java.class.path"),
                "Streams", Common.bootstrap, Common.prefix, "sums-until-killed").redirectError(ProcessBuilder.Redirect.INHERIT).start();
            try {
                output.awaitCount(200);
                // Early in a transaction, which then is one to abort.
                Common.await("an open transaction", () -> {
                    long open = Common.openRecords(uncommitted, output.consumer, outputs);
                    return open >= 20 && open <= 100;
                });
            } finally {
                killed.destroyForcibly().waitFor();
            }
            output.poll();
            Common.check(output.records.size() < NUMBERS / 2, "the first run was killed too late: " + output.records.size());

            Application second = sums(3);
            output.awaitCount(NUMBERS / 2);
            second.close();
            Common.check(output.records.size() < NUMBERS, "the second run was closed too late: " + output.records.size());
            Common.check(second.restored.get() > 0, "the second run restored nothing");

            Application third = sums(0);
            output.awaitCount(NUMBERS);
            third.close();
            output.poll();
            Map<String, List<String>> expected = new TreeMap<>();
            long[] sums = new long[KEYS];
            for (int i = 0; i < NUMBERS; i++) {
                sums[i % KEYS] += i;
                expected.computeIfAbsent("key-" + i % KEYS, key -> new ArrayList<>()).add("" + sums[i % KEYS]);
            }
            Common.equal(expected, output.byKey(), "running sums");

            uncommitted.assign(outputs);
            Map<TopicPartition, Long> ends = uncommitted.endOffsets(outputs);
            AtomicLong all = new AtomicLong();
            Common.await("the end of the output", () -> {
                all.addAndGet(uncommitted.poll(Duration.ofMillis(100)).count());
                return outputs.stream().allMatch(partition -> uncommitted.position(partition) == ends.get(partition));
            });
            Common.check(all.get() >= NUMBERS + 20, "no transaction was aborted: there are " + all + " records");
        }
    }

    private static Application sums(int delayMs) throws Exception {
        String application = Common.prefix + "-sums";
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(application + "-in")
            .peek((key, value) -> sleep(delayMs))
            .groupByKey()
            .aggregate(() -> "0", (key, value, sum) -> "" + (Long.parseLong(sum) + Long.parseLong(value)), Materialized.as("sums"))
            .toStream().to(application + "-out");
        // Without a cache every number gives a sum.
        return new Application(builder.build(), application, "processing.guarantee", "exactly_once_v2", "statestore.cache.max.bytes", 0,
            "commit.interval.ms", 1500, "producer.linger.ms", 0);
    }

    private static void sleep(int ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void sumsUntilKilled(String[] arguments) throws Exception {
        Common.bootstrap = arguments[0];
        Common.prefix = arguments[1];
        sums(5);
        // The end of standard input is the end of the process that started this one.
        while (System.in.read() >= 0) {}
        Runtime.getRuntime().halt(1);
    }

    // windows

    /** Counts of closed windows, with a record too late for its own, and joins within five seconds. */
    static void windows() throws Exception {
        String application = Common.prefix + "-windows";
        String events = application + "-events";
        String left = application + "-left";
        String right = application + "-right";
        // A whole number of windows, and old enough that the last of them is in the past.
        long base = (System.currentTimeMillis() / 10_000 - 1000) * 10_000;
        try (Admin admin = Common.admin(); KafkaProducer<String, String> producer = Common.producer();
            Output counts = new Output(application + "-counts", 1);
            Output inner = new Output(application + "-inner", 1);
            Output outer = new Output(application + "-outer", 1)) {
            for (String topic : List.of("events", "left", "right", "counts", "inner", "outer")) {
                Common.createTopic(admin, application + "-" + topic, 1, Map.of());
            }
            StreamsBuilder builder = new StreamsBuilder();
            builder.<String, String>stream(events)
                .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
                .windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofSeconds(10)))
                .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("windowed")
                    .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
                .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
                .toStream((window, count) -> window.key() + "@" + (window.window().start() - base) / 1000)
                .mapValues(String::valueOf).to(application + "-counts");
            KStream<String, String> lefts = builder.stream(left);
            KStream<String, String> rights = builder.stream(right);
            JoinWindows within = JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofSeconds(5));
            lefts.join(rights, (l, r) -> l + "+" + r, within).to(application + "-inner");
            lefts.leftJoin(rights, (l, r) -> l + "+" + r, within).to(application + "-outer");
            Application running = new Application(builder.build(), application);

            List<String> expected = new ArrayList<>();
            for (int window = 0; window < 10; window++) {
                for (int i = 0; i <= window; i++) send(producer, events, "a", "event", base + window * 10_000 + i);
                send(producer, events, "b", "event", base + window * 10_000 + 9_999);
                if (window == 4) send(producer, events, "a", "late", base + 5);
                expected.add("a@" + window * 10 + "=" + (window + 1));
                expected.add("b@" + window * 10 + "=1");
            }
            send(producer, events, "flush", "event", base + 200_000);
            counts.awaitCount(20);
            Common.equal(expected, counts.keysAndValues(), "counts of closed windows");

            send(producer, left, "k", "l0", base);
            send(producer, right, "k", "r3", base + 3_000);
            send(producer, right, "k", "r9", base + 9_000);
            send(producer, left, "k", "l20", base + 20_000);
            send(producer, right, "k", "r26", base + 26_000);
            send(producer, left, "k", "l40", base + 40_000);
            send(producer, right, "k", "r45", base + 45_000);
            send(producer, left, "k", "l48", base + 48_000);
            // Streams emits what found no partner when a later record comes, and looks for it once in a second.
            AtomicLong later = new AtomicLong(base + 200_000);
            Common.await("what found no partner", () -> {
                send(producer, left, "flush", "l", later.get());
                send(producer, right, "flush", "r", later.addAndGet(20_000));
                outer.poll();
                return outer.valuesOf("k").size() >= 4;
            });
            inner.awaitCount(3);
            running.close();
            counts.poll();
            inner.poll();
            outer.poll();
            Common.equal(expected, counts.keysAndValues(), "counts of closed windows at the end");
            Common.equal(List.of("l0+r3", "l40+r45", "l48+r45"), sorted(inner.valuesOf("k")), "pairs");
            Common.equal(List.of("l0+r3", "l20+null", "l40+r45", "l48+r45"), sorted(outer.valuesOf("k")), "pairs, and what has no partner");
        }
    }

    private static List<String> sorted(List<String> values) {
        return values.stream().sorted().toList();
    }

    // globaltable

    /** A stream joined with a global table, and a table with another by a foreign key, while the tables change. */
    static void globalTable() throws Exception {
        String application = Common.prefix + "-orders";
        String orders = application + "-placed";
        String customers = application + "-customers";
        String tableOrders = application + "-table";
        String tableCustomers = application + "-table-customers";
        try (Admin admin = Common.admin(); KafkaProducer<String, String> producer = Common.producer();
            Output joined = new Output(application + "-joined", 2);
            Output leftJoined = new Output(application + "-left-joined", 2);
            Output tableJoined = new Output(application + "-table-joined", 2)) {
            for (String topic : List.of("placed", "customers", "table", "table-customers", "joined", "left-joined", "table-joined")) {
                Common.createTopic(admin, application + "-" + topic, 2, topic.endsWith("customers") ? Map.of("cleanup.policy", "compact") : Map.of());
            }
            for (int c = 0; c < 10; c++) send(producer, customers, "c" + c, "name" + c, null);

            StreamsBuilder builder = new StreamsBuilder();
            GlobalKTable<String, String> names = builder.globalTable(customers, Materialized.as("customers"));
            KStream<String, String> placed = builder.stream(orders);
            placed.join(names, (order, customer) -> customer, (customer, name) -> customer + ":" + name).to(application + "-joined");
            placed.leftJoin(names, (order, customer) -> customer, (customer, name) -> customer + ":" + name).to(application + "-left-joined");
            KTable<String, String> byOrder = builder.table(tableOrders);
            KTable<String, String> byCustomer = builder.table(tableCustomers);
            byOrder.join(byCustomer, customer -> customer, (customer, name) -> customer + ":" + name).toStream().to(application + "-table-joined");
            Application running = new Application(builder.build(), application, "statestore.cache.max.bytes", 0);
            Map<String, String> global = new TreeMap<>();
            for (int c = 0; c < 10; c++) global.put("c" + c, "name" + c);
            Common.equal(global, running.store("customers"), "the global table at the start");

            // Of twelve customers that are ordered for, ten are known.
            Map<String, String> expected = new TreeMap<>();
            Map<String, String> expectedLeft = new TreeMap<>();
            for (int o = 0; o < 24; o++) {
                String customer = "c" + o % 12;
                send(producer, orders, "o" + o, customer, null);
                if (o % 12 < 10) expected.put("o" + o, customer + ":name" + o % 12);
                expectedLeft.put("o" + o, customer + ":" + global.get(customer));
            }
            joined.awaitCount(20);
            leftJoined.awaitCount(24);

            send(producer, customers, "c1", "renamed", null);
            send(producer, customers, "c2", null, null);
            global.put("c1", "renamed");
            global.remove("c2");
            Common.await("the changed global table", () -> running.store("customers").equals(global));
            send(producer, orders, "o24", "c1", null);
            send(producer, orders, "o25", "c2", null);
            send(producer, orders, "o26", "c3", null);
            expected.putAll(Map.of("o24", "c1:renamed", "o26", "c3:name3"));
            expectedLeft.putAll(Map.of("o24", "c1:renamed", "o25", "c2:null", "o26", "c3:name3"));
            joined.awaitCount(22);
            leftJoined.awaitCount(27);

            // By a foreign key: a change on either side changes what is joined.
            for (int c = 0; c < 3; c++) send(producer, tableCustomers, "c" + c, "name" + c, null);
            for (int o = 0; o < 6; o++) send(producer, tableOrders, "o" + o, "c" + o % 3, null);
            Map<String, String> expectedTable = new TreeMap<>();
            for (int o = 0; o < 6; o++) expectedTable.put("o" + o, "c" + o % 3 + ":name" + o % 3);
            tableJoined.awaitLatest(expectedTable);
            send(producer, tableCustomers, "c1", "renamed", null);
            send(producer, tableOrders, "o0", "c2", null);
            send(producer, tableOrders, "o5", null, null);
            expectedTable.putAll(Map.of("o1", "c1:renamed", "o4", "c1:renamed", "o0", "c2:name2"));
            expectedTable.put("o5", null);
            tableJoined.awaitLatest(expectedTable);

            running.close();
            joined.poll();
            leftJoined.poll();
            Common.equal(expected, joined.latest(), "joined with the global table");
            Common.equal(22, joined.records.size(), "how many were joined");
            Common.equal(expectedLeft, leftJoined.latest(), "left-joined with the global table");
            Common.equal(27, leftJoined.records.size(), "how many were left-joined");
        }
    }

    private static void send(KafkaProducer<String, String> producer, String topic, String key, String value, Long timestamp) throws Exception {
        Common.get(producer.send(new ProducerRecord<>(topic, null, timestamp, key, value)));
    }

    private static String config(Admin admin, String topic, String name) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return Common.get(admin.describeConfigs(List.of(resource)).all()).get(resource).get(name).value();
    }

    /** A running application with an empty state directory of its own. */
    private static final class Application {
        final AtomicLong restored = new AtomicLong();
        private final KafkaStreams streams;

        Application(Topology topology, String id, Object... more) throws Exception {
            Path directory = Files.createTempDirectory(Files.createDirectories(state()), "run-");
            Properties properties = Common.properties("application.id", id, "state.dir", directory, "num.stream.threads", 1,
                "commit.interval.ms", 100, "default.key.serde", Serdes.String().getClass().getName(),
                "default.value.serde", Serdes.String().getClass().getName(),
                // That a killed run's member and transaction do not hold up the next for long.
                "session.timeout.ms", 6000, "heartbeat.interval.ms", 1000);
            properties.putAll(Common.properties(more));
            streams = new KafkaStreams(topology, properties);
            streams.setUncaughtExceptionHandler(thrown -> {
                thrown.printStackTrace();
                new Thread(() -> System.exit(1)).start();
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.setGlobalStateRestoreListener(new Restored());
            streams.start();
            Common.await(id + " runs", Duration.ofSeconds(60), () -> streams.state() == KafkaStreams.State.RUNNING);
        }

        Map<String, String> store(String name) {
            ReadOnlyKeyValueStore<String, Object> store =
                streams.store(StoreQueryParameters.fromNameAndType(name, QueryableStoreTypes.keyValueStore()));
            Map<String, String> content = new TreeMap<>();
            try (KeyValueIterator<String, Object> all = store.all()) {
                all.forEachRemaining(entry -> content.put(entry.key, entry.value.toString()));
            }
            return content;
        }

        void close() {
            Common.check(streams.close(Common.DEADLINE), "the application does not close");
        }

        /** Of all applications of this scenario, a killed one's too. */
        private static Path state() {
            return Path.of(System.getProperty("ottla.workshop"), "state", Common.prefix);
        }

        static void removeState() {
            try (Stream<Path> files = Files.walk(state())) {
                files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            } catch (IOException none) {
                // There is nothing to remove.
            }
        }

        private final class Restored implements StateRestoreListener {
            @Override
            public void onRestoreStart(TopicPartition partition, String store, long from, long to) {}

            @Override
            public void onBatchRestored(TopicPartition partition, String store, long to, long count) {}

            @Override
            public void onRestoreEnd(TopicPartition partition, String store, long count) {
                restored.addAndGet(count);
            }
        }
    }

    /** The committed records of a topic, from its beginning. */
    private static final class Output implements AutoCloseable {
        final List<ConsumerRecord<String, String>> records = new ArrayList<>();
        private final KafkaConsumer<String, String> consumer = Common.consumer("isolation.level", "read_committed");

        Output(String topic, int partitions) {
            consumer.assign(Common.partitions(topic, partitions));
            consumer.seekToBeginning(consumer.assignment());
        }

        void poll() {
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
        }

        void awaitCount(int count) throws Exception {
            Common.await(count + " records in " + consumer.assignment(), Duration.ofSeconds(60), () -> {
                poll();
                return records.size() >= count;
            });
        }

        void awaitLatest(Map<String, String> expected) throws Exception {
            try {
                Common.await("the latest values", () -> {
                    poll();
                    return latest().equals(expected);
                });
            } catch (AssertionError late) {
                Common.equal(expected, latest(), late.getMessage());
            }
        }

        Map<String, String> latest() {
            Map<String, String> latest = new TreeMap<>();
            records.forEach(record -> latest.put(record.key(), record.value()));
            return latest;
        }

        Map<String, List<String>> byKey() {
            Map<String, List<String>> values = new TreeMap<>();
            records.forEach(record -> values.computeIfAbsent(record.key(), key -> new ArrayList<>()).add(record.value()));
            return values;
        }

        List<String> valuesOf(String key) {
            return byKey().getOrDefault(key, List.of());
        }

        List<String> keysAndValues() {
            return records.stream().map(record -> record.key() + "=" + record.value()).toList();
        }

        @Override
        public void close() {
            consumer.close();
        }
    }
}
