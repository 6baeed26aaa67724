// A plain client of the broker in the container.
"use strict";

const assert = require("node:assert");
const { Kafka, logLevel } = require("kafkajs");

const PARTITIONS = 3;
const RECORDS = 10;
const LIMIT_MS = 30_000;

/** Makes a topic, produces to each of its partitions in turn and reads it back in a group. */
async function exchange(bootstrap, topic) {
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  await admin.connect();
  assert(await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }] }), `${topic} existed`);
  await admin.disconnect();
  const sent = await produce(kafka, topic);
  assert.deepStrictEqual(await consume(kafka, topic), sent);
}

async function clusterId(bootstrap) {
  const admin = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR }).admin();
  await admin.connect();
  const { clusterId } = await admin.describeCluster();
  await admin.disconnect();
  return clusterId;
}

async function produce(kafka, topic) {
  const sent = Array.from({ length: PARTITIONS }, () => []);
  const producer = kafka.producer();
  await producer.connect();
  for (let n = 0; n < RECORDS; n++) {
    const partition = n % PARTITIONS;
    const message = { partition, key: `key ${n}`, value: `value ${n}` };
    const [stored] = await producer.send({ topic, messages: [message] });
    assert.strictEqual(stored.baseOffset, String(Math.floor(n / PARTITIONS)), `offset of record ${n}`);
    sent[partition].push([stored.baseOffset, message.key, message.value]);
  }
  await producer.disconnect();
  return sent;
}

async function consume(kafka, topic) {
  const seen = Array.from({ length: PARTITIONS }, () => []);
  const consumer = kafka.consumer({ groupId: "readers", maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let timer;
  await new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${LIMIT_MS} ms: ${JSON.stringify(seen)}`)), LIMIT_MS);
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    const eachMessage = async ({ partition, message }) => {
      seen[partition].push([message.offset, String(message.key), String(message.value)]);
      if (seen.flat().length === RECORDS) resolve();
    };
    consumer.run({ eachMessage }).catch(reject);
  });
  clearTimeout(timer);
  await consumer.disconnect();
  return seen;
}

module.exports = { clusterId, exchange };
