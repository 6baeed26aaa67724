"""aiokafka in the matrix; see ../README.md."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

import matrix
from matrix import CODECS, LIMIT_S, Record, check


class Admin:
    """The library's admin client, connected while in a `with`."""

    def __init__(self, bootstrap):
        self.client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def __aenter__(self):
        await self.client.start()
        return self.client

    async def __aexit__(self, *_):
        await self.client.close()


async def create_topic(admin, topic, partitions, configs={}, replicas=1):
    answer = await admin.create_topics([NewTopic(topic, partitions, replicas, topic_configs=configs)])
    for name, code, message in answer.topic_errors:
        if code:
            raise kafka_errors.for_code(code)(message)


async def config_of(admin, topic, key):
    answer, = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    (code, message, _, _, configs), = answer.resources
    check("error of the configuration", (code, message or ""), (0, ""))
    return next(config[1] for config in configs if config[0] == key)


async def wait_until(what, condition):
    """Asks `condition` until it holds, and answers with what it answered."""
    deadline = time.monotonic() + LIMIT_S
    while not (answer := await condition()):
        check(f"still waiting for {what} after {LIMIT_S} s", time.monotonic() > deadline, False)
        await asyncio.sleep(0.02)
    return answer


async def failure_of(what, awaitable):
    """The exception that `awaitable` must raise."""
    try:
        answer = await awaitable
    except Exception as failure:
        return failure
    raise AssertionError(f"{what} did not fail: {answer}")


def consumer_of(bootstrap, *topics, **more):
    settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "fetch_max_wait_ms": 100,
                "heartbeat_interval_ms": 100}
    return AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, **settings | more)


async def send(producer, topic, values, partition=0):
    """Sends values and returns the acknowledged offsets, in the order of sending."""
    sent = [await producer.send(topic, value, partition=partition) for value in values]
    return [answer.offset for answer in await asyncio.gather(*sent)]


async def poll(consumer, timeout_ms):
    polled = await consumer.getmany(timeout_ms=timeout_ms)
    return [record for records in polled.values() for record in records]


async def read(consumer, count):
    """The next `count` records, and no more: another poll must come back empty."""
    records = []

    async def more():
        records.extend(await poll(consumer, 200))
        return len(records) >= count

    await wait_until(f"{count} records", more)
    records += await poll(consumer, 200)
    check("number of records", len(records), count)
    return records


async def read_topic(bootstrap, topic, count, **more):
    async with consumer_of(bootstrap, **more) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return await read(consumer, count)


async def create(bootstrap, prefix):
    topic = f"{prefix}-create"
    async with Admin(bootstrap) as admin:
        await create_topic(admin, topic, 3, {"cleanup.policy": "compact"})

        async def three_partitions():
            described, = await admin.describe_topics([topic])
            return len(described["partitions"]) == 3 and described

        described = await wait_until("three partitions", three_partitions)
        check("error of the topic", described["error_code"], 0)
        check("partitions", sorted(p["partition"] for p in described["partitions"]), [0, 1, 2])
        brokers = [broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]]
        for partition in described["partitions"]:
            check("the leader is a broker", partition["leader"] in brokers, True)
        check("cleanup.policy", await config_of(admin, topic, "cleanup.policy"), "compact")


async def produce(bootstrap, prefix):
    records = matrix.hundred()
    for codec in CODECS:
        topic = f"{prefix}-{codec}"
        async with Admin(bootstrap) as admin:
            await create_topic(admin, topic, 1)
        compression = None if codec == "none" else codec
        producing = AIOKafkaProducer(bootstrap_servers=bootstrap, compression_type=compression, linger_ms=20)
        async with producing as producer:
            sent = [
                await producer.send(topic, r.value, r.key, headers=r.headers, timestamp_ms=r.timestamp) for r in records
            ]
            offsets = [answer.offset for answer in await asyncio.gather(*sent)]
        check(f"acknowledged offsets with {codec}", offsets, list(range(100)))
        got = [
            Record(r.offset, r.key, r.value, list(r.headers), r.timestamp)
            for r in await read_topic(bootstrap, topic, 100)
        ]
        check(f"records with {codec}", got, records)


async def fetch(bootstrap, prefix):
    topic = f"{prefix}-fetch"
    async with Admin(bootstrap) as admin:
        await create_topic(admin, topic, 3)
    partitions = [TopicPartition(topic, p) for p in range(3)]
    values = [matrix.large_and_small(p) for p in range(3)]

    def by_partition(records):
        return [[(r.offset, r.value) for r in records if r.partition == p] for p in range(3)]

    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer, consumer_of(bootstrap) as consumer:
        sent = [
            await producer.send(topic, value, partition=p, timestamp_ms=matrix.BASE_MS + n * 1000)
            for p in range(3) for n, value in enumerate(values[p])
        ]
        await asyncio.gather(*sent)

        every = [list(enumerate(values[p])) for p in range(3)]
        consumer.assign(partitions)
        check("records from the beginning", by_partition(await read(consumer, 301)), every)
        for partition in partitions:
            consumer.seek(partition, 50)
        check("records from the middle", by_partition(await read(consumer, 151)), [all[50:] for all in every])
        check("a poll at the end", await consumer.getmany(timeout_ms=300), {})

        check("begin offsets", await consumer.beginning_offsets(partitions), dict(zip(partitions, [0, 0, 0])))
        check("end offsets", await consumer.end_offsets(partitions), dict(zip(partitions, [101, 100, 100])))
        found = await consumer.offsets_for_times({p: matrix.BASE_MS + 29_500 for p in partitions})
        check("offsets by timestamp", [(found[p].offset, found[p].timestamp) for p in partitions],
              [(30, matrix.BASE_MS + 30_000)] * 3)
        found = await consumer.offsets_for_times({p: matrix.BASE_MS + 500_000 for p in partitions})
        check("offsets by a timestamp after the last", [found[p] for p in partitions], [None] * 3)

        await consumer.seek_to_end(*partitions)
        check("the ends", [await consumer.position(p) for p in partitions], [101, 100, 100])
        check("a poll at the end", await consumer.getmany(timeout_ms=100), {})
        check("offset of what is produced later", await send(producer, topic, [b"later"], partition=1), [100])
        check("what is produced later", by_partition(await read(consumer, 1)), [[], [(100, b"later")], []])


async def group(bootstrap, prefix):
    topic = group = f"{prefix}-group"
    async with Admin(bootstrap) as admin:
        await create_topic(admin, topic, 4)
    partitions = [TopicPartition(topic, p) for p in range(4)]

    async def consume(count, first):
        """Members share the partitions; then 200 records are produced, seen, and committed."""
        members = [consumer_of(bootstrap, topic, group_id=group) for _ in range(count)]
        # One after the other: `start` waits until the member is in the group.
        for member in members:
            await member.start()
        seen = []

        async def poll_all():
            for member in members:
                seen.extend(record.value for record in await poll(member, 50))

        async def shared():
            await poll_all()
            return [len(member.assignment()) for member in members] == [4 // count] * count

        async def done():
            await poll_all()
            return len(seen) >= 200

        await wait_until(f"{count} members that share four partitions", shared)
        check("partitions of the members", set().union(*(member.assignment() for member in members)), set(partitions))
        check("records before any is produced", seen, [])
        values = matrix.numbered("group", 200, first)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            for p in range(4):
                await send(producer, topic, values[p::4], partition=p)
        await wait_until("200 records", done)
        await poll_all()
        check("records of the group", sorted(seen), values)
        for member in members:
            await member.commit()
        check("committed offsets", [await members[0].committed(p) for p in partitions], [(first + 200) // 4] * 4)
        for member in members:
            await member.stop()

    await consume(2, 0)
    await consume(1, 200)


async def idempotent(bootstrap, prefix):
    # The library has one request in flight to a node, whatever its settings: batches of 2 KB make many in a row.
    topic, values = f"{prefix}-idempotent", matrix.numbered("idempotent", 2000)
    async with Admin(bootstrap) as admin:
        await create_topic(admin, topic, 1)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, max_batch_size=2000) as producer:
        check("acknowledged offsets", await send(producer, topic, values), list(range(2000)))
    got = [(record.offset, record.value) for record in await read_topic(bootstrap, topic, 2000)]
    check("records", got, list(enumerate(values)))


async def transaction(bootstrap, prefix):
    source, target, group = f"{prefix}-source", f"{prefix}-target", f"{prefix}-copier"
    async with Admin(bootstrap) as admin:
        for topic in [source, target]:
            await create_topic(admin, topic, 1)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await send(producer, source, matrix.numbered("source", 10))

    def transactional():
        return AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{prefix}-id")

    async with transactional() as first:
        await first.begin_transaction()
        await send(first, target, matrix.numbered("committed", 10))
        await first.commit_transaction()
        await first.begin_transaction()
        await send(first, target, matrix.numbered("aborted", 10))
        await first.abort_transaction()

        async with consumer_of(bootstrap, source, group_id=group) as consumer:
            consumed = await read(consumer, 10)
            await first.begin_transaction()
            await send(first, target, [b"copy of " + record.value for record in consumed])
            partition = TopicPartition(source, 0)
            await first.send_offsets_to_transaction({partition: consumed[-1].offset + 1}, group)
            await first.commit_transaction()

            # A commit is answered before its markers are written, and the library does not ask for stable offsets.
            async def offset_committed():
                return await consumer.committed(partition) == 10

            await wait_until("the committed offset", offset_committed)

        committed, copies = matrix.numbered("committed", 10), [b"copy of " + v for v in matrix.numbered("source", 10)]
        got = [r.value for r in await read_topic(bootstrap, target, 20, isolation_level="read_committed")]
        check("committed records", got, committed + copies)
        got = [r.value for r in await read_topic(bootstrap, target, 30, isolation_level="read_uncommitted")]
        check("all records", got, committed + matrix.numbered("aborted", 10) + copies)

        await first.begin_transaction()
        async with transactional():
            failure = await failure_of("the fenced", send(first, target, [b"fenced"]))
        check("error of the fenced", type(failure), kafka_errors.ProducerFenced)


async def admin(bootstrap, prefix):
    topic, group = f"{prefix}-admin", f"{prefix}-admin"
    async with Admin(bootstrap) as admin:
        cluster = await admin.describe_cluster()
        check("the port of the only node", [b["port"] for b in cluster["brokers"]], [int(bootstrap.split(":")[1])])
        check("the controller is a node", cluster["controller_id"] in [b["node_id"] for b in cluster["brokers"]], True)

        async def partitions():
            described, = await admin.describe_topics([topic])
            return sorted(p["partition"] for p in described["partitions"])

        async def has_partitions(wanted):
            return await partitions() == wanted

        await create_topic(admin, topic, 1)
        await wait_until("one partition", lambda: has_partitions([0]))
        check("list topics", topic in await admin.list_topics(), True)
        await admin.create_partitions({topic: NewPartitions(3)})
        await wait_until("three partitions", lambda: has_partitions([0, 1, 2]))

        async def retention():
            return await config_of(admin, topic, "retention.ms") == "3600000"

        changed = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "3600000"})
        altered, = await admin.alter_configs([changed])
        check("alter configs", [(r[0], r[3]) for r in altered.resources], [(0, topic)])
        await wait_until("retention.ms=3600000", retention)

        partition = TopicPartition(topic, 0)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            await send(producer, topic, matrix.numbered("admin", 10))
        check("low watermark", await admin.delete_records({partition: RecordsToDelete(4)}), {partition: 4})

        async with consumer_of(bootstrap, topic, group_id=group) as consumer:
            check("what is left", [r.offset for r in await read(consumer, 6)], list(range(4, 10)))
            await consumer.commit()
            answer, = await admin.describe_consumer_groups([group])
            described, = answer.groups
            check("describe groups", (described[:3], len(described[5])), ((0, group, "Stable"), 1))

        async def empty():
            answer, = await admin.describe_consumer_groups([group])
            return answer.groups[0][:3] == (0, group, "Empty")

        await wait_until("an empty group", empty)
        listed = {listing[0]: listing[1] for listing in await admin.list_consumer_groups()}
        check("list groups", listed.get(group), "consumer")
        committed = await admin.list_consumer_group_offsets(group)
        check("list group offsets", committed[partition].offset, 10)

        deleted = await admin.delete_topics([topic])
        check("delete topics", [tuple(d)[:2] for d in deleted.topic_error_codes], [(topic, 0)])

        async def gone():
            return topic not in await admin.list_topics()

        await wait_until("the topic to be gone", gone)


async def errors(bootstrap, prefix):
    topic, unknown = f"{prefix}-errors", f"{prefix}-unknown"
    async with Admin(bootstrap) as admin:
        await create_topic(admin, topic, 1, {"max.message.bytes": "10000"})
        for what, creation, wanted in [
            ("an existing topic", create_topic(admin, topic, 1), kafka_errors.TopicAlreadyExistsError),
            ("three replicas", create_topic(admin, f"{prefix}-three", 1, replicas=3),
             kafka_errors.InvalidReplicationFactorError),
            ("an invalid name", create_topic(admin, "bad name!", 1), kafka_errors.InvalidTopicError),
        ]:
            check(what, type(await failure_of(what, creation)), wanted)
        # Where topics are created automatically, `describe_topics` creates the topic: its configuration tells instead.
        answer, = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, unknown)])
        check("an unknown topic", answer.resources[0][0], kafka_errors.UnknownTopicOrPartitionError.errno)
        # The library asks with a version of DescribeGroups in which an unknown group is a dead one.
        answer, = await admin.describe_consumer_groups([unknown])
        check("an unknown group", answer.groups[0][:3], (0, unknown, "Dead"))

    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        failure = await failure_of("a large record", send(producer, topic, [b"x" * 20_000]))
    check("a large record", type(failure), kafka_errors.MessageSizeTooLargeError)

    async with consumer_of(bootstrap, auto_offset_reset="none") as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 1000)
        failure = await failure_of("an offset out of range", asyncio.wait_for(consumer.getone(), LIMIT_S))
        check("an offset out of range", (type(failure), failure.args),
              (kafka_errors.OffsetOutOfRangeError, ({partition: 1000},)))


def in_loop(scenario):
    return lambda bootstrap, prefix: asyncio.run(scenario(bootstrap, prefix))


matrix.main({
    scenario.__name__: in_loop(scenario)
    for scenario in [create, produce, fetch, group, idempotent, transaction, admin, errors]
})
