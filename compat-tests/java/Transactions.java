import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What a transactional producer and its readers promise, one check after the other: BOOTSTRAP PREFIX GROUP-PROTOCOL
 * TRANSACTION-VERSION. Ends with 1 at the first check that fails.
 */
public class Transactions {
    static final Duration LIMIT = Duration.ofSeconds(20);
    static String bootstrap;
    static String prefix;
    static String groupProtocol;
    static int transactionVersion;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        prefix = arguments[1];
        groupProtocol = arguments[2];
        transactionVersion = Integer.parseInt(arguments[3]);
        try {
            commitsAndAborts();
            openTransactionHidesWhatFollows();
            zombieIsFenced("fenced-send", true);
            zombieIsFenced("fenced-commit", false);
            staleMemberCannotCommitOffsets();
            timedOutTransactionIsAborted();
            emptyTransactions();
            listingsAreFiltered();
        } catch (Throwable failed) {
            failed.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }

    /** Transactions with records of two partitions and offsets of a group: every third is aborted. */
    static void commitsAndAborts() throws Exception {
        String input = topic("input", 1);
        String output = topic("output", 2);
        String group = prefix + "-group";
        int count = 30;
        try (KafkaProducer<String, String> producer = producer("feeds-input", 60_000)) {
            producer.initTransactions();
            producer.beginTransaction();
            for (int n = 0; n < count; n++) producer.send(new ProducerRecord<>(input, "in-" + n));
            producer.commitTransaction();
        }
        List<List<String>> committed = List.of(new ArrayList<>(), new ArrayList<>());
        long position = 0;
        try (KafkaProducer<String, String> producer = producer("loop", 60_000);
                KafkaConsumer<String, String> consumer = member(group, input)) {
            producer.initTransactions();
            for (int n = 0; n < count; n++) {
                ConsumerRecord<String, String> record = next(consumer);
                producer.beginTransaction();
                for (int partition = 0; partition < 2; partition++) {
                    producer.send(new ProducerRecord<>(output, partition, null, record.value()));
                }
                position = record.offset() + 1;
                var offsets = Map.of(new TopicPartition(input, 0), new OffsetAndMetadata(position));
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                if (n % 3 == 2) {
                    // What is not sent yet would be dropped.
                    producer.flush();
                    producer.abortTransaction();
                    check("no offsets of an aborted transaction", committedOffset(consumer, input), record.offset());
                } else {
                    producer.commitTransaction();
                    committed.forEach(partition -> partition.add(record.value()));
                    check("offsets of a committed transaction", committedOffset(consumer, input), position);
                }
            }
        }
        for (int partition = 0; partition < 2; partition++) {
            check("read_committed", read(output, partition, "read_committed"), committed.get(partition));
            check("read_uncommitted", read(output, partition, "read_uncommitted").size(), count);
        }
        // Version 2 counts the epoch up with each transaction (KIP-890), version 1 with each producer.
        check("epoch", producerOf(output).producerEpoch(), transactionVersion == 2 ? count : 0);
        done("commitsAndAborts");
    }

    /** A read_committed consumer waits at the first open transaction, and so does the end that it is told. */
    static void openTransactionHidesWhatFollows() throws Exception {
        String topic = topic("open", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> first = producer("open-first", 60_000);
                KafkaProducer<String, String> second = producer("open-second", 60_000);
                KafkaConsumer<String, String> consumer = reader("read_committed")) {
            first.initTransactions();
            second.initTransactions();
            second.beginTransaction();
            second.send(new ProducerRecord<>(topic, "before")).get();
            second.commitTransaction();
            first.beginTransaction();
            first.send(new ProducerRecord<>(topic, "long")).get();
            second.beginTransaction();
            second.send(new ProducerRecord<>(topic, "short")).get();
            second.commitTransaction();
            check("last stable offset", end(partition, IsolationLevel.READ_COMMITTED), 2L);
            check("high watermark", end(partition, IsolationLevel.READ_UNCOMMITTED), 5L);
            consumer.assign(Set.of(partition));
            consumer.seekToBeginning(Set.of(partition));
            check("before the open one", next(consumer).value(), "before");
            check("nothing more", consumer.poll(Duration.ofMillis(500)).count(), 0);
            check("position", consumer.position(partition), 2L);
            first.commitTransaction();
            check("the open one", next(consumer).value(), "long");
            check("what followed", next(consumer).value(), "short");
            check("last stable offset", end(partition, IsolationLevel.READ_COMMITTED), 6L);
        }
        done("openTransactionHidesWhatFollows");
    }

    /** After the second instance's initTransactions the first can do nothing, and its open transaction is aborted. */
    static void zombieIsFenced(String id, boolean sends) throws Exception {
        String topic = topic(id, 1);
        KafkaProducer<String, String> zombie = producer(id, 60_000);
        zombie.initTransactions();
        zombie.beginTransaction();
        zombie.send(new ProducerRecord<>(topic, "of the zombie")).get();
        try (KafkaProducer<String, String> successor = producer(id, 60_000)) {
            successor.initTransactions();
            KafkaException fenced = fails(() -> {
                if (sends) zombie.send(new ProducerRecord<>(topic, "too late")).get();
                zombie.commitTransaction();
            });
            check("fenced: " + fenced, isFenced(fenced), true);
            successor.beginTransaction();
            successor.send(new ProducerRecord<>(topic, "of the successor"));
            successor.commitTransaction();
        }
        KafkaException again = fails(zombie::beginTransaction);
        check("still fenced: " + again, isFenced(again), true);
        zombie.close();
        check("read_committed", read(topic, 0, "read_committed"), List.of("of the successor"));
        done(id);
    }

    /** Offsets of a member that the group has since replaced are refused, and the transaction can be aborted. */
    static void staleMemberCannotCommitOffsets() throws Exception {
        String topic = topic("stale", 1);
        String group = prefix + "-stale-group";
        var offsets = Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1));
        try (KafkaProducer<String, String> producer = producer("stale", 60_000)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "one"));
            producer.commitTransaction();
            ConsumerGroupMetadata stale;
            try (KafkaConsumer<String, String> member = member(group, topic)) {
                next(member);
                stale = member.groupMetadata();
            }
            try (KafkaConsumer<String, String> member = member(group, topic)) {
                next(member);
                producer.beginTransaction();
                KafkaException refused = fails(() -> {
                    producer.sendOffsetsToTransaction(offsets, stale);
                    producer.commitTransaction();
                });
                check("refused: " + refused, causes(refused).contains(CommitFailedException.class), true);
                producer.abortTransaction();
                check("nothing is committed", committedOffset(member, topic), -1L);
                producer.beginTransaction();
                producer.sendOffsetsToTransaction(offsets, member.groupMetadata());
                producer.commitTransaction();
                check("the member's own", committedOffset(member, topic), 1L);
            }
        }
        done("staleMemberCannotCommitOffsets");
    }

    /** The broker aborts what is open for longer than the producer said, and refuses its commit. */
    static void timedOutTransactionIsAborted() throws Exception {
        String topic = topic("timeout", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = producer("timeout", 500)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "too slow")).get();
            long start = System.nanoTime();
            while (end(partition, IsolationLevel.READ_COMMITTED) == 0) {
                check("aborted in time", System.nanoTime() - start < LIMIT.toNanos(), true);
                Thread.sleep(50);
            }
            KafkaException late = fails(producer::commitTransaction);
            Class<?> told = transactionVersion == 2 ? InvalidTxnStateException.class : ProducerFencedException.class;
            check("the producer is told: " + late, late.getClass(), told);
        }
        check("read_committed", read(topic, 0, "read_committed"), List.of());
        done("timedOutTransactionIsAborted");
    }

    /** Transactions with nothing in them, and with offsets alone. */
    @SuppressWarnings("removal")
    static void emptyTransactions() throws Exception {
        String topic = topic("empty", 1);
        try (KafkaProducer<String, String> producer = producer("empty", 60_000)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.commitTransaction();
            producer.beginTransaction();
            producer.abortTransaction();
            producer.beginTransaction();
            var offsets = Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(7, "noted"));
            producer.sendOffsetsToTransaction(offsets, new ConsumerGroupMetadata(prefix + "-no-members"));
            producer.commitTransaction();
        }
        try (Admin admin = Admin.create(client())) {
            var offsets = admin.listConsumerGroupOffsets(prefix + "-no-members").partitionsToOffsetAndMetadata().get();
            check("offsets", offsets.get(new TopicPartition(topic, 0)), new OffsetAndMetadata(7, "noted"));
        }
        done("emptyTransactions");
    }

    /** Transactions by their state, producer and duration. */
    static void listingsAreFiltered() throws Exception {
        String topic = topic("listed", 1);
        try (Admin admin = Admin.create(client());
                KafkaProducer<String, String> idle = producer("listed-idle", 60_000);
                KafkaProducer<String, String> busy = producer("listed-busy", 60_000)) {
            idle.initTransactions();
            busy.initTransactions();
            busy.beginTransaction();
            busy.send(new ProducerRecord<>(topic, "one")).get();
            String idleId = prefix + "-listed-idle";
            String busyId = prefix + "-listed-busy";
            Set<String> both = Set.of(idleId, busyId);
            long producerId = producerOf(topic).producerId();
            check("all", listed(admin, new ListTransactionsOptions()), both);
            var empty = new ListTransactionsOptions().filterStates(Set.of(TransactionState.EMPTY));
            check("empty", listed(admin, empty), Set.of(idleId));
            var ongoing = new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING));
            check("ongoing", listed(admin, ongoing), Set.of(busyId));
            var either = Set.of(TransactionState.EMPTY, TransactionState.ONGOING);
            check("either", listed(admin, new ListTransactionsOptions().filterStates(either)), both);
            var ofProducer = new ListTransactionsOptions().filterProducerIds(Set.of(producerId));
            check("of a producer", listed(admin, ofProducer), Set.of(busyId));
            var neither = ofProducer.filterStates(Set.of(TransactionState.EMPTY));
            check("of a producer in another state", listed(admin, neither), Set.of());
            Thread.sleep(20);
            check("long", listed(admin, ongoing.filterOnDuration(10)), Set.of(busyId));
            check("longer", listed(admin, ongoing.filterOnDuration(3_600_000)), Set.of());
            busy.abortTransaction();
        }
        done("listingsAreFiltered");
    }

    static Set<String> listed(Admin admin, ListTransactionsOptions options) throws Exception {
        return admin.listTransactions(options).all().get().stream()
                .map(TransactionListing::transactionalId)
                .filter(id -> id.startsWith(prefix + "-listed"))
                .collect(Collectors.toSet());
    }

    interface Action {
        void run() throws Exception;
    }

    static KafkaException fails(Action action) throws Exception {
        try {
            action.run();
        } catch (ExecutionException failed) {
            return (KafkaException) failed.getCause();
        } catch (KafkaException failed) {
            return failed;
        }
        throw new AssertionError("nothing was thrown");
    }

    static boolean isFenced(Throwable failed) {
        Set<Class<?>> causes = causes(failed);
        return causes.contains(ProducerFencedException.class) || causes.contains(InvalidProducerEpochException.class);
    }

    static Set<Class<?>> causes(Throwable failed) {
        Set<Class<?>> causes = new HashSet<>();
        for (Throwable cause = failed; cause != null; cause = cause.getCause()) causes.add(cause.getClass());
        return causes;
    }

    static long committedOffset(KafkaConsumer<String, String> consumer, String topic) {
        TopicPartition partition = new TopicPartition(topic, 0);
        OffsetAndMetadata committed = consumer.committed(Set.of(partition)).get(partition);
        return committed == null ? -1 : committed.offset();
    }


    static ProducerState producerOf(String topic) throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Admin.create(client())) {
            var states = admin.describeProducers(Set.of(partition)).all().get().get(partition).activeProducers();
            check("one producer", states.size(), 1);
            return states.get(0);
        }
    }

    static long end(TopicPartition partition, IsolationLevel isolation) throws Exception {
        try (Admin admin = Admin.create(client())) {
            var latest = Map.of(partition, OffsetSpec.latest());
            return admin.listOffsets(latest, new ListOffsetsOptions(isolation)).all().get().get(partition).offset();
        }
    }

    static List<String> read(String topic, int partition, String isolation) {
        List<String> values = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = reader(isolation)) {
            TopicPartition from = new TopicPartition(topic, partition);
            consumer.assign(Set.of(from));
            consumer.seekToBeginning(Set.of(from));
            long end = consumer.endOffsets(Set.of(from)).get(from);
            while (consumer.position(from) < end) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> values.add(record.value()));
            }
        }
        return values;
    }

    static ConsumerRecord<String, String> next(KafkaConsumer<String, String> consumer) {
        long start = System.nanoTime();
        while (System.nanoTime() - start < LIMIT.toNanos()) {
            for (var record : consumer.poll(Duration.ofMillis(200))) return record;
        }
        throw new AssertionError("no record came");
    }

    static KafkaProducer<String, String> producer(String id, int timeoutMs) {
        Properties config = client();
        config.put("transactional.id", prefix + "-" + id);
        config.put("transaction.timeout.ms", timeoutMs);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> member(String group, String topic) {
        Properties config = client();
        config.put("group.id", group);
        config.put("group.protocol", groupProtocol);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("max.poll.records", 1);
        config.put("isolation.level", "read_committed");
        var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(Set.of(topic));
        return consumer;
    }

    static KafkaConsumer<String, String> reader(String isolation) {
        Properties config = client();
        config.put("isolation.level", isolation);
        config.put("max.poll.records", 1);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static Properties client() {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        return config;
    }

    static String topic(String name, int partitions) throws Exception {
        String topic = prefix + "-" + name;
        try (Admin admin = Admin.create(client())) {
            admin.createTopics(Set.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        }
        return topic;
    }

    static void check(String what, Object seen, Object expected) {
        if (!Objects.equals(seen, expected)) throw new AssertionError(what + ": " + seen + ", expected " + expected);
    }

    static void done(String name) {
        System.out.println("done " + name);
    }
}
