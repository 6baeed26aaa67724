"""confluent-kafka in the matrix; see ../README.md."""

from confluent_kafka import (
    OFFSET_BEGINNING, OFFSET_END, Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType,
    KafkaError, KafkaException, Producer, TopicCollection, TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType,
)

import matrix
from matrix import CODECS, LIMIT_S, Record, check, failure_of, wait_until


def admin_of(bootstrap):
    return AdminClient({"bootstrap.servers": bootstrap})


def create_topic(admin, topic, partitions, config={}, replicas=1):
    admin.create_topics([NewTopic(topic, partitions, replicas, config=config)])[topic].result(LIMIT_S)


def describe_config(admin, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return admin.describe_configs([resource])[resource].result(LIMIT_S)


def code_of(what, action):
    failure = failure_of(what, action)
    if not isinstance(failure, KafkaException):
        raise failure
    return failure.args[0].code()


def consumer_of(bootstrap, group="none", **more):
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False,
                "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100}
    return Consumer(settings | {key.replace("_", "."): value for key, value in more.items()})


def produce(producer, topic, values, partition=0, **more):
    """Produces values and returns the offsets in the order in which they were acknowledged."""
    offsets = []

    def delivered(error, message):
        if error:
            raise KafkaException(error)
        offsets.append(message.offset())

    for value in values:
        producer.produce(topic, value, partition=partition, on_delivery=delivered, **more)
    check("records in flight after a flush", producer.flush(LIMIT_S), 0)
    return offsets


def read(consumer, count):
    """The next `count` messages, and no more: another poll must come back empty."""
    messages = []

    def poll():
        for message in consumer.consume(1000, timeout=0.1):
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
        return len(messages) >= count

    wait_until(f"reading {count} messages", poll)
    messages += consumer.consume(1, timeout=0.2)
    check("number of messages", len(messages), count)
    return messages


def read_topic(bootstrap, topic, count, **more):
    consumer = consumer_of(bootstrap, **more)
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    messages = read(consumer, count)
    consumer.close()
    return messages


def create(bootstrap, prefix):
    admin, topic = admin_of(bootstrap), f"{prefix}-create"
    create_topic(admin, topic, 3, {"cleanup.policy": "compact"})
    metadata = wait_until("metadata", lambda: admin.list_topics(topic, LIMIT_S).topics.get(topic))
    check("error of the topic", metadata.error, None)
    check("partitions", sorted(metadata.partitions), [0, 1, 2])
    brokers = admin.list_topics(topic, LIMIT_S).brokers
    for partition in metadata.partitions.values():
        check("the leader is a broker", partition.leader in brokers, True)
    check("cleanup.policy", describe_config(admin, topic)["cleanup.policy"].value, "compact")


def produce_codecs(bootstrap, prefix):
    admin, records = admin_of(bootstrap), matrix.hundred()
    for codec in CODECS:
        topic, offsets = f"{prefix}-{codec}", []
        create_topic(admin, topic, 1)
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 20})

        def delivered(error, message):
            if error:
                raise KafkaException(error)
            offsets.append(message.offset())

        for record in records:
            producer.produce(
                topic, record.value, record.key, headers=record.headers, timestamp=record.timestamp,
                on_delivery=delivered,
            )
        producer.flush(LIMIT_S)
        check(f"acknowledged offsets with {codec}", offsets, list(range(100)))
        got = [
            Record(m.offset(), m.key(), m.value(), m.headers(), m.timestamp()[1])
            for m in read_topic(bootstrap, topic, 100)
        ]
        check(f"records with {codec}", got, records)


def fetch(bootstrap, prefix):
    topic = f"{prefix}-fetch"
    create_topic(admin_of(bootstrap), topic, 3)
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 1_000_000})
    values = [matrix.large_and_small(p) for p in range(3)]
    for p in range(3):
        for n, value in enumerate(values[p]):
            producer.produce(topic, value, partition=p, timestamp=matrix.BASE_MS + n * 1000)
    check("records in flight after a flush", producer.flush(LIMIT_S), 0)

    consumer = consumer_of(bootstrap)

    def by_partition(messages):
        return [[(m.offset(), m.value()) for m in messages if m.partition() == p] for p in range(3)]

    every = [list(enumerate(values[p])) for p in range(3)]
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(3)])
    check("records from the beginning", by_partition(read(consumer, 301)), every)
    for p in range(3):
        consumer.seek(TopicPartition(topic, p, 50))
    check("records from the middle", by_partition(read(consumer, 151)), [all[50:] for all in every])
    check("a poll at the end", consumer.consume(1, timeout=0.3), [])

    for p in range(3):
        check("begin and end offsets", consumer.get_watermark_offsets(TopicPartition(topic, p), LIMIT_S),
              (0, len(values[p])))
    for timestamp, wanted in [(matrix.BASE_MS + 29_500, [30] * 3), (matrix.BASE_MS + 500_000, [OFFSET_END] * 3)]:
        asked = [TopicPartition(topic, p, timestamp) for p in range(3)]
        found = consumer.offsets_for_times(asked, LIMIT_S)
        check("offsets by timestamp", [(p.partition, p.offset) for p in found], list(enumerate(wanted)))
    consumer.close()

    consumer, at_end = consumer_of(bootstrap, enable_partition_eof=True), set()
    consumer.assign([TopicPartition(topic, p, OFFSET_END) for p in range(3)])

    def poll():
        for message in consumer.consume(10, timeout=0.1):
            check("a start at the end finds", message.error() and message.error().code(), KafkaError._PARTITION_EOF)
            at_end.add((message.partition(), message.offset()))
        return len(at_end) == 3

    wait_until("the ends of three partitions", poll)
    check("the ends", at_end, {(0, 101), (1, 100), (2, 100)})
    produce(producer, topic, [b"later"], partition=1)
    later = wait_until("what is produced later", lambda: consumer.poll(0.1))
    check("what is produced later", (later.error(), later.partition(), later.offset(), later.value()),
          (None, 1, 100, b"later"))
    consumer.close()


def share_and_resume(bootstrap, topic, **protocol):
    group = topic
    create_topic(admin_of(bootstrap), topic, 4)
    producer = Producer({"bootstrap.servers": bootstrap})

    def member():
        consumer = consumer_of(bootstrap, group, **protocol)
        consumer.subscribe([topic])
        return consumer

    def consume(members, first):
        """Members share the partitions; then 200 records are produced, seen, and committed."""
        seen = []

        def poll():
            for consumer in members:
                for message in consumer.consume(100, timeout=0.05):
                    if message.error():
                        raise KafkaException(message.error())
                    seen.append(message.value())

        def shared():
            poll()
            return [len(consumer.assignment()) for consumer in members] == [4 // len(members)] * len(members)

        def done():
            poll()
            return len(seen) >= 200

        wait_until(f"{len(members)} members share four partitions", shared)
        owned = sorted(p.partition for consumer in members for p in consumer.assignment())
        check("partitions of the members", owned, [0, 1, 2, 3])
        check("records before any is produced", seen, [])
        values = matrix.numbered("group", 200, first)
        for p in range(4):
            produce(producer, topic, values[p::4], partition=p)
        wait_until("200 records", done)
        poll()
        check("records of the group", sorted(seen), values)
        for consumer in members:
            consumer.commit(asynchronous=False)
        ends = [TopicPartition(topic, p) for p in range(4)]
        check("committed offsets", [p.offset for p in members[0].committed(ends, LIMIT_S)], [(first + 200) // 4] * 4)
        for consumer in members:
            consumer.close()

    consume([member(), member()], 0)
    consume([member()], 200)


def group(bootstrap, prefix):
    share_and_resume(bootstrap, f"{prefix}-classic", heartbeat_interval_ms=100)
    share_and_resume(bootstrap, f"{prefix}-consumer", group_protocol="consumer")


def idempotent(bootstrap, prefix):
    topic, values = f"{prefix}-idempotent", matrix.numbered("idempotent", 2000)
    create_topic(admin_of(bootstrap), topic, 1)
    producer = Producer({
        "bootstrap.servers": bootstrap, "enable.idempotence": True, "max.in.flight": 5, "batch.num.messages": 50,
        "linger.ms": 1,
    })
    check("acknowledged offsets", produce(producer, topic, values), list(range(2000)))
    got = [(m.offset(), m.value()) for m in read_topic(bootstrap, topic, 2000)]
    check("records", got, list(enumerate(values)))


def transaction(bootstrap, prefix):
    source, target, group = f"{prefix}-source", f"{prefix}-target", f"{prefix}-copier"
    admin = admin_of(bootstrap)
    for topic in [source, target]:
        create_topic(admin, topic, 1)
    produce(Producer({"bootstrap.servers": bootstrap}), source, matrix.numbered("source", 10))

    def transactional():
        producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{prefix}-id"})
        producer.init_transactions(LIMIT_S)
        return producer

    first = transactional()
    first.begin_transaction()
    produce(first, target, matrix.numbered("committed", 10))
    first.commit_transaction(LIMIT_S)
    first.begin_transaction()
    produce(first, target, matrix.numbered("aborted", 10))
    first.abort_transaction(LIMIT_S)

    consumer = consumer_of(bootstrap, group, heartbeat_interval_ms=100)
    consumer.subscribe([source])
    consumed = read(consumer, 10)
    first.begin_transaction()
    produce(first, target, [b"copy of " + message.value() for message in consumed])
    after = TopicPartition(source, 0, consumed[-1].offset() + 1)
    first.send_offsets_to_transaction([after], consumer.consumer_group_metadata(), LIMIT_S)
    first.commit_transaction(LIMIT_S)
    check("committed offset", consumer.committed([TopicPartition(source, 0)], LIMIT_S)[0].offset, 10)
    consumer.close()

    committed, copies = matrix.numbered("committed", 10), [b"copy of " + v for v in matrix.numbered("source", 10)]
    got = [m.value() for m in read_topic(bootstrap, target, 20, isolation_level="read_committed")]
    check("committed records", got, committed + copies)
    got = [m.value() for m in read_topic(bootstrap, target, 30, isolation_level="read_uncommitted")]
    check("all records", got, committed + matrix.numbered("aborted", 10) + copies)

    first.begin_transaction()
    transactional()
    first.produce(target, b"fenced")
    check("error of the fenced", code_of("the fenced", lambda: first.commit_transaction(LIMIT_S)), KafkaError._FENCED)


def admin(bootstrap, prefix):
    admin, topic, group = admin_of(bootstrap), f"{prefix}-admin", f"{prefix}-admin"
    cluster = admin.describe_cluster().result(LIMIT_S)
    check("the port of the only node", [node.port for node in cluster.nodes], [int(bootstrap.split(":")[1])])
    check("the controller is a node", cluster.controller.id in [node.id for node in cluster.nodes], True)

    create_topic(admin, topic, 1)
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(LIMIT_S)
    check("describe topics", (described.name, [p.id for p in described.partitions]), (topic, [0]))
    check("list topics", topic in admin.list_topics(timeout=LIMIT_S).topics, True)
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(LIMIT_S)
    wait_until("three partitions", lambda: len(admin.list_topics(topic, LIMIT_S).topics[topic].partitions) == 3)

    resource = ConfigResource(ResourceType.TOPIC, topic)
    for operation, value, wanted in [
        (AlterConfigOpType.SET, "3600000", "3600000"), (AlterConfigOpType.DELETE, None, "604800000"),
    ]:
        entry = ConfigEntry("retention.ms", value, incremental_operation=operation)
        changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin.incremental_alter_configs([changed])[changed].result(LIMIT_S)
        wait_until(f"retention.ms={wanted}", lambda: describe_config(admin, topic)["retention.ms"].value == wanted)
    resource.set_config("max.message.bytes", "20000")
    admin.alter_configs([resource])[resource].result(LIMIT_S)
    wait_until("max.message.bytes", lambda: describe_config(admin, topic)["max.message.bytes"].value == "20000")

    partition = TopicPartition(topic, 0)
    produce(Producer({"bootstrap.servers": bootstrap}), topic, matrix.numbered("admin", 10))
    deleted = admin.delete_records([TopicPartition(topic, 0, 4)])
    check("low watermark", deleted[partition].result(LIMIT_S).low_watermark, 4)
    for spec, wanted in [(OffsetSpec.earliest(), 4), (OffsetSpec.latest(), 10)]:
        offset = admin.list_offsets({partition: spec})[partition].result(LIMIT_S).offset
        check(f"list offsets: {spec}", offset, wanted)

    consumer = consumer_of(bootstrap, group, heartbeat_interval_ms=100)
    consumer.subscribe([topic])
    check("what is left", [m.offset() for m in read(consumer, 6)], list(range(4, 10)))
    consumer.commit(asynchronous=False)
    described = admin.describe_consumer_groups([group])[group].result(LIMIT_S)
    assignment = sorted(p.partition for member in described.members for p in member.assignment.topic_partitions)
    check("describe groups", (described.state, len(described.members), assignment),
          (ConsumerGroupState.STABLE, 1, [0, 1, 2]))
    consumer.close()

    def state():
        return admin.describe_consumer_groups([group])[group].result(LIMIT_S).state

    wait_until("an empty group", lambda: state() == ConsumerGroupState.EMPTY)
    listed = {g.group_id: (g.state, g.type) for g in admin.list_consumer_groups().result(LIMIT_S).valid}
    check("list groups", listed.get(group), (ConsumerGroupState.EMPTY, ConsumerGroupType.CLASSIC))

    def offsets():
        answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(LIMIT_S)
        return {p.partition: p.offset for p in answer.topic_partitions}

    check("list group offsets", offsets()[0], 10)
    altered = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 5)])
    admin.alter_consumer_group_offsets([altered])[group].result(LIMIT_S)
    check("altered group offsets", offsets()[0], 5)
    admin.delete_consumer_groups([group])[group].result(LIMIT_S)
    listed = [g.group_id for g in admin.list_consumer_groups().result(LIMIT_S).valid]
    check("the group is deleted", group in listed, False)

    admin.delete_topics([topic])[topic].result(LIMIT_S)
    wait_until("the topic is gone", lambda: topic not in admin.list_topics(timeout=LIMIT_S).topics)


def errors(bootstrap, prefix):
    admin, topic = admin_of(bootstrap), f"{prefix}-errors"
    create_topic(admin, topic, 1, {"max.message.bytes": "10000"})
    for what, creation, wanted in [
        ("an existing topic", lambda: create_topic(admin, topic, 1), KafkaError.TOPIC_ALREADY_EXISTS),
        ("three replicas", lambda: create_topic(admin, f"{prefix}-three", 1, replicas=3),
         KafkaError.INVALID_REPLICATION_FACTOR),
        ("an invalid name", lambda: create_topic(admin, "bad name!", 1), KafkaError.TOPIC_EXCEPTION),
    ]:
        check(what, code_of(what, creation), wanted)

    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 1_000_000})
    producer.produce(topic, b"x" * 20_000, on_delivery=lambda error, _: failures.append(error and error.code()))
    producer.flush(LIMIT_S)
    check("a large record", failures, [KafkaError.MSG_SIZE_TOO_LARGE])

    consumer = consumer_of(bootstrap, auto_offset_reset="error")
    consumer.assign([TopicPartition(topic, 0, 1000)])
    message = wait_until("an offset out of range", lambda: consumer.poll(0.1))
    check("an offset out of range", message.error() and message.error().code(), KafkaError._AUTO_OFFSET_RESET)
    check("its reason", "out of range" in message.error().str().lower(), True)
    consumer.close()

    unknown = f"{prefix}-unknown"
    describe = admin.describe_topics(TopicCollection([unknown]))[unknown]
    check("an unknown topic", code_of("an unknown topic", lambda: describe.result(LIMIT_S)),
          KafkaError.UNKNOWN_TOPIC_OR_PART)
    # Librdkafka asks with a version of DescribeGroups in which an unknown group is a dead one.
    group = admin.describe_consumer_groups([unknown])[unknown].result(LIMIT_S)
    check("an unknown group", group.state, ConsumerGroupState.DEAD)
    check("deleting an unknown group",
          code_of("deleting", lambda: admin.delete_consumer_groups([unknown])[unknown].result(LIMIT_S)),
          KafkaError.GROUP_ID_NOT_FOUND)


matrix.main({
    "create": create, "produce": produce_codecs, "fetch": fetch, "group": group, "idempotent": idempotent,
    "transaction": transaction, "admin": admin, "errors": errors,
})
