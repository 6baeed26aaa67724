"""aiokafka in a consumer group; see ../README.md."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from common import LIMIT_S, Seen, arguments


async def main():
    bootstrap, topic, group, count = arguments()

    async def produce(first, seen):
        while not seen.settled():
            await asyncio.sleep(0.01)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            sent = [await producer.send(topic, str(n).encode(), partition=n % 4) for n in range(first, first + count)]
            await asyncio.gather(*sent)

    async def member(number, seen):
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
            heartbeat_interval_ms=100, fetch_max_wait_ms=100,
        )
        async with consumer:
            while not seen.done():
                polled = (await consumer.getmany(timeout_ms=50)).values()
                if polled:
                    await consumer.commit()
                for records in polled:
                    for record in records:
                        seen.add(record.value)
                seen.share(number, len(consumer.assignment()))

    async def consume(members, first):
        seen = Seen(members, first, count)
        try:
            running = [member(n, seen) for n in range(members)] + [produce(first, seen)]
            await asyncio.wait_for(asyncio.gather(*running), LIMIT_S)
        except TimeoutError:
            raise AssertionError(f"after {LIMIT_S} s: {seen}")

    await consume(2, 0)
    await consume(1, count)
    print("ok")


asyncio.run(main())
