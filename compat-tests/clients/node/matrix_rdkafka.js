// node-rdkafka in the matrix; see ../README.md.
"use strict";

const Kafka = require("node-rdkafka");

const matrix = require("./matrix");
const { BASE_MS, LIMIT_MS, Unsupported, check, failureOf, numbered, numbers, waitUntil } = matrix;

const { CODES } = Kafka;
// zstd is there if its headers were when the library was built.
const CODECS = ["none", ...["gzip", "snappy", "lz4", "zstd"].filter((codec) => Kafka.features.includes(codec))];
const [BEGINNING, END] = [-2, -1];

/** Calls a method that takes a callback at its end. */
const call = (object, method, ...parameters) =>
  new Promise((resolve, reject) =>
    object[method](...parameters, (error, answer) => (error ? reject(error) : resolve(answer))));

const adminOf = (bootstrap) => Kafka.AdminClient.create({ "bootstrap.servers": bootstrap });

const createTopic = (admin, topic, partitions, config = {}, replicas = 1) =>
  call(admin, "createTopic", { topic, num_partitions: partitions, replication_factor: replicas, config }, LIMIT_MS);

async function producerOf(bootstrap, more = {}) {
  const producer = new Kafka.Producer({ "bootstrap.servers": bootstrap, dr_cb: true, "linger.ms": 5, ...more });
  await call(producer, "connect", {});
  producer.setPollInterval(10);
  return producer;
}

/** Produces messages, and returns the offsets in the order in which they were acknowledged. */
async function produceAll(producer, topic, messages) {
  const offsets = [];
  let failure;
  const delivered = (error, report) => (error ? (failure = error) : offsets.push(report.offset));
  producer.on("delivery-report", delivered);
  for (const { partition = 0, key = null, value, timestamp = null, headers } of messages) {
    producer.produce(topic, partition, value === null ? null : Buffer.from(value), key, timestamp, null, headers);
  }
  await waitUntil(`${messages.length} deliveries`, () => {
    if (failure) throw failure;
    return offsets.length === messages.length;
  });
  producer.off("delivery-report", delivered);
  return offsets;
}

/** The library gives the failure of a delivery no code, only librdkafka's words for it. */
const checkDelivery = (what, failure, words) =>
  check(what, [failure.origin, failure.message.toLowerCase()], ["broker", words]);

const send = (producer, topic, values, partition = 0) =>
  produceAll(producer, topic, values.map((value) => ({ partition, value })));

async function consumerOf(bootstrap, group = "none", more = {}, offsetReset = "earliest") {
  const settings = {
    "bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": false, "fetch.wait.max.ms": 100, ...more,
  };
  const consumer = new Kafka.KafkaConsumer(settings, { "auto.offset.reset": offsetReset });
  await call(consumer, "connect", {});
  consumer.setDefaultConsumeTimeout(100);
  return consumer;
}

/** The next `count` messages, and no more: another poll must come back empty. */
async function read(consumer, count) {
  const messages = [];
  await waitUntil(`reading ${count} messages`, async () => {
    messages.push(...(await call(consumer, "consume", 1000)));
    return messages.length >= count;
  });
  messages.push(...(await call(consumer, "consume", 1)));
  check("number of messages", messages.length, count);
  return messages;
}

async function readTopic(bootstrap, topic, count, more) {
  const consumer = await consumerOf(bootstrap, topic, more);
  consumer.assign([{ topic, partition: 0, offset: BEGINNING }]);
  const messages = await read(consumer, count);
  await call(consumer, "disconnect");
  return messages;
}

const text = (buffer) => (buffer === null ? null : buffer.toString());
const values = (messages) => messages.map((message) => text(message.value));

async function partitionsOf(client, topic) {
  const metadata = await call(client, "getMetadata", { topic, timeout: LIMIT_MS });
  return metadata.topics.find((found) => found.name === topic).partitions;
}

async function create(bootstrap, prefix) {
  const topic = `${prefix}-create`;
  await createTopic(adminOf(bootstrap), topic, 3, { "cleanup.policy": "compact" });
  const producer = await producerOf(bootstrap);
  await waitUntil("three partitions", async () => (await partitionsOf(producer, topic)).length === 3);
  const { brokers } = await call(producer, "getMetadata", { topic, timeout: LIMIT_MS });
  for (const { leader } of await partitionsOf(producer, topic)) {
    check("the leader is a broker", brokers.map((broker) => broker.id).includes(leader), true);
  }
  // A compacted topic refuses a record without a key: with the configuration kept, this fails.
  const failure = await failureOf("a record without a key", () => send(producer, topic, ["no key"]));
  checkDelivery("a record without a key", failure, "broker failed to validate record");
  throw new Unsupported("describing configurations");
}

async function produce(bootstrap, prefix) {
  // The library sends an empty value as null.
  const [admin, records] = [adminOf(bootstrap), matrix.hundred().map((r) => ({ ...r, value: r.value || null }))];
  for (const codec of CODECS) {
    const topic = `${prefix}-${codec}`;
    await createTopic(admin, topic, 1);
    const producer = await producerOf(bootstrap, { "compression.codec": codec });
    const messages = records.map(({ headers, ...record }) => ({
      ...record, headers: Object.entries(headers).map(([name, value]) => ({ [name]: value })),
    }));
    check(`acknowledged offsets with ${codec}`, await produceAll(producer, topic, messages), numbers(100));
    await call(producer, "disconnect");
    const got = (await readTopic(bootstrap, topic, 100)).map((message) => ({
      offset: message.offset,
      key: text(message.key),
      value: text(message.value),
      headers: Object.fromEntries(message.headers.flatMap((header) =>
        Object.entries(header).map(([name, value]) => [name, text(value)]))),
      timestamp: message.timestamp,
    }));
    check(`records with ${codec}`, got, records);
  }
}

async function fetch(bootstrap, prefix) {
  const [producer, topic] = [await producerOf(bootstrap), `${prefix}-fetch`];
  await createTopic(adminOf(bootstrap), topic, 3);
  const every = numbers(3).map((p) => matrix.largeAndSmall(p).map((value, n) => [n, value]));
  for (const partition of numbers(3)) {
    const messages = every[partition].map(([n, value]) => ({ partition, value, timestamp: BASE_MS + n * 1000 }));
    await produceAll(producer, topic, messages);
  }
  const byPartition = (messages) =>
    numbers(3).map((p) => messages.filter((m) => m.partition === p).map((m) => [m.offset, text(m.value)]));
  const at = (offset) => numbers(3).map((partition) => ({ topic, partition, offset }));

  const consumer = await consumerOf(bootstrap, topic);
  consumer.assign(at(BEGINNING));
  check("records from the beginning", byPartition(await read(consumer, 301)), every);
  for (const partition of at(50)) await call(consumer, "seek", partition, 5000);
  check("records from the middle", byPartition(await read(consumer, 151)), every.map((all) => all.slice(50)));

  const ends = [];
  for (const p of numbers(3)) ends.push(await call(consumer, "queryWatermarkOffsets", topic, p, LIMIT_MS));
  check("begin and end offsets", ends.map(({ lowOffset, highOffset }) => [lowOffset, highOffset]),
    [[0, 101], [0, 100], [0, 100]]);
  for (const [after, wanted] of [[29_500, 30], [500_000, END]]) {
    const found = await call(consumer, "offsetsForTimes", at(BASE_MS + after), LIMIT_MS);
    check("offsets by timestamp", found.map(({ partition, offset }) => [partition, offset]),
      numbers(3).map((p) => [p, wanted]));
  }
  await call(consumer, "disconnect");

  const late = await consumerOf(bootstrap, topic, { "enable.partition.eof": true });
  const atEnd = new Map();
  late.on("partition.eof", ({ partition, offset }) => atEnd.set(partition, offset));
  late.assign(at(END));
  await waitUntil("the ends of three partitions", async () => {
    check("records at the end", await call(late, "consume", 10), []);
    return atEnd.size === 3;
  });
  check("the ends", numbers(3).map((p) => atEnd.get(p)), [101, 100, 100]);
  check("offset of what is produced later", await send(producer, topic, ["later"], 1), [100]);
  check("what is produced later", byPartition(await read(late, 1)), [[], [[100, "later"]], []]);
  await call(late, "disconnect");
}

async function shareAndResume(bootstrap, topic, more) {
  const producer = await producerOf(bootstrap);
  await createTopic(adminOf(bootstrap), topic, 4);

  /** Members share the partitions; then 200 records are produced, seen, and committed. */
  async function consume(count, first) {
    const members = [];
    for (const _ of numbers(count)) members.push(await consumerOf(bootstrap, topic, more));
    for (const member of members) member.subscribe([topic]);
    const seen = [];
    const poll = async () => {
      for (const member of members) seen.push(...values(await call(member, "consume", 100)));
    };
    const shares = () => members.map((member) => member.assignments().map(({ partition }) => partition));
    await waitUntil(`${count} members share four partitions`, async () => {
      await poll();
      return shares().every((share) => share.length === 4 / count);
    });
    check("partitions of the members", shares().flat().sort(), [0, 1, 2, 3]);
    check("records before any is produced", seen, []);
    const wanted = numbered("group", 200, first);
    for (const p of numbers(4)) await send(producer, topic, wanted.filter((_, n) => n % 4 === p), p);
    await waitUntil("200 records", async () => {
      await poll();
      return seen.length >= 200;
    });
    await poll();
    check("records of the group", seen.sort(), wanted);
    for (const member of members) member.commitSync();
    const partitions = numbers(4).map((partition) => ({ topic, partition }));
    const committed = await call(members[0], "committed", partitions, LIMIT_MS);
    check("committed offsets", committed.map(({ offset }) => offset), numbers(4).map(() => (first + 200) / 4));
    for (const member of members) await call(member, "disconnect");
  }

  await consume(2, 0);
  await consume(1, 200);
}

async function group(bootstrap, prefix) {
  await shareAndResume(bootstrap, `${prefix}-classic`, { "heartbeat.interval.ms": 100 });
  await shareAndResume(bootstrap, `${prefix}-consumer`, { "group.protocol": "consumer" });
}

async function idempotent(bootstrap, prefix) {
  const [topic, all] = [`${prefix}-idempotent`, numbered("idempotent", 2000)];
  await createTopic(adminOf(bootstrap), topic, 1);
  const producer = await producerOf(bootstrap, {
    "enable.idempotence": true, "max.in.flight": 5, "batch.num.messages": 50, "linger.ms": 1,
  });
  check("acknowledged offsets", await send(producer, topic, all), numbers(2000));
  const got = (await readTopic(bootstrap, topic, 2000)).map((m) => [m.offset, text(m.value)]);
  check("records", got, all.map((value, n) => [n, value]));
}

async function transaction(bootstrap, prefix) {
  const [source, target, groupId] = [`${prefix}-source`, `${prefix}-target`, `${prefix}-copier`];
  for (const topic of [source, target]) await createTopic(adminOf(bootstrap), topic, 1);
  await send(await producerOf(bootstrap), source, numbered("source", 10));
  const transactional = async () => {
    const producer = await producerOf(bootstrap, { "transactional.id": `${prefix}-id` });
    await call(producer, "initTransactions", LIMIT_MS);
    return producer;
  };

  const first = await transactional();
  await call(first, "beginTransaction");
  await send(first, target, numbered("committed", 10));
  await call(first, "commitTransaction", LIMIT_MS);
  await call(first, "beginTransaction");
  await send(first, target, numbered("aborted", 10));
  await call(first, "abortTransaction", LIMIT_MS);

  const consumer = await consumerOf(bootstrap, groupId, { "heartbeat.interval.ms": 100 });
  consumer.subscribe([source]);
  const consumed = await read(consumer, 10);
  await call(first, "beginTransaction");
  await send(first, target, values(consumed).map((value) => `copy of ${value}`));
  const after = [{ topic: source, partition: 0, offset: consumed.at(-1).offset + 1 }];
  await call(first, "sendOffsetsToTransaction", after, consumer, LIMIT_MS);
  await call(first, "commitTransaction", LIMIT_MS);
  const [committed] = await call(consumer, "committed", [{ topic: source, partition: 0 }], LIMIT_MS);
  check("committed offset", committed.offset, 10);
  await call(consumer, "disconnect");

  const expected = [...numbered("committed", 10), ...numbered("source", 10).map((value) => `copy of ${value}`)];
  const readAt = async (isolation, count) =>
    values(await readTopic(bootstrap, target, count, { "isolation.level": isolation }));
  check("committed records", await readAt("read_committed", 20), expected);
  const all = [...expected.slice(0, 10), ...numbered("aborted", 10), ...expected.slice(10)];
  check("all records", await readAt("read_uncommitted", 30), all);

  await call(first, "beginTransaction");
  await transactional();
  first.produce(target, 0, Buffer.from("fenced"));
  const failure = await failureOf("the fenced", () => call(first, "commitTransaction", LIMIT_MS));
  check("error of the fenced", failure.code, CODES.ERRORS.ERR__FENCED);
}

async function admin(bootstrap, prefix) {
  const [admin, producer, topic] = [adminOf(bootstrap), await producerOf(bootstrap), `${prefix}-admin`];
  const metadata = () => call(producer, "getMetadata", { timeout: LIMIT_MS });
  const topics = async () => (await metadata()).topics.map(({ name }) => name);
  const { brokers } = await metadata();
  check("the port of the only node", brokers.map((broker) => broker.port), [Number(bootstrap.split(":")[1])]);

  await createTopic(admin, topic, 1);
  await waitUntil("the topic is listed", async () => (await topics()).includes(topic));
  await call(admin, "createPartitions", topic, 3, LIMIT_MS);
  await waitUntil("three partitions", async () => (await partitionsOf(producer, topic)).length === 3);
  await send(producer, topic, numbered("admin", 10), 2);
  const { lowOffset, highOffset } = await call(producer, "queryWatermarkOffsets", topic, 2, LIMIT_MS);
  check("list offsets", [lowOffset, highOffset], [0, 10]);
  await call(admin, "deleteTopic", topic, LIMIT_MS);
  await waitUntil("the topic is gone", async () => !(await topics()).includes(topic));
}

async function errors(bootstrap, prefix) {
  const [admin, topic, unknown] = [adminOf(bootstrap), `${prefix}-errors`, `${prefix}-unknown`];
  await createTopic(admin, topic, 1, { "max.message.bytes": "10000" });
  const producer = await producerOf(bootstrap, { "message.max.bytes": 1_000_000, "allow.auto.create.topics": false });
  const consumer = await consumerOf(bootstrap, topic, {}, "error");
  consumer.assign([{ topic, partition: 0, offset: 1000 }]);
  for (const [what, action, wanted] of [
    ["an existing topic", () => createTopic(admin, topic, 1), "ERR_TOPIC_ALREADY_EXISTS"],
    ["three replicas", () => createTopic(admin, `${prefix}-three`, 1, {}, 3), "ERR_INVALID_REPLICATION_FACTOR"],
    ["an invalid name", () => createTopic(admin, "bad name!", 1), "ERR_TOPIC_EXCEPTION"],
    ["an offset out of range", () => read(consumer, 1), "ERR__AUTO_OFFSET_RESET"],
    ["deleting an unknown topic", () => call(admin, "deleteTopic", unknown, LIMIT_MS), "ERR_UNKNOWN_TOPIC_OR_PART"],
    ["an unknown topic", () => call(producer, "queryWatermarkOffsets", unknown, 0, LIMIT_MS), "ERR__UNKNOWN_PARTITION"],
  ]) {
    const failure = await failureOf(what, action);
    check(`${what}: ${failure.message}`, failure.code, CODES.ERRORS[wanted]);
  }
  const large = await failureOf("a large record", () => send(producer, topic, ["x".repeat(20_000)]));
  checkDelivery("a large record", large, "message size too large");
}

matrix.main({ create, produce, fetch, group, idempotent, transaction, admin, errors });
