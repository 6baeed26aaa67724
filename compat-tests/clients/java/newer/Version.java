import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.UnknownTopicIdException;

/** What clients 4.x call otherwise than 2.8, and what only they have. */
final class Version {
    static final List<Map<String, String>> GROUP_PROTOCOLS =
        List.of(Map.of("group.protocol", "classic", "heartbeat.interval.ms", "300"), Map.of("group.protocol", "consumer"));

    static TopicDescription describe(Admin admin, String topic) throws Exception {
        return Common.get(admin.describeTopics(List.of(topic)).topicNameValues().get(topic));
    }

    static String state(ConsumerGroupDescription group) {
        return group.groupState().toString();
    }

    static void unknownGroup(Admin admin, String group) {
        Common.fails(GroupIdNotFoundException.class, () -> admin.describeConsumerGroups(List.of(group)).all());
        Common.fails(GroupIdNotFoundException.class, () -> admin.describeClassicGroups(List.of(group)).all());
    }

    /** Of a stable classic consumer group with one member. */
    static void describeGroup(Admin admin, String group) throws Exception {
        var options = ListGroupsOptions.forConsumerGroups().inGroupStates(Set.of(GroupState.STABLE)).withTypes(Set.of(GroupType.CLASSIC));
        Collection<GroupListing> groups = Common.get(admin.listGroups(options).all());
        GroupListing listing = groups.stream().filter(g -> g.groupId().equals(group)).findFirst().orElseThrow();
        Common.equal("consumer", listing.protocol(), "protocol type of the group");
        Common.equal(GroupType.CLASSIC, listing.type().orElseThrow(), "type of the group");
        var description = Common.get(admin.describeClassicGroups(List.of(group)).all()).get(group);
        Common.equal("Stable", description.state().toString(), "state of the classic group");
        Common.equal("range", description.protocolData(), "assignor of the classic group");
        Common.equal(1, description.members().size(), "members of the classic group");
    }

    /** Of a topic with a partition 0 that has 10 records, of which the one at 9 has the latest timestamp. */
    static void describeTopic(Admin admin, String topic) throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        var latest = Common.get(admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all()).get(partition);
        Common.equal(9L, latest.offset(), "offset of the latest timestamp");

        Uuid id = describe(admin, topic).topicId();
        var byId = Common.get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds());
        Common.equal(topic, byId.get(id).name(), "name of the topic with that id");
        Common.fails(UnknownTopicIdException.class,
            () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds());

        var resources = Common.get(admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions()).all());
        Common.check(resources.contains(new ConfigResource(ConfigResource.Type.TOPIC, topic)), "config resources lack the topic: " + resources);
    }

    /** A transaction seen from outside while it is open, and its producer fenced. */
    static void transactions(Admin admin, String topic, String id) throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = Common.producer("transactional.id", id, "transaction.timeout.ms", 45_000)) {
            producer.initTransactions();
            producer.beginTransaction();
            long offset = Common.get(producer.send(new ProducerRecord<>(topic, 0, "key", "value"))).offset();

            Map<String, TransactionListing> listed = Common.get(admin.listTransactions().all()).stream()
                .collect(Collectors.toMap(TransactionListing::transactionalId, listing -> listing));
            Common.equal(TransactionState.ONGOING, listed.get(id).state(), "listed state of the transaction");

            TransactionDescription described = Common.get(admin.describeTransactions(List.of(id)).all()).get(id);
            Common.equal(TransactionState.ONGOING, described.state(), "state of the transaction");
            Common.equal(45_000L, described.transactionTimeoutMs(), "timeout of the transaction");
            Common.equal(Set.of(partition), described.topicPartitions(), "partitions of the transaction");
            Common.equal(listed.get(id).producerId(), described.producerId(), "producer id of the transaction");

            ProducerState state = Common.get(admin.describeProducers(List.of(partition)).all()).get(partition).activeProducers().stream()
                .filter(p -> p.producerId() == described.producerId()).findFirst().orElseThrow();
            Common.equal(described.producerEpoch(), state.producerEpoch(), "epoch of the producer");
            Common.equal(0, state.lastSequence(), "last sequence of the producer");
            Common.equal(offset, state.currentTransactionStartOffset().orElseThrow(), "where the transaction starts");

            Common.get(admin.fenceProducers(List.of(id)).all());
            Common.fails(ProducerFencedException.class, () -> {
                producer.commitTransaction();
                return null;
            });
        }
        // The fencing aborted it, and began a new epoch that has no transaction yet.
        Common.await("the state after the fencing",
            () -> Common.get(admin.describeTransactions(List.of(id)).all()).get(id).state() == TransactionState.EMPTY);
    }
}
