"""kafka-python in a consumer group; see ../README.md."""

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer

from common import Seen, arguments, in_threads


def main():
    bootstrap, topic, group, count = arguments()

    def produce(first):
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        sent = [producer.send(topic, str(n).encode(), partition=n % 4) for n in range(first, first + count)]
        for future in sent:
            future.get(30)
        producer.close()

    def consume(members, first):
        seen = Seen(members, first, count)

        def member(number):
            consumer = KafkaConsumer(
                bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                heartbeat_interval_ms=100, fetch_max_wait_ms=100,
            )

            class Listener(ConsumerRebalanceListener):
                def on_partitions_revoked(self, revoked):
                    seen.share(number, 0)

                def on_partitions_assigned(self, assigned):
                    pass

            consumer.subscribe([topic], listener=Listener())
            while not seen.done():
                # Version 3.0.12 never notices an answer to SyncGroup that comes as a poll's time ends: give it time.
                polled = consumer.poll(timeout_ms=1000).values()
                if polled:
                    consumer.commit()
                for records in polled:
                    for record in records:
                        seen.add(record.value)
                seen.share(number, len(consumer.assignment()))
            consumer.close()

        in_threads(seen, member, lambda: produce(first))

    consume(2, 0)
    consume(1, count)
    print("ok")


main()
