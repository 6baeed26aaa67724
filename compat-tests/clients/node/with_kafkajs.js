// kafkajs in a consumer group; see ../README.md.
"use strict";

const { Kafka, logLevel } = require("kafkajs");

const PARTITIONS = 4;
const LIMIT_MS = 30_000;
const [bootstrap, topic, group, countText] = process.argv.slice(2);
const count = Number(countText);
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR });

async function produce(first) {
  const producer = kafka.producer();
  await producer.connect();
  const messages = Array.from({ length: count }, (_, n) => ({ value: String(first + n), partition: n % PARTITIONS }));
  await producer.send({ topic, messages });
  await producer.disconnect();
}

/** Members join; once they share the partitions, first..first+count is produced, and they see each once. */
async function consume(members, first) {
  const values = new Set();
  const shares = new Map();
  let settle, finish, fail;
  const failed = new Promise((_, reject) => (fail = reject));
  const settled = new Promise((resolve) => (settle = resolve));
  const done = new Promise((resolve) => (finish = resolve));
  const consumers = [];
  for (let number = 0; number < members; number++) {
    const consumer = kafka.consumer({ groupId: group, heartbeatInterval: 100, maxWaitTimeInMs: 100 });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      shares.set(number, (payload.memberAssignment[topic] ?? []).length);
      const equal = [...shares.values()].every((share) => share === PARTITIONS / members);
      if (equal && shares.size === members) settle();
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => fail(payload.error));
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ message }) => {
        const n = Number(message.value);
        if (n < first || n >= first + count || values.has(n)) fail(new Error(`record ${n} is not expected (again)`));
        values.add(n);
        if (values.size === count) finish();
      },
    });
    consumers.push(consumer);
  }
  const state = () => `after ${LIMIT_MS} ms: ${values.size} of ${count} records, shares ${[...shares.values()]}`;
  const timer = setTimeout(() => fail(new Error(state())), LIMIT_MS);
  await Promise.race([settled, failed]);
  await produce(first);
  await Promise.race([done, failed]);
  clearTimeout(timer);
  await Promise.all(consumers.map((consumer) => consumer.disconnect()));
}

async function main() {
  await consume(2, 0);
  await consume(1, count);
  console.log("ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
