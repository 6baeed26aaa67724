import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Apache Kafka's own clients; 2.8 and 4.x are compiled from this source, each with its own Version. */
public final class KafkaClients {
    /** A while ago, that retention and the check for timestamps in the future leave them alone. */
    private static final long BASE_TIMESTAMP = System.currentTimeMillis() - 3_600_000;

    public static void main(String[] arguments) {
        Common.main(arguments, Duration.ofSeconds(55), Map.of(
            "create", KafkaClients::create,
            "produce", KafkaClients::produce,
            "fetch", KafkaClients::fetch,
            "group", KafkaClients::group,
            "idempotent", KafkaClients::idempotent,
            "transaction", KafkaClients::transaction,
            "admin", KafkaClients::admin,
            "errors", KafkaClients::errors));
    }

    static void create() throws Exception {
        String topic = Common.prefix + "-create";
        try (Admin admin = Common.admin()) {
            Common.createTopic(admin, topic, 3, Map.of("cleanup.policy", "compact"));
            TopicDescription description = Version.describe(admin, topic);
            Node broker = Common.get(admin.describeCluster().nodes()).iterator().next();
            for (int p = 0; p < 3; p++) {
                TopicPartitionInfo partition = description.partitions().get(p);
                Common.equal(p, partition.partition(), "partition");
                Common.equal(broker, partition.leader(), "leader of partition " + p);
                Common.equal(List.of(broker), partition.replicas(), "replicas of partition " + p);
                Common.equal(List.of(broker), partition.isr(), "replicas in sync of partition " + p);
            }
            Common.equal(3, description.partitions().size(), "partitions");
            ConfigEntry policy = config(admin, topic, "cleanup.policy");
            Common.equal("compact", policy.value(), "cleanup.policy");
            Common.equal(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, policy.source(), "where cleanup.policy comes from");
        }
    }

    static void produce() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = Common.prefix + "-" + codec;
            try (Admin admin = Common.admin()) {
                Common.createTopic(admin, topic, 1, Map.of());
            }
            List<ProducerRecord<String, String>> sent = new ArrayList<>();
            // Lingering until all are there, so that a batch has something to compress.
            try (KafkaProducer<String, String> producer = Common.producer("compression.type", codec, "linger.ms", 1000)) {
                List<Future<RecordMetadata>> acknowledged = new ArrayList<>();
                for (int i = 0; i < 100; i++) {
                    String value = i == 10 ? null : i == 20 ? "" : "value-" + i;
                    ProducerRecord<String, String> record = new ProducerRecord<>(topic, null, BASE_TIMESTAMP + 7 * i, "key-" + i, value);
                    record.headers().add("header", bytes("header-" + i)).add("empty", new byte[0]);
                    sent.add(record);
                    acknowledged.add(producer.send(record));
                }
                producer.flush();
                for (int i = 0; i < 100; i++) {
                    RecordMetadata metadata = Common.get(acknowledged.get(i));
                    Common.equal((long) i, metadata.offset(), codec + ": acknowledged offset");
                    Common.equal(BASE_TIMESTAMP + 7 * i, metadata.timestamp(), codec + ": acknowledged timestamp");
                }
                double rate = metric(producer, "compression-rate-avg");
                Common.check(codec.equals("none") ? rate == 1 : rate < 0.8, codec + " compressed to " + rate);
            }
            try (KafkaConsumer<String, String> consumer = Common.consumer()) {
                consumer.assign(Common.partitions(topic, 1));
                List<ConsumerRecord<String, String>> read = Common.read(consumer, 100);
                Common.equal(100, read.size(), codec + ": records read");
                for (int i = 0; i < 100; i++) {
                    String which = codec + ": record " + i + ", its ";
                    Common.equal((long) i, read.get(i).offset(), which + "offset");
                    Common.equal(sent.get(i).key(), read.get(i).key(), which + "key");
                    Common.equal(sent.get(i).value(), read.get(i).value(), which + "value");
                    Common.equal(sent.get(i).timestamp(), read.get(i).timestamp(), which + "timestamp");
                    Common.equal(sent.get(i).headers(), read.get(i).headers(), which + "headers");
                }
            }
        }
    }

    static void fetch() throws Exception {
        String topic = Common.prefix + "-fetch";
        List<TopicPartition> partitions = Common.partitions(topic, 3);
        try (Admin admin = Common.admin()) {
            Common.createTopic(admin, topic, 3, Map.of());
        }
        Map<TopicPartition, List<String>> sent = new HashMap<>();
        partitions.forEach(p -> sent.put(p, new ArrayList<>()));
        try (KafkaProducer<String, String> producer = Common.producer();
            KafkaConsumer<String, String> consumer = Common.consumer()) {
            List<Future<RecordMetadata>> acknowledged = new ArrayList<>();
            for (int i = 0; i < 301; i++) {
                // Record i is at offset i / 3 of partition i % 3; the large one is the last of partition 0.
                String value = i + ":" + String.valueOf((char) ('a' + i % 26)).repeat(i == 300 ? 900 * 1024 : 1020);
                sent.get(partitions.get(i % 3)).add(value);
                acknowledged.add(producer.send(new ProducerRecord<>(topic, i % 3, BASE_TIMESTAMP + 10 * i, null, value)));
            }
            for (int i = 0; i < 301; i++) Common.equal(i / 3L, Common.get(acknowledged.get(i)).offset(), "acknowledged offset");

            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            sameRecords(sent, Map.of(), Common.read(consumer, 301));

            Map<TopicPartition, Long> middle = Map.of(partitions.get(0), 50L, partitions.get(1), 60L, partitions.get(2), 99L);
            middle.forEach(consumer::seek);
            sameRecords(sent, middle, Common.read(consumer, 51 + 40 + 1));

            Common.equal(0, consumer.poll(Duration.ofMillis(200)).count(), "records of a poll at the end");

            Map<TopicPartition, Long> ends = Map.of(partitions.get(0), 101L, partitions.get(1), 100L, partitions.get(2), 100L);
            Common.equal(ends, consumer.endOffsets(partitions), "end offsets");
            Common.equal(Map.of(partitions.get(0), 0L, partitions.get(1), 0L, partitions.get(2), 0L),
                consumer.beginningOffsets(partitions), "begin offsets");
            // Of record 151, which is in partition 1; in partition 0 the next is record 153, and nothing is past the last.
            Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(Map.of(
                partitions.get(0), BASE_TIMESTAMP + 1510, partitions.get(1), BASE_TIMESTAMP + 1510, partitions.get(2), BASE_TIMESTAMP + 3001));
            Common.equal(51L, found.get(partitions.get(0)).offset(), "offset by timestamp, partition 0");
            Common.equal(BASE_TIMESTAMP + 1530, found.get(partitions.get(0)).timestamp(), "its timestamp");
            Common.equal(50L, found.get(partitions.get(1)).offset(), "offset by timestamp, partition 1");
            Common.equal(BASE_TIMESTAMP + 1510, found.get(partitions.get(1)).timestamp(), "its timestamp");
            Common.equal(null, found.get(partitions.get(2)), "offset by a timestamp past the end");

            consumer.seek(partitions.get(0), 7);
            consumer.seekToEnd(partitions);
            for (TopicPartition partition : partitions) {
                Common.equal(ends.get(partition), consumer.position(partition), "position at the end of " + partition);
            }
            Common.equal(0, consumer.poll(Duration.ofMillis(200)).count(), "records of a poll at the end");
            for (TopicPartition partition : partitions) {
                sent.get(partition).add("late");
                Common.get(producer.send(new ProducerRecord<>(topic, partition.partition(), null, "late")));
            }
            sameRecords(sent, ends, Common.read(consumer, 3));
        }
    }

    /** Exactly the records from these offsets on, or from 0, in order in each partition. */
    private static void sameRecords(Map<TopicPartition, List<String>> sent, Map<TopicPartition, Long> from,
            List<ConsumerRecord<String, String>> read) {
        Map<TopicPartition, Long> next = new HashMap<>(from);
        for (ConsumerRecord<String, String> record : read) {
            TopicPartition partition = new TopicPartition(record.topic(), record.partition());
            long offset = next.merge(partition, 0L, (old, zero) -> old);
            Common.equal(offset, record.offset(), "offset in " + partition);
            Common.check(sent.get(partition).get((int) offset).equals(record.value()), "value at " + offset + " of " + partition);
            next.put(partition, offset + 1);
        }
        sent.forEach((partition, values) -> Common.equal((long) values.size(), next.get(partition), "end of " + partition));
    }

    static void group() throws Exception {
        int form = 0;
        for (Map<String, String> protocol : Version.GROUP_PROTOCOLS) {
            try {
                group(Common.prefix + "-group-" + form++, protocol);
            } catch (Throwable failure) {
                throw new AssertionError("group with " + protocol, failure);
            }
        }
    }

    private static void group(String name, Map<String, String> protocol) throws Exception {
        List<TopicPartition> partitions = Common.partitions(name, 4);
        try (Admin admin = Common.admin(); KafkaProducer<String, String> producer = Common.producer()) {
            Common.createTopic(admin, name, 4, Map.of());
            List<Consumer<String, String>> members = List.of(member(name, protocol), member(name, protocol));
            List<ConsumerRecord<String, String>> seen = new ArrayList<>();
            Common.await("two partitions for each of two members", () -> {
                for (Consumer<String, String> member : members) member.poll(Duration.ofMillis(50)).forEach(seen::add);
                Set<TopicPartition> all = new HashSet<>();
                members.forEach(member -> all.addAll(member.assignment()));
                return all.size() == 4 && members.stream().allMatch(member -> member.assignment().size() == 2);
            });
            Common.equal(0, seen.size(), "records before any was produced");

            produceRange(producer, name, 0, 200);
            int[] count = new int[2];
            Common.await("200 records", () -> {
                for (int m = 0; m < 2; m++) {
                    for (ConsumerRecord<String, String> record : members.get(m).poll(Duration.ofMillis(50))) {
                        seen.add(record);
                        count[m]++;
                    }
                }
                return seen.size() >= 200;
            });
            eachOnce(seen, 0, 200);
            Common.equal("[100, 100]", Arrays.toString(count), "what each member has seen");
            for (Consumer<String, String> member : members) {
                member.commitSync();
                member.close();
            }
            Common.equal(offsets(partitions, 50), committed(admin, name), "committed offsets");

            try (Consumer<String, String> next = member(name, protocol)) {
                Common.await("four partitions for the new member", () -> {
                    Common.equal(0, next.poll(Duration.ofMillis(50)).count(), "records before more were produced");
                    return next.assignment().size() == 4;
                });
                Common.equal(offsets(partitions, 50), next.committed(Set.copyOf(partitions)).entrySet().stream()
                    .collect(Collectors.toMap(Map.Entry::getKey, e -> e.getValue().offset())), "committed offsets, asked by a member");
                produceRange(producer, name, 200, 400);
                eachOnce(Common.read(next, 200), 200, 400);
                Common.equal(0, next.poll(Duration.ofMillis(100)).count(), "records at the end");
                next.commitSync();
            }
            Common.equal(offsets(partitions, 100), committed(admin, name), "committed offsets at the end");
        }
    }

    private static Consumer<String, String> member(String topicAndGroup, Map<String, String> protocol) {
        List<Object> properties = new ArrayList<>(List.of("group.id", topicAndGroup));
        protocol.forEach((key, value) -> properties.addAll(List.of(key, value)));
        KafkaConsumer<String, String> member = Common.consumer(properties.toArray());
        member.subscribe(List.of(topicAndGroup));
        return member;
    }

    /** Value i goes to partition i % 4. */
    private static void produceRange(KafkaProducer<String, String> producer, String topic, int from, int to) throws Exception {
        List<Future<RecordMetadata>> acknowledged = new ArrayList<>();
        for (int i = from; i < to; i++) acknowledged.add(producer.send(new ProducerRecord<>(topic, i % 4, "key", "" + i)));
        for (Future<RecordMetadata> future : acknowledged) Common.get(future);
    }

    private static void eachOnce(List<ConsumerRecord<String, String>> records, int from, int to) {
        List<Integer> values = records.stream().map(record -> Integer.valueOf(record.value())).sorted().toList();
        Common.equal(IntStream.range(from, to).boxed().toList(), values, "values seen");
    }

    private static Map<TopicPartition, Long> offsets(List<TopicPartition> partitions, long offset) {
        return partitions.stream().collect(Collectors.toMap(p -> p, p -> offset));
    }

    private static Map<TopicPartition, Long> committed(Admin admin, String group) throws Exception {
        return Common.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).entrySet().stream()
            .collect(Collectors.toMap(Map.Entry::getKey, e -> e.getValue().offset()));
    }

    static void idempotent() throws Exception {
        String topic = Common.prefix + "-idempotent";
        try (Admin admin = Common.admin()) {
            Common.createTopic(admin, topic, 1, Map.of());
        }
        // Batches of about ten records and no waiting, so that five requests are in flight nearly all the time.
        try (KafkaProducer<String, String> producer = Common.producer("enable.idempotence", true, "acks", "all",
            "max.in.flight.requests.per.connection", 5, "batch.size", 300, "linger.ms", 0)) {
            List<Future<RecordMetadata>> acknowledged = new ArrayList<>();
            for (int i = 0; i < 2000; i++) acknowledged.add(producer.send(new ProducerRecord<>(topic, 0, "key", "value-" + i)));
            for (int i = 0; i < 2000; i++) Common.equal((long) i, Common.get(acknowledged.get(i)).offset(), "acknowledged offset");
            Common.check(metric(producer, "batch-size-max") <= 300, "batches are larger than they were to be");
        }
        try (KafkaConsumer<String, String> consumer = Common.consumer()) {
            consumer.assign(Common.partitions(topic, 1));
            List<ConsumerRecord<String, String>> read = Common.read(consumer, 2000);
            Common.equal(2000, read.size(), "records");
            for (int i = 0; i < 2000; i++) {
                Common.equal((long) i, read.get(i).offset(), "offset");
                Common.equal("value-" + i, read.get(i).value(), "value at offset " + i);
            }
        }
    }

    static void transaction() throws Exception {
        String input = Common.prefix + "-input";
        String output = Common.prefix + "-output";
        String group = Common.prefix + "-copier";
        try (Admin admin = Common.admin();
            KafkaProducer<String, String> plain = Common.producer();
            KafkaProducer<String, String> producer = Common.producer("transactional.id", Common.prefix + "-id");
            KafkaProducer<String, String> second = Common.producer("transactional.id", Common.prefix + "-id");
            KafkaConsumer<String, String> copied = Common.consumer("group.id", group);
            KafkaConsumer<String, String> committed = Common.consumer("isolation.level", "read_committed");
            KafkaConsumer<String, String> all = Common.consumer("isolation.level", "read_uncommitted")) {
            Common.createTopic(admin, input, 1, Map.of());
            Common.createTopic(admin, output, 1, Map.of());
            TopicPartition from = new TopicPartition(input, 0);
            for (int i = 0; i < 10; i++) Common.get(plain.send(new ProducerRecord<>(input, 0, null, "copy-" + i)));

            producer.initTransactions();
            producer.beginTransaction();
            for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(output, 0, null, "commit-" + i));
            producer.commitTransaction();

            producer.beginTransaction();
            for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(output, 0, null, "abort-" + i));
            producer.flush();
            producer.abortTransaction();

            copied.subscribe(List.of(input));
            producer.beginTransaction();
            for (ConsumerRecord<String, String> record : Common.read(copied, 10)) {
                producer.send(new ProducerRecord<>(output, 0, null, record.value()));
            }
            Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(from, new OffsetAndMetadata(10, "ten"));
            producer.sendOffsetsToTransaction(offsets, copied.groupMetadata());
            Common.equal(Map.of(), committed(admin, group), "offsets before the transaction ends");
            producer.commitTransaction();
            Common.await("the offsets of the transaction", () -> offsets.equals(copied.committed(Set.of(from))));

            producer.beginTransaction();
            Common.get(producer.send(new ProducerRecord<>(output, 0, null, "fenced")));
            second.initTransactions();
            Common.fails(ProducerFencedException.class, () -> {
                producer.commitTransaction();
                return null;
            });
            second.beginTransaction();
            second.send(new ProducerRecord<>(output, 0, null, "second"));
            second.commitTransaction();

            List<String> expected = new ArrayList<>();
            for (String kind : List.of("commit", "copy")) for (int i = 0; i < 10; i++) expected.add(kind + "-" + i);
            expected.add("second");
            committed.assign(Common.partitions(output, 1));
            Common.equal(expected, values(Common.read(committed, 21)), "committed records");
            // With a marker behind each of the four transactions before the last.
            all.assign(Common.partitions(output, 1));
            List<ConsumerRecord<String, String>> every = Common.read(all, 32);
            Common.equal(32, every.size(), "records, aborted ones too");
            Common.equal(35L, every.get(31).offset(), "offset of the last record");

            Version.transactions(admin, output, Common.prefix + "-seen");
        }
    }

    static void admin() throws Exception {
        String topic = Common.prefix + "-admin";
        String group = Common.prefix + "-admin-group";
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Common.admin(); KafkaProducer<String, String> producer = Common.producer()) {
            adminOfCluster(admin);
            Common.createTopic(admin, topic, 1, Map.of());
            for (int i = 0; i < 10; i++) Common.get(producer.send(new ProducerRecord<>(topic, 0, BASE_TIMESTAMP + i, "key", "value-" + i)));
            adminOfTopics(admin, topic);
            adminOfGroups(admin, topic, group);

            Common.get(admin.deleteTopics(List.of(topic)).all());
            Common.await("the topic is gone", () -> !Common.get(admin.listTopics().names()).contains(topic));
            Common.fails(UnknownTopicOrPartitionException.class, () -> Version.describe(admin, topic));
            Common.fails(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all());
        }
    }

    private static void adminOfCluster(Admin admin) throws Exception {
        Collection<Node> nodes = Common.get(admin.describeCluster().nodes());
        Common.equal(1, nodes.size(), "brokers");
        Node node = nodes.iterator().next();
        Common.check(Common.bootstrap.endsWith(":" + node.port()), "port of the broker: " + node);
        Common.equal(node, Common.get(admin.describeCluster().controller()), "controller");
        Common.equal(22, Common.get(admin.describeCluster().clusterId()).length(), "length of the cluster's id");
    }

    private static void adminOfTopics(Admin admin, String topic) throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        Common.check(Common.get(admin.listTopics().names()).contains(topic), "the topic is not listed");
        Common.equal(false, Version.describe(admin, topic).isInternal(), "the topic is internal");

        Common.equal(true, config(admin, topic, "retention.ms").isDefault(), "retention.ms is the default");
        alterConfig(admin, topic, "retention.ms", "123456789", AlterConfigOp.OpType.SET);
        Common.await("the altered configuration", () -> config(admin, topic, "retention.ms").value().equals("123456789"));
        alterConfig(admin, topic, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
        Common.await("the appended policy", () -> config(admin, topic, "cleanup.policy").value().equals("delete,compact"));
        Common.equal("123456789", config(admin, topic, "retention.ms").value(), "retention.ms after another was altered");
        alterConfig(admin, topic, "cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT);
        alterConfig(admin, topic, "retention.ms", "", AlterConfigOp.OpType.DELETE);
        Common.await("the default again", () -> config(admin, topic, "retention.ms").isDefault());
        Common.equal("604800000", config(admin, topic, "retention.ms").value(), "default of retention.ms");

        Common.equal(0L, listOffset(admin, partition, OffsetSpec.earliest()), "earliest offset");
        Common.equal(10L, listOffset(admin, partition, OffsetSpec.latest()), "latest offset");
        Common.equal(4L, listOffset(admin, partition, OffsetSpec.forTimestamp(BASE_TIMESTAMP + 4)), "offset of a timestamp");
        Common.equal(-1L, listOffset(admin, partition, OffsetSpec.forTimestamp(BASE_TIMESTAMP + 10)), "offset of a later timestamp");
        Version.describeTopic(admin, topic);

        Common.get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
        Common.await("three partitions", () -> Version.describe(admin, topic).partitions().size() == 3);
        Common.fails(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all());

        var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(6)));
        Common.equal(6L, Common.get(deleted.lowWatermarks().get(partition)).lowWatermark(), "low watermark");
        Common.equal(6L, listOffset(admin, partition, OffsetSpec.earliest()), "earliest offset after the deletion");
        Common.fails(org.apache.kafka.common.errors.OffsetOutOfRangeException.class,
            () -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(11))).all());
    }

    private static void adminOfGroups(Admin admin, String topic, String group) throws Exception {
        TopicPartition first = new TopicPartition(topic, 0);
        TopicPartition second = new TopicPartition(topic, 1);
        try (KafkaConsumer<String, String> member = Common.consumer("group.id", group, "client.id", "the-member",
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor")) {
            member.subscribe(List.of(topic));
            Common.equal(4, Common.read(member, 4).size(), "records after the deletion");
            member.commitSync(Map.of(first, new OffsetAndMetadata(8, Optional.of(0), "mine"), second, new OffsetAndMetadata(0)));

            ConsumerGroupDescription description = describeGroup(admin, group);
            Common.equal("Stable", Version.state(description), "state of the group");
            Common.equal("range", description.partitionAssignor(), "assignor of the group");
            Common.equal(1, description.members().size(), "members of the group");
            MemberDescription described = description.members().iterator().next();
            Common.equal("the-member", described.clientId(), "client id of the member");
            Common.equal("/127.0.0.1", described.host(), "host of the member");
            Common.equal(Set.copyOf(Common.partitions(topic, 3)), described.assignment().topicPartitions(), "partitions of the member");
            Common.equal(member.groupMetadata().memberId(), described.consumerId(), "id of the member");
            Version.describeGroup(admin, group);
            Common.fails(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of(group)).all());
        }
        Common.await("the group is empty", () -> Version.state(describeGroup(admin, group)).equals("Empty"));
        Common.check(listsGroup(admin, group), "the group is not listed");
        Common.equal(Map.of(first, new OffsetAndMetadata(8, Optional.of(0), "mine"), second, new OffsetAndMetadata(0)),
            Common.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()), "offsets of the group");

        Common.get(admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(9, "altered"))).all());
        Common.equal(new OffsetAndMetadata(9, "altered"),
            Common.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(first), "altered offset");
        try (KafkaConsumer<String, String> member = Common.consumer("group.id", group)) {
            member.subscribe(List.of(topic));
            Common.equal(List.of("value-9"), values(Common.read(member, 1)), "what comes after the altered offset");
        }
        Common.await("the group is empty", () -> Version.state(describeGroup(admin, group)).equals("Empty"));

        Common.get(admin.deleteConsumerGroupOffsets(group, Set.of(first)).all());
        Common.equal(Map.of(second, new OffsetAndMetadata(0)),
            Common.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()), "offsets after one was deleted");
        Common.get(admin.deleteConsumerGroups(List.of(group)).all());
        Common.check(!listsGroup(admin, group), "the deleted group is still listed");
        Version.unknownGroup(admin, group);
    }

    static void errors() throws Exception {
        String topic = Common.prefix + "-errors";
        try (Admin admin = Common.admin()) {
            Common.createTopic(admin, topic, 1, Map.of("max.message.bytes", "10000"));
            Common.fails(TopicExistsException.class, () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
            Common.fails(InvalidReplicationFactorException.class,
                () -> admin.createTopics(List.of(new NewTopic(Common.prefix + "-three", 1, (short) 3))).all());
            Common.fails(InvalidTopicException.class, () -> admin.createTopics(List.of(new NewTopic("bad name!", 1, (short) 1))).all());
            Common.fails(UnknownTopicOrPartitionException.class, () -> Version.describe(admin, Common.prefix + "-unknown"));
            Version.unknownGroup(admin, Common.prefix + "-unknown");
        }
        try (KafkaProducer<String, String> producer = Common.producer("max.request.size", 10_000_000)) {
            Common.fails(RecordTooLargeException.class, () -> producer.send(new ProducerRecord<>(topic, 0, null, "x".repeat(20_000))));
            Common.equal(0L, Common.get(producer.send(new ProducerRecord<>(topic, 0, null, "x".repeat(9_000)))).offset(), "offset of a smaller one");
        }
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = Common.consumer("auto.offset.reset", "none")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 100);
            OffsetOutOfRangeException failure = Common.fails(OffsetOutOfRangeException.class, () -> Common.read(consumer, 1));
            Common.equal(Map.of(partition, 100L), failure.offsetOutOfRangePartitions(), "what is out of range");
        }
    }

    /** The description of one configuration of a topic. */
    static ConfigEntry config(Admin admin, String topic, String name) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return Common.get(admin.describeConfigs(List.of(resource)).all()).get(resource).get(name);
    }

    private static void alterConfig(Admin admin, String topic, String name, String value, AlterConfigOp.OpType operation) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp alteration = new AlterConfigOp(new ConfigEntry(name, value), operation);
        Common.get(admin.incrementalAlterConfigs(Map.of(resource, List.of(alteration))).all());
    }

    private static long listOffset(Admin admin, TopicPartition partition, OffsetSpec which) throws Exception {
        return Common.get(admin.listOffsets(Map.of(partition, which)).partitionResult(partition)).offset();
    }

    private static ConsumerGroupDescription describeGroup(Admin admin, String group) throws Exception {
        return Common.get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
    }

    private static boolean listsGroup(Admin admin, String group) throws Exception {
        return Common.get(admin.listConsumerGroups().all()).stream().map(ConsumerGroupListing::groupId).anyMatch(group::equals);
    }

    private static List<String> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).toList();
    }

    private static double metric(KafkaProducer<String, String> producer, String name) {
        return producer.metrics().entrySet().stream()
            .filter(e -> e.getKey().name().equals(name) && e.getKey().group().equals("producer-metrics"))
            .mapToDouble(e -> (Double) e.getValue().metricValue()).findFirst().orElseThrow();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
