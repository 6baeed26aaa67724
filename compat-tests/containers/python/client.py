"""A plain client of the broker in the container."""

import time

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

PARTITIONS = 3
RECORDS = 10
LIMIT_S = 30


def same(what, expected, found):
    if expected != found:
        raise AssertionError(f"{what}: expected {expected}, found {found}")


def cluster_id(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    found = admin.describe_cluster()["cluster_id"]
    admin.close()
    return found


def exchange(bootstrap, topic):
    """Makes a topic, produces to each of its partitions in turn and reads it back in a group."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)], timeout_ms=LIMIT_S * 1000)
    admin.close()
    same(f"records of {topic}", _produce(bootstrap, topic), _consume(bootstrap, topic))


def _produce(bootstrap, topic):
    sent = {}
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for n in range(RECORDS):
        partition, key, value = n % PARTITIONS, b"key %d" % n, b"value %d" % n
        stored = producer.send(topic, key=key, value=value, partition=partition).get(LIMIT_S)
        same(f"offset of record {n}", n // PARTITIONS, stored.offset)
        sent.setdefault(partition, []).append((stored.offset, key, value))
    producer.close()
    return sent


def _consume(bootstrap, topic):
    seen = {}
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id="readers", auto_offset_reset="earliest")
    deadline = time.monotonic() + LIMIT_S
    while sum(map(len, seen.values())) < RECORDS and time.monotonic() < deadline:
        # kafka-python 3.0.12 forgets an assignment that comes just as a poll times out, from Apache Kafka too, and then
        # polls in vain.
        for partition, records in consumer.poll(timeout_ms=LIMIT_S * 1000).items():
            found = [(record.offset, record.key, record.value) for record in records]
            seen.setdefault(partition.partition, []).extend(found)
    consumer.commit()
    consumer.close()
    return seen
