"""confluent-kafka in a consumer group; see ../README.md."""

from confluent_kafka import Consumer, Producer

from common import Seen, arguments, in_threads


def main():
    bootstrap, topic, group, count = arguments()

    def produce(first):
        producer = Producer({"bootstrap.servers": bootstrap})

        def delivered(error, _):
            if error:
                raise AssertionError(error)

        for n in range(first, first + count):
            producer.produce(topic, str(n), partition=n % 4, on_delivery=delivered)
        assert producer.flush(30) == 0

    def consume(members, first):
        seen = Seen(members, first, count)

        def member(number):
            consumer = Consumer({
                "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
                "enable.auto.commit": False, "heartbeat.interval.ms": 100, "fetch.wait.max.ms": 100,
                "partition.assignment.strategy": "cooperative-sticky",
            })
            consumer.subscribe([topic])
            while not seen.done():
                for message in consumer.consume(100, timeout=0.05):
                    if message.error():
                        raise AssertionError(message.error())
                    consumer.commit(message=message, asynchronous=False)
                    seen.add(message.value())
                seen.share(number, len(consumer.assignment()))
            consumer.close()

        in_threads(seen, member, lambda: produce(first))

    consume(2, 0)
    consume(1, count)
    print("ok")


main()
