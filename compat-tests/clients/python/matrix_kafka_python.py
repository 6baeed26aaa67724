"""kafka-python in the matrix; see ../README.md."""

import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import AlterConfigOp, ConfigResource, OffsetSpec

import matrix
from matrix import CODECS, LIMIT_S, Record, check, failure_of, wait_until


def admin_of(bootstrap):
    return KafkaAdminClient(bootstrap_servers=bootstrap)


def create_topic(admin, topic, partitions, configs={}, replicas=1):
    settings = {"num_partitions": partitions, "replication_factor": replicas, "configs": configs}
    admin.create_topics({topic: settings})
    admin.wait_for_topics([topic], LIMIT_S * 1000)


def config_of(admin, topic, key):
    answer = admin.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")
    return answer["topic"][topic][key]["value"]


def producer_of(bootstrap, **more):
    return KafkaProducer(bootstrap_servers=bootstrap, **more)


def consumer_of(bootstrap, group=None, **more):
    settings = {"group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False,
                "fetch_max_wait_ms": 100, "heartbeat_interval_ms": 100}
    return KafkaConsumer(bootstrap_servers=bootstrap, **settings | more)


def send(producer, topic, values, partition=0):
    """Sends values and returns the acknowledged offsets, in the order of sending."""
    sent = [producer.send(topic, value, partition=partition) for value in values]
    return [future.get(LIMIT_S).offset for future in sent]


def poll(consumer, timeout_ms):
    return [record for records in consumer.poll(timeout_ms).values() for record in records]


def read(consumer, count):
    """The next `count` records, and no more: another poll must come back empty."""
    records = []

    def more():
        records.extend(poll(consumer, 200))
        return len(records) >= count

    wait_until(f"reading {count} records", more)
    records += poll(consumer, 200)
    check("number of records", len(records), count)
    return records


def read_topic(bootstrap, topic, count, **more):
    consumer = consumer_of(bootstrap, **more)
    consumer.assign([TopicPartition(topic, 0)])
    records = read(consumer, count)
    consumer.close()
    return records


def create(bootstrap, prefix):
    admin, topic = admin_of(bootstrap), f"{prefix}-create"
    create_topic(admin, topic, 3, {"cleanup.policy": "compact"})
    described, = admin.describe_topics([topic])
    check("error of the topic", described["error_code"], 0)
    check("partitions", sorted(p["partition_index"] for p in described["partitions"]), [0, 1, 2])
    brokers = [broker["broker_id"] for broker in admin.describe_cluster()["brokers"]]
    for partition in described["partitions"]:
        check("the leader is a broker", partition["leader_id"] in brokers, True)
    check("cleanup.policy", config_of(admin, topic, "cleanup.policy"), "compact")


def produce(bootstrap, prefix):
    admin, records = admin_of(bootstrap), matrix.hundred()
    for codec in CODECS:
        topic = f"{prefix}-{codec}"
        create_topic(admin, topic, 1)
        producer = producer_of(bootstrap, compression_type=None if codec == "none" else codec, linger_ms=20)
        sent = [
            producer.send(topic, r.value, r.key, headers=r.headers, timestamp_ms=r.timestamp) for r in records
        ]
        check(f"acknowledged offsets with {codec}", [future.get(LIMIT_S).offset for future in sent], list(range(100)))
        producer.close()
        got = [
            Record(r.offset, r.key, r.value, list(r.headers), r.timestamp) for r in read_topic(bootstrap, topic, 100)
        ]
        check(f"records with {codec}", got, records)


def fetch(bootstrap, prefix):
    topic = f"{prefix}-fetch"
    create_topic(admin_of(bootstrap), topic, 3)
    partitions = [TopicPartition(topic, p) for p in range(3)]
    values = [matrix.large_and_small(p) for p in range(3)]
    producer = producer_of(bootstrap)
    sent = [
        producer.send(topic, value, partition=p, timestamp_ms=matrix.BASE_MS + n * 1000)
        for p in range(3) for n, value in enumerate(values[p])
    ]
    for future in sent:
        future.get(LIMIT_S)

    def by_partition(records):
        return [[(r.offset, r.value) for r in records if r.partition == p] for p in range(3)]

    every = [list(enumerate(values[p])) for p in range(3)]
    consumer = consumer_of(bootstrap)
    consumer.assign(partitions)
    check("records from the beginning", by_partition(read(consumer, 301)), every)
    for partition in partitions:
        consumer.seek(partition, 50)
    check("records from the middle", by_partition(read(consumer, 151)), [all[50:] for all in every])
    check("a poll at the end", consumer.poll(300), {})

    check("begin offsets", consumer.beginning_offsets(partitions), dict(zip(partitions, [0, 0, 0])))
    check("end offsets", consumer.end_offsets(partitions), dict(zip(partitions, [101, 100, 100])))
    found = consumer.offsets_for_times({p: matrix.BASE_MS + 29_500 for p in partitions})
    check("offsets by timestamp", [(found[p].offset, found[p].timestamp) for p in partitions],
          [(30, matrix.BASE_MS + 30_000)] * 3)
    found = consumer.offsets_for_times({p: matrix.BASE_MS + 500_000 for p in partitions})
    check("offsets by a timestamp after the last", [found[p] for p in partitions], [None] * 3)

    consumer.seek_to_end(*partitions)
    check("the ends", [consumer.position(p) for p in partitions], [101, 100, 100])
    check("a poll at the end", consumer.poll(100), {})
    check("offset of what is produced later", send(producer, topic, [b"later"], partition=1), [100])
    check("what is produced later", by_partition(read(consumer, 1)), [[], [(100, b"later")], []])
    consumer.close()


def group(bootstrap, prefix):
    topic = group = f"{prefix}-group"
    create_topic(admin_of(bootstrap), topic, 4)
    partitions = [TopicPartition(topic, p) for p in range(4)]
    producer = producer_of(bootstrap)

    def consume(count, first):
        """Members share the partitions; then 200 records are produced, seen, and committed."""
        seen, shares, done, failures = [], [[]] * count, threading.Event(), []

        def member(number):
            try:
                consumer = consumer_of(bootstrap, group)
                consumer.subscribe([topic])
                while not done.is_set():
                    # A short poll can miss the answer to SyncGroup, and version 3.0.12 then never notices it.
                    seen.extend(poll(consumer, 1000))
                    shares[number] = sorted(p.partition for p in consumer.assignment())
                consumer.commit()
                consumer.close()
            except Exception as failure:
                failures.append(failure)

        def without_failure(condition):
            if failures:
                raise failures[0]
            return condition

        members = [threading.Thread(target=member, args=(number,), daemon=True) for number in range(count)]
        for thread in members:
            thread.start()
        wait_until(f"{count} members share four partitions",
                   lambda: without_failure([len(share) for share in shares] == [4 // count] * count))
        check("partitions of the members", sorted(sum(shares, [])), [0, 1, 2, 3])
        check("records before any is produced", seen, [])
        values = matrix.numbered("group", 200, first)
        for p in range(4):
            send(producer, topic, values[p::4], partition=p)
        wait_until("200 records", lambda: without_failure(len(seen) >= 200))
        done.set()
        for thread in members:
            thread.join(LIMIT_S)
            check("the member still runs", without_failure(thread.is_alive()), False)
        check("records of the group", sorted(record.value for record in seen), values)
        observer = consumer_of(bootstrap, group)
        check("committed offsets", [observer.committed(p) for p in partitions], [(first + 200) // 4] * 4)
        observer.close()

    consume(2, 0)
    consume(1, 200)


def idempotent(bootstrap, prefix):
    topic, values = f"{prefix}-idempotent", matrix.numbered("idempotent", 2000)
    create_topic(admin_of(bootstrap), topic, 1)
    producer = producer_of(
        bootstrap, enable_idempotence=True, max_in_flight_requests_per_connection=5, batch_size=1000,
    )
    check("acknowledged offsets", send(producer, topic, values), list(range(2000)))
    got = [(record.offset, record.value) for record in read_topic(bootstrap, topic, 2000)]
    check("records", got, list(enumerate(values)))


def transaction(bootstrap, prefix):
    source, target, group = f"{prefix}-source", f"{prefix}-target", f"{prefix}-copier"
    admin = admin_of(bootstrap)
    for topic in [source, target]:
        create_topic(admin, topic, 1)
    send(producer_of(bootstrap), source, matrix.numbered("source", 10))

    def transactional():
        producer = producer_of(bootstrap, transactional_id=f"{prefix}-id")
        producer.init_transactions()
        return producer

    first = transactional()
    first.begin_transaction()
    send(first, target, matrix.numbered("committed", 10))
    first.commit_transaction()
    first.begin_transaction()
    send(first, target, matrix.numbered("aborted", 10))
    first.abort_transaction()

    consumer = consumer_of(bootstrap, group, isolation_level="read_committed")
    consumer.subscribe([source])
    consumed = read(consumer, 10)
    first.begin_transaction()
    send(first, target, [b"copy of " + record.value for record in consumed])
    after = OffsetAndMetadata(consumed[-1].offset + 1, "", -1)
    first.send_offsets_to_transaction({TopicPartition(source, 0): after}, consumer.group_metadata())
    first.commit_transaction()
    check("committed offset", consumer.committed(TopicPartition(source, 0)), 10)
    consumer.close()

    committed, copies = matrix.numbered("committed", 10), [b"copy of " + v for v in matrix.numbered("source", 10)]
    got = [r.value for r in read_topic(bootstrap, target, 20, isolation_level="read_committed")]
    check("committed records", got, committed + copies)
    got = [r.value for r in read_topic(bootstrap, target, 30, isolation_level="read_uncommitted")]
    check("all records", got, committed + matrix.numbered("aborted", 10) + copies)

    first.begin_transaction()
    second = transactional()
    failure = failure_of("the fenced", lambda: send(first, target, [b"fenced"]))
    check("error of the fenced", type(failure), kafka_errors.ProducerFencedError)
    second.close()


def admin(bootstrap, prefix):
    admin, topic, group = admin_of(bootstrap), f"{prefix}-admin", f"{prefix}-admin"
    cluster = admin.describe_cluster()
    check("the port of the only node", [b["port"] for b in cluster["brokers"]], [int(bootstrap.split(":")[1])])
    check("the controller is a node", cluster["controller_id"] in [b["broker_id"] for b in cluster["brokers"]], True)

    create_topic(admin, topic, 1)
    check("list topics", topic in admin.list_topics(), True)
    admin.create_partitions({topic: 3})
    wait_until("three partitions", lambda: len(admin.describe_topics([topic])[0]["partitions"]) == 3)
    described = admin.describe_topic_partitions([topic])["topics"]
    check("describe topic partitions", [(t["name"], len(t["partitions"])) for t in described], [(topic, 3)])

    for configs, incremental, wanted in [
        ({"retention.ms": (AlterConfigOp.SET, "3600000")}, True, "3600000"),
        ({"retention.ms": (AlterConfigOp.DELETE, None)}, True, "604800000"),
        ({"retention.ms": "7200000"}, False, "7200000"),
    ]:
        answer = admin.alter_configs([ConfigResource("TOPIC", topic, configs)], incremental=incremental)
        check("alter configs", answer, {"topic": {topic: "OK"}})
        wait_until(f"retention.ms={wanted}", lambda: config_of(admin, topic, "retention.ms") == wanted)

    partitions = [TopicPartition(topic, p) for p in range(3)]
    producer = producer_of(bootstrap)
    for future in [producer.send(topic, b"admin", partition=0, timestamp_ms=matrix.BASE_MS + n) for n in range(10)]:
        future.get(LIMIT_S)
    check("low watermark", admin.delete_records({partitions[0]: 4})[partitions[0]]["low_watermark"], 4)
    for spec, wanted in [(OffsetSpec.EARLIEST, 4), (OffsetSpec.LATEST, 10), (OffsetSpec.MAX_TIMESTAMP, 9)]:
        listed = admin.list_partition_offsets({partitions[0]: spec})
        check(f"list offsets: {spec!r}", listed[partitions[0]].offset, wanted)

    consumer = consumer_of(bootstrap, group)
    consumer.subscribe([topic])
    check("what is left", [r.offset for r in read(consumer, 6)], list(range(4, 10)))
    consumer.commit()
    described = admin.describe_groups([group])[group]
    assigned = [t["partitions"] for t in described["members"][0]["member_assignment"]["assigned_partitions"]]
    check("describe groups", (described["group_state"], len(described["members"]), assigned),
          ("Stable", 1, [[0, 1, 2]]))
    check("deleting a group with members", admin.delete_groups([group]), {group: "NonEmptyGroupError"})
    consumer.close()

    wait_until("an empty group", lambda: admin.describe_groups([group])[group]["group_state"] == "Empty")
    listed = {g["group_id"]: (g["group_state"], g["group_type"]) for g in admin.list_groups()}
    check("list groups", listed.get(group), ("Empty", "classic"))
    check("list group offsets", admin.list_group_offsets([group])[group][partitions[0]].offset, 10)
    altered = admin.alter_group_offsets(group, {partitions[0]: OffsetAndMetadata(5, "", -1)})
    check("alter group offsets", altered, {partitions[0]: kafka_errors.NoError})
    check("altered group offsets", admin.list_group_offsets([group])[group][partitions[0]].offset, 5)
    deleted = admin.delete_group_offsets(group, partitions[:1])
    check("delete group offsets", deleted, {partitions[0]: kafka_errors.NoError})
    check("deleted group offsets", partitions[0] in admin.list_group_offsets([group])[group], False)
    check("delete groups", admin.delete_groups([group]), {group: "OK"})
    check("the group is deleted", group in [g["group_id"] for g in admin.list_groups()], False)

    admin.delete_topics([topic])
    wait_until("the topic is gone", lambda: topic not in admin.list_topics())


def errors(bootstrap, prefix):
    admin, topic = admin_of(bootstrap), f"{prefix}-errors"
    create_topic(admin, topic, 1, {"max.message.bytes": "10000"})
    for what, creation, wanted in [
        ("an existing topic", lambda: create_topic(admin, topic, 1), kafka_errors.TopicAlreadyExistsError),
        ("three replicas", lambda: create_topic(admin, f"{prefix}-three", 1, replicas=3),
         kafka_errors.InvalidReplicationFactorError),
        ("an invalid name", lambda: create_topic(admin, "bad name!", 1), kafka_errors.InvalidTopicError),
    ]:
        check(what, type(failure_of(what, creation)), wanted)

    failure = failure_of("a large record", lambda: send(producer_of(bootstrap), topic, [b"x" * 20_000]))
    check("a large record", type(failure), kafka_errors.MessageSizeTooLargeError)

    consumer, partition = consumer_of(bootstrap, auto_offset_reset="none"), TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, 1000)
    deadline = time.monotonic() + LIMIT_S

    def poll_on():
        while time.monotonic() < deadline:
            check("records out of range", consumer.poll(100), {})

    failure = failure_of("an offset out of range", poll_on)
    check("an offset out of range", type(failure), kafka_errors.OffsetOutOfRangeError)
    check("what is out of range", failure.args, ({partition: 1000},))
    consumer.close()

    unknown = f"{prefix}-unknown"
    described, = admin.describe_topics([unknown])
    check("an unknown topic", described["error_code"], kafka_errors.UnknownTopicOrPartitionError.errno)
    group = admin.describe_groups([unknown])[unknown]
    check("an unknown group", (group["error"].split("]")[0], group["group_state"]), ("[Error 69", "Dead"))
    check("deleting an unknown group", admin.delete_groups([unknown]), {unknown: "GroupIdNotFoundError"})


matrix.main({
    "create": create, "produce": produce, "fetch": fetch, "group": group, "idempotent": idempotent,
    "transaction": transaction, "admin": admin, "errors": errors,
})
