import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.ConnectException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.connect.cli.ConnectDistributed;

/** Workers of Kafka Connect in distributed mode, with connectors between topics and files, driven through their REST. */
public final class Connect {
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<Worker> WORKERS = new ArrayList<>();
    private static Path directory;

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("worker")) {
            worker(arguments[1]);
            return;
        }
        directory = Files.createDirectories(Path.of(System.getProperty("ottla.workshop"), "state", arguments[1]));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> WORKERS.forEach(worker -> worker.process.destroyForcibly())));
        Common.main(arguments, Duration.ofSeconds(115), Map.of(
            "sink", () -> reported(Connect::sink),
            "source", () -> reported(Connect::source),
            "exactly-once-source", () -> reported(Connect::exactlyOnceSource),
            "two-workers", () -> reported(Connect::twoWorkers),
            "rest", () -> reported(Connect::rest)));
    }

    /** Failures come with what the workers logged; success leaves nothing behind. */
    private static void reported(Common.Scenario scenario) throws Exception {
        try {
            scenario.run();
        } catch (Throwable failure) {
            for (Worker worker : WORKERS) System.err.println(worker.log + ":\n" + Files.readString(worker.log));
            throw failure;
        }
        for (Worker worker : WORKERS) worker.process.destroyForcibly().waitFor();
        try (var files = Files.list(directory)) {
            for (Path file : files.toList()) Files.delete(file);
        }
        Files.delete(directory);
    }

    /** What runs in a process of its own. It ends with the process that started it. */
    private static void worker(String properties) throws Exception {
        Thread parent = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {}
            } catch (IOException gone) {
                // As good as the end.
            }
            Runtime.getRuntime().halt(1);
        });
        parent.setDaemon(true);
        parent.start();
        ConnectDistributed.main(new String[] {properties});
    }

    static void sink() throws Exception {
        String topic = Common.prefix + "-sink";
        Path file = directory.resolve("sunk");
        try (Admin admin = Common.admin(); KafkaProducer<String, String> producer = Common.producer()) {
            Common.createTopic(admin, topic, 3, Map.of());
            Set<String> expected = produceToSink(producer, topic, 0, 300);
            Worker worker = new Worker();
            worker.create(topic, Map.of("connector.class", "lines.LinesSink", "tasks.max", 2, "topics", topic, "file", file));
            worker.awaitState(topic, "RUNNING", 2);
            Common.await("300 lines", PATIENCE, () -> Files.exists(file) && Files.readAllLines(file).size() >= 300);
            expected.addAll(produceToSink(producer, topic, 300, 360));
            Common.await("60 more lines", () -> Files.readAllLines(file).size() >= 360);
            Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(
                new TopicPartition(topic, 0), new OffsetAndMetadata(120),
                new TopicPartition(topic, 1), new OffsetAndMetadata(120),
                new TopicPartition(topic, 2), new OffsetAndMetadata(120));
            Common.await("the sink's committed offsets", () -> offsets.equals(
                Common.get(admin.listConsumerGroupOffsets("connect-" + topic).partitionsToOffsetAndMetadata())));
            List<String> lines = Files.readAllLines(file);
            Common.equal(360, lines.size(), "lines");
            Common.equal(expected, new TreeSet<>(lines), "lines of the sink");
            long[] next = new long[3];
            for (String line : lines) {
                String[] words = line.split(" ");
                Common.equal("" + next[Integer.parseInt(words[0])]++, words[1], "order in partition " + words[0]);
            }
        }
    }

    /** Returns the lines that the sink makes of them. */
    private static Set<String> produceToSink(KafkaProducer<String, String> producer, String topic, int from, int to) throws Exception {
        Set<String> lines = new TreeSet<>();
        for (int i = from; i < to; i++) {
            String value = i % 50 == 0 ? null : "value-" + i;
            long offset = Common.get(producer.send(new ProducerRecord<>(topic, i % 3, "key-" + i, value))).offset();
            lines.add(i % 3 + " " + offset + " key-" + i + " " + value);
        }
        return lines;
    }

    static void source() throws Exception {
        String topic = Common.prefix + "-source";
        Path file = write("source", 0, 300);
        Worker worker = new Worker();
        worker.create(topic, Map.of("connector.class", "lines.LinesSource", "tasks.max", 1, "files", file, "topic", topic,
            "topic.creation.default.partitions", 2, "topic.creation.default.replication.factor", 1));
        worker.awaitState(topic, "RUNNING", 1);
        try (Admin admin = Common.admin(); KafkaConsumer<String, String> consumer = Common.consumer("isolation.level", "read_committed")) {
            Common.await("the topic that the worker creates", () -> Common.get(admin.listTopics().names()).contains(topic));
            Common.equal(2, Version.describe(admin, topic).partitions().size(), "partitions of the topic that the worker created");
            consumer.assign(Common.partitions(topic, 2));
            List<ConsumerRecord<String, String>> records = Common.read(consumer, 300);
            write("source", 300, 350);
            records.addAll(Common.read(consumer, 50));
            eachLineOnce(records, "source", 350);
        }
    }

    static void exactlyOnceSource() throws Exception {
        String topic = Common.prefix + "-exactly-once";
        List<TopicPartition> partition = Common.partitions(topic, 1);
        Path file = write("exactly-once", 0, 800);
        try (Admin admin = Common.admin();
            KafkaConsumer<String, String> consumer = Common.consumer("isolation.level", "read_committed");
            KafkaConsumer<String, String> uncommitted = Common.consumer("isolation.level", "read_uncommitted")) {
            Common.createTopic(admin, topic, 1, Map.of());
            Worker killed = new Worker();
            // About a second for each transaction.
            killed.create(topic, Map.of("connector.class", "lines.LinesSource", "tasks.max", 1, "files", file, "topic", topic,
                "exactly.once.support", "required", "transaction.boundary", "connector", "transaction.lines", 100,
                "poll.lines", 5, "poll.pause.ms", 50));
            killed.awaitState(topic, "RUNNING", 1);
            consumer.assign(partition);
            List<ConsumerRecord<String, String>> records = Common.read(consumer, 200);
            // Early in a transaction, which then is one to abort.
            Common.await("an open transaction", () -> {
                long open = Common.openRecords(uncommitted, consumer, partition);
                return open >= 10 && open <= 50;
            });
            killed.process.destroyForcibly().waitFor();
            // Behind every 100 lines lies the marker of their transaction.
            for (int i = 0; i < 200; i++) Common.equal((long) i + i / 100, records.get(i).offset(), "offset of line " + i);

            new Worker();
            Common.await("all lines", PATIENCE, () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(records::add);
                return records.size() >= 800;
            });
            consumer.poll(Duration.ofMillis(500)).forEach(records::add);
            for (int i = 0; i < records.size(); i++) Common.equal("exactly-once line " + i, records.get(i).value(), "line " + i);
            eachLineOnce(records, "exactly-once", 800);

            uncommitted.assign(partition);
            long end = uncommitted.endOffsets(partition).get(partition.get(0));
            AtomicInteger all = new AtomicInteger();
            Common.await("the end of the topic", () -> {
                all.addAndGet(uncommitted.poll(Duration.ofMillis(100)).count());
                return uncommitted.position(partition.get(0)) == end;
            });
            Common.check(all.get() >= 810, "no transaction was aborted: there are " + all + " records");
        }
    }

    static void twoWorkers() throws Exception {
        String topic = Common.prefix + "-two";
        String files = write("first", 0, 1000) + "," + write("second", 0, 1000);
        try (Admin admin = Common.admin();
            KafkaConsumer<String, String> consumer = Common.consumer("isolation.level", "read_committed")) {
            Common.createTopic(admin, topic, 2, Map.of());
            Worker stays = new Worker();
            Worker leaves = new Worker();
            stays.create(topic, Map.of("connector.class", "lines.LinesSource", "tasks.max", 2, "files", files, "topic", topic, "poll.pause.ms", 100));
            Common.await("a task on each worker", PATIENCE, () -> Set.of(stays.id(), leaves.id()).equals(runningOn(stays, topic)));
            consumer.assign(Common.partitions(topic, 2));
            List<ConsumerRecord<String, String>> records = Common.read(consumer, 200);
            Common.check(leaves.stop(), "the worker does not stop");
            Common.await("both tasks on the worker that stays", PATIENCE, () -> Set.of(stays.id()).equals(runningOn(stays, topic)));
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            Common.check(records.size() < 2000, "all lines were there before a task moved");
            Common.await("all lines", PATIENCE, () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(records::add);
                return records.size() >= 2000;
            });
            eachLineOnce(records.stream().filter(record -> record.key().startsWith("first")).toList(), "first", 1000);
            eachLineOnce(records.stream().filter(record -> record.key().startsWith("second")).toList(), "second", 1000);
        }
    }

    /** The workers that run a task, or none unless both tasks run. */
    private static Set<String> runningOn(Worker worker, String connector) throws Exception {
        JsonNode tasks = worker.ask("GET", "/connectors/" + connector + "/status", null, 200, 404).path("tasks");
        Set<String> workers = new HashSet<>();
        for (JsonNode task : tasks) {
            if (!task.path("state").asText().equals("RUNNING")) return Set.of();
            workers.add(task.path("worker_id").asText());
        }
        return tasks.size() == 2 ? workers : Set.of();
    }

    static void rest() throws Exception {
        String name = Common.prefix + "-rest";
        String path = "/connectors/" + name;
        Path file = write("rest", 0, 100);
        try (Admin admin = Common.admin();
            KafkaConsumer<String, String> consumer = Common.consumer("isolation.level", "read_committed")) {
            Common.createTopic(admin, name, 1, Map.of());
            consumer.assign(Common.partitions(name, 1));
            Worker worker = new Worker();
            Set<String> plugins = new HashSet<>();
            worker.ask("GET", "/connector-plugins", null, 200).forEach(plugin -> plugins.add(plugin.path("class").asText()));
            Common.check(plugins.containsAll(Set.of("lines.LinesSource", "lines.LinesSink")), "plugins: " + plugins);

            Map<String, Object> config = Map.of("connector.class", "lines.LinesSource", "tasks.max", 1, "files", file, "topic", name);
            worker.create(name, config);
            worker.ask("POST", "/connectors", connector(name, config), 409);
            Common.equal("[\"" + name + "\"]", worker.ask("GET", "/connectors", null, 200).toString(), "connectors");
            Common.equal(file.toString(), worker.ask("GET", path + "/config", null, 200).path("files").asText(), "its configuration");
            worker.awaitState(name, "RUNNING", 1);
            List<ConsumerRecord<String, String>> records = Common.read(consumer, 100);

            worker.ask("PUT", path + "/pause", null, 202);
            worker.awaitState(name, "PAUSED", 1);
            write("rest", 100, 110);
            Common.equal(0, consumer.poll(Duration.ofSeconds(1)).count(), "records while paused");
            worker.ask("PUT", path + "/resume", null, 202);
            worker.awaitState(name, "RUNNING", 1);
            records.addAll(Common.read(consumer, 10));

            worker.ask("POST", path + "/restart?includeTasks=true", null, 202);
            worker.awaitState(name, "RUNNING", 1);
            worker.ask("POST", path + "/tasks/0/restart", null, 204);
            write("rest", 110, 120);
            records.addAll(Common.read(consumer, 10));
            eachLineOnce(records, "rest", 120);
            worker.awaitState(name, "RUNNING", 1);

            Common.await("the offset of the last line", () -> offsets(worker, path).equals(List.of(file + "=120")));
            worker.ask("DELETE", path + "/offsets", null, 400);
            worker.ask("PUT", path + "/stop", null, 204);
            worker.awaitState(name, "STOPPED", 0);
            worker.ask("PATCH", path + "/offsets", JSON.readTree("""
                {"offsets": [{"partition": {"file": "FILE"}, "offset": {"line": 115}}]}""".replace("FILE", file.toString())), 200);
            Common.equal(List.of(file + "=115"), offsets(worker, path), "offsets after they were altered");
            worker.ask("PUT", path + "/resume", null, 202);
            Common.equal(List.of("rest line 115", "rest line 116", "rest line 117", "rest line 118", "rest line 119"),
                Common.read(consumer, 5).stream().map(ConsumerRecord::value).toList(), "lines from the altered offset on");

            worker.ask("PUT", path + "/stop", null, 204);
            worker.awaitState(name, "STOPPED", 0);
            worker.ask("DELETE", path + "/offsets", null, 200);
            Common.equal(List.of(), offsets(worker, path), "offsets after they were deleted");
            worker.ask("PUT", path + "/resume", null, 202);
            eachLineOnce(Common.read(consumer, 120), "rest", 120);

            worker.ask("DELETE", path, null, 204);
            worker.ask("GET", path, null, 404);
            Common.await("it has no status", () -> worker.ask("GET", path + "/status", null, 200, 404).path("error_code").asInt() == 404);
            Common.equal("[]", worker.ask("GET", "/connectors", null, 200).toString(), "connectors at the end");
        }
    }

    private static List<String> offsets(Worker worker, String path) throws Exception {
        List<String> offsets = new ArrayList<>();
        for (JsonNode entry : worker.ask("GET", path + "/offsets", null, 200).path("offsets")) {
            offsets.add(entry.path("partition").path("file").asText() + "=" + entry.path("offset").path("line").asLong());
        }
        return offsets;
    }

    /** Appends the lines from..to to a file of this name. */
    private static Path write(String name, int from, int to) throws IOException {
        List<String> lines = IntStream.range(from, to).mapToObj(i -> name + " line " + i).toList();
        return Files.write(directory.resolve(name), lines, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    private static void eachLineOnce(List<ConsumerRecord<String, String>> records, String file, int count) {
        String[] actual = records.stream().map(record -> record.key() + "=" + record.value()).sorted().toArray(String[]::new);
        String[] expected = IntStream.range(0, count).mapToObj(i -> file + ":" + i + "=" + file + " line " + i).sorted().toArray(String[]::new);
        Common.equal(count, actual.length, "lines of " + file);
        int differs = Arrays.mismatch(expected, actual);
        Common.check(differs < 0, differs < 0 ? "" : "expected " + expected[differs] + ", got " + actual[differs]);
    }

    private static JsonNode connector(String name, Map<String, Object> config) {
        ObjectNode body = JSON.createObjectNode().put("name", name);
        ObjectNode entries = body.putObject("config");
        config.forEach((key, value) -> entries.put(key, value.toString()));
        return body;
    }

    /** A worker in a process of its own. All of a scenario are in one group. */
    private static final class Worker {
        final Process process;
        final Path log;
        private final int port;
        private final HttpClient http = HttpClient.newHttpClient();

        Worker() throws Exception {
            int number = WORKERS.size();
            log = directory.resolve("worker-" + number + ".log");
            try (ServerSocket free = new ServerSocket(0)) {
                port = free.getLocalPort();
            }
            Path file = directory.resolve("worker-" + number + ".properties");
            try (var out = Files.newOutputStream(file)) {
                properties().store(out, null);
            }
            process = new ProcessBuilder(ProcessHandle.current().info().command().orElseThrow(),
                "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"),
                "Connect", "worker", file.toString()).redirectErrorStream(true).redirectOutput(log.toFile()).start();
            WORKERS.add(this);
            Common.await("the worker is in its group", PATIENCE, () -> {
                Common.check(process.isAlive(), "the worker has ended");
                try {
                    return ask("GET", "/connectors", null, 200, 404, 500, 503).isArray();
                } catch (ConnectException notYet) {
                    return false;
                }
            });
        }

        private Properties properties() {
            String group = Common.prefix + "-connect";
            return Common.properties("group.id", group, "listeners", "http://127.0.0.1:" + port,
                "plugin.path", Path.of(System.getProperty("ottla.workshop"), "plugins"), "plugin.discovery", "service_load",
                "key.converter", "org.apache.kafka.connect.storage.StringConverter",
                "value.converter", "org.apache.kafka.connect.storage.StringConverter",
                "config.storage.topic", group + "-configs", "config.storage.replication.factor", 1,
                "offset.storage.topic", group + "-offsets", "offset.storage.replication.factor", 1, "offset.storage.partitions", 2,
                "status.storage.topic", group + "-status", "status.storage.replication.factor", 1, "status.storage.partitions", 1,
                "exactly.once.source.support", "enabled", "offset.flush.interval.ms", 500,
                // That a killed worker is missed, and its tasks are given away, without much ado.
                "session.timeout.ms", 6000, "heartbeat.interval.ms", 1000, "scheduled.rebalance.max.delay.ms", 1000);
        }

        String id() {
            return "127.0.0.1:" + port;
        }

        /** Stops in order. */
        boolean stop() throws Exception {
            process.destroy();
            return process.waitFor(Common.DEADLINE.toSeconds(), TimeUnit.SECONDS);
        }

        void create(String name, Map<String, Object> config) throws Exception {
            JsonNode created = ask("POST", "/connectors", connector(name, config), 201);
            Common.equal(name, created.path("name").asText(), "name of the created connector");
        }

        /** The connector and its tasks, of which there are to be so many. */
        void awaitState(String connector, String state, int tasks) throws Exception {
            Common.await(connector + " is " + state, PATIENCE, () -> {
                JsonNode status = ask("GET", "/connectors/" + connector + "/status", null, 200, 404);
                Common.check(!status.toString().contains("FAILED"), status);
                boolean all = status.path("connector").path("state").asText().equals(state) && status.path("tasks").size() == tasks;
                for (JsonNode task : status.path("tasks")) all &= task.path("state").asText().equals(state);
                return all;
            });
        }

        /** Asked again while the workers rebalance, which they answer with 409 as they do where a connector exists. */
        JsonNode ask(String method, String path, JsonNode body, Integer... expected) throws Exception {
            HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path))
                .timeout(Common.DEADLINE)
                .header("Content-Type", "application/json")
                .method(method, body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body.toString()))
                .build();
            long end = System.nanoTime() + Common.DEADLINE.toNanos();
            while (true) {
                HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
                boolean rebalancing = response.statusCode() == 409 && response.body().contains("rebalance");
                if (rebalancing && System.nanoTime() < end) {
                    Thread.sleep(100);
                    continue;
                }
                String what = method + " " + path + " answered " + response.statusCode() + " " + response.body();
                Common.check(List.of(expected).contains(response.statusCode()), what);
                // A worker that only begins answers with a page for people.
                boolean json = response.body().startsWith("{") || response.body().startsWith("[");
                return json ? JSON.readTree(response.body()) : JSON.createObjectNode();
            }
        }
    }
}
