// kafkajs in the matrix; see ../README.md.
"use strict";

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require("kafkajs");

const matrix = require("./matrix");
const { BASE_MS, Unsupported, check, failureOf, numbered, numbers, waitUntil } = matrix;

// The library has no code of its own for LZ4 and zstd, and this package is its documentation's for Snappy.
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy };

// The library also tries again what cannot succeed: shortly.
const RETRY = { initialRetryTime: 50, retries: 5 };

const clientOf = (bootstrap) => new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: RETRY });

async function connected(client) {
  await client.connect();
  return client;
}

const adminOf = (bootstrap) => connected(clientOf(bootstrap).admin());
const producerOf = (bootstrap, more) => connected(clientOf(bootstrap).producer(more));

async function createTopic(admin, topic, numPartitions, config = {}, replicationFactor = 1) {
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  return await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor, configEntries }] });
}

async function configOf(admin, topic, name) {
  const answer = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] });
  return answer.resources[0].configEntries.find((entry) => entry.configName === name).configValue;
}

/** Sends values to a partition in one request, and returns the offset of the first. */
async function send(producer, topic, values, partition = 0) {
  const [answer] = await producer.send({ topic, messages: values.map((value) => ({ value, partition })) });
  return Number(answer.baseOffset);
}

/** A member of a group that keeps what it gets in `seen`, and knows its share and how often it fetched nothing. */
class Member {
  static async start(bootstrap, groupId, topic, more = {}) {
    const member = new Member();
    const { fromBeginning = true, autoCommit = true, ...settings } = more;
    member.seen = [];
    member.share = [];
    member.emptyFetches = 0;
    member.consumer = clientOf(bootstrap).consumer({
      groupId, heartbeatInterval: 100, maxWaitTimeInMs: 100, maxBytesPerPartition: 1_048_576, ...settings,
    });
    const { consumer } = member;
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => (member.share = payload.memberAssignment[topic] ?? []));
    consumer.on(consumer.events.CRASH, ({ payload }) => (member.failure = payload.error));
    consumer.on(consumer.events.FETCH, ({ payload }) => (member.emptyFetches += payload.numberOfBatches === 0));
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning });
    await consumer.run({
      autoCommit,
      eachMessage: async ({ partition, message }) => {
        const { offset, key, value, headers, timestamp } = message;
        member.seen.push({ partition, offset: Number(offset), key, value, headers, timestamp: Number(timestamp) });
      },
    });
    return member;
  }

  working(condition) {
    if (this.failure) throw this.failure;
    return condition;
  }

  /** The next `count` records, and no more: a fetch after them finds nothing. */
  async read(count) {
    await waitUntil(`reading ${count} records`, () => this.working(this.seen.length >= count));
    const fetches = this.emptyFetches;
    await waitUntil("a fetch at the end", () => this.working(this.emptyFetches > fetches + 1));
    check("number of records", this.seen.length, count);
    return this.seen.splice(0);
  }

  async stop() {
    await this.consumer.disconnect();
  }
}

/** All records of a topic of one partition. */
async function readTopic(bootstrap, group, topic, count, more) {
  const member = await Member.start(bootstrap, group, topic, more);
  const records = await member.read(count);
  await member.stop();
  return records;
}

const text = (buffer) => (buffer === null ? null : buffer.toString());
const values = (records) => records.map((record) => text(record.value));

async function create(bootstrap, prefix) {
  const [admin, topic] = [await adminOf(bootstrap), `${prefix}-create`];
  check("create topics", await createTopic(admin, topic, 3, { "cleanup.policy": "compact" }), true);
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  check("partitions", topics[0].partitions.map((p) => p.partitionId).sort(), [0, 1, 2]);
  const brokers = (await admin.describeCluster()).brokers.map((broker) => broker.nodeId);
  for (const partition of topics[0].partitions) check("a leader", brokers.includes(partition.leader), true);
  check("cleanup.policy", await configOf(admin, topic, "cleanup.policy"), "compact");
}

async function produce(bootstrap, prefix) {
  const [admin, producer, records] = [await adminOf(bootstrap), await producerOf(bootstrap), matrix.hundred()];
  for (const [codec, compression] of Object.entries(CODECS)) {
    const topic = `${prefix}-${codec}`;
    await createTopic(admin, topic, 1);
    // An answer has the first offset of a request: two of them show that the second follows.
    const offsets = [];
    for (const half of [records.slice(0, 50), records.slice(50)]) {
      const messages = half.map(({ key, value, headers, timestamp }) => ({
        key, value, headers, timestamp: String(timestamp),
      }));
      const [answer] = await producer.send({ topic, compression, messages });
      offsets.push(Number(answer.baseOffset));
    }
    check(`acknowledged offsets with ${codec}`, offsets, [0, 50]);
    const got = (await readTopic(bootstrap, topic, topic, 100)).map((record) => ({
      offset: record.offset,
      key: text(record.key),
      value: text(record.value),
      headers: Object.fromEntries(Object.entries(record.headers).map(([name, value]) => [name, text(value)])),
      timestamp: record.timestamp,
    }));
    check(`records with ${codec}`, got, records);
  }
}

async function fetch(bootstrap, prefix) {
  const [admin, producer, topic] = [await adminOf(bootstrap), await producerOf(bootstrap), `${prefix}-fetch`];
  await createTopic(admin, topic, 3);
  const every = numbers(3).map((p) => matrix.largeAndSmall(p).map((value, n) => [n, value]));
  for (const partition of numbers(3)) {
    const timestamp = (n) => String(BASE_MS + n * 1000);
    const messages = every[partition].map(([n, value]) => ({ value, partition, timestamp: timestamp(n) }));
    await producer.send({ topic, messages });
  }
  const byPartition = (records) =>
    numbers(3).map((p) => records.filter((r) => r.partition === p).map((r) => [r.offset, text(r.value)]));

  const member = await Member.start(bootstrap, topic, topic);
  check("records from the beginning", byPartition(await member.read(301)), every);
  for (const partition of numbers(3)) member.consumer.seek({ topic, partition, offset: "50" });
  check("records from the middle", byPartition(await member.read(151)), every.map((all) => all.slice(50)));
  await member.stop();

  const ends = (await admin.fetchTopicOffsets(topic)).sort((a, b) => a.partition - b.partition);
  check("begin and end offsets", ends.map(({ low, high }) => [low, high]), [["0", "101"], ["0", "100"], ["0", "100"]]);
  // For a time after the last record the library answers with the end.
  for (const [after, wanted] of [[29_500, ["30", "30", "30"]], [500_000, ["101", "100", "100"]]]) {
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, BASE_MS + after);
    check("offsets by timestamp", found.sort((a, b) => a.partition - b.partition).map((p) => p.offset), wanted);
  }

  const late = await Member.start(bootstrap, `${topic}-late`, topic, { fromBeginning: false });
  check("records at the end", await late.read(0), []);
  check("offset of what is produced later", await send(producer, topic, ["later"], 1), 100);
  check("what is produced later", byPartition(await late.read(1)), [[], [[100, "later"]], []]);
  await late.stop();
}

async function group(bootstrap, prefix) {
  const [admin, producer, topic] = [await adminOf(bootstrap), await producerOf(bootstrap), `${prefix}-group`];
  await createTopic(admin, topic, 4);

  /** Members share the partitions; then 200 records are produced, seen, and committed. */
  async function consume(count, first) {
    const members = await Promise.all(numbers(count).map(() => Member.start(bootstrap, topic, topic)));
    const seen = () => members.flatMap((member) => member.working(member.seen));
    await waitUntil(`${count} members share four partitions`, () =>
      members.every((member) => member.working(member.share.length === 4 / count)));
    check("partitions of the members", members.flatMap((member) => member.share).sort(), [0, 1, 2, 3]);
    check("records before any is produced", seen(), []);
    const wanted = numbered("group", 200, first);
    for (const p of numbers(4)) await send(producer, topic, wanted.filter((_, n) => n % 4 === p), p);
    await waitUntil("200 records", () => seen().length >= 200);
    // Commits what is seen.
    for (const member of members) await member.stop();
    check("records of the group", values(seen()).sort(), wanted);
    const [{ partitions }] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
    check("committed offsets", partitions.map((p) => Number(p.offset)), numbers(4).map(() => (first + 200) / 4));
  }

  await consume(2, 0);
  await consume(1, 200);
}

async function idempotent(bootstrap, prefix) {
  const [admin, topic, all] = [await adminOf(bootstrap), `${prefix}-idempotent`, numbered("idempotent", 2000)];
  await createTopic(admin, topic, 1);
  const producer = await producerOf(bootstrap, { idempotent: true, maxInFlightRequests: 5 });
  const batches = numbers(40).map((n) => all.slice(n * 50, n * 50 + 50));
  const offsets = await Promise.all(batches.map((batch) => send(producer, topic, batch)));
  check("acknowledged offsets", [...offsets].sort((a, b) => a - b), numbers(40).map((n) => n * 50));
  // The library does not keep the order of what it is given at once: that of the acknowledgements counts.
  const wanted = batches.flatMap((batch, n) => batch.map((value, i) => [offsets[n] + i, value]));
  const got = (await readTopic(bootstrap, topic, topic, 2000)).map((r) => [r.offset, text(r.value)]);
  check("records", got, wanted.sort(([a], [b]) => a - b));
}

async function transaction(bootstrap, prefix) {
  const [source, target, groupId] = [`${prefix}-source`, `${prefix}-target`, `${prefix}-copier`];
  const admin = await adminOf(bootstrap);
  for (const topic of [source, target]) await createTopic(admin, topic, 1);
  await send(await producerOf(bootstrap), source, numbered("source", 10));
  const transactional = () =>
    producerOf(bootstrap, { transactionalId: `${prefix}-id`, idempotent: true, maxInFlightRequests: 1 });

  const first = await transactional();
  const committing = await first.transaction();
  await send(committing, target, numbered("committed", 10));
  await committing.commit();
  const aborting = await first.transaction();
  await send(aborting, target, numbered("aborted", 10));
  await aborting.abort();

  const member = await Member.start(bootstrap, groupId, source, { autoCommit: false });
  const consumed = await member.read(10);
  const copying = await first.transaction();
  const copies = values(consumed).map((value) => `copy of ${value}`);
  await send(copying, target, copies);
  const partitions = [{ partition: 0, offset: String(consumed.at(-1).offset + 1) }];
  await copying.sendOffsets({ consumerGroupId: groupId, topics: [{ topic: source, partitions }] });
  const committed = async () => (await admin.fetchOffsets({ groupId, topics: [source] }))[0].partitions[0].offset;
  check("committed offset before the commit", await committed(), "-1");
  await copying.commit();
  // A commit is answered before its markers are written, and the library does not ask for stable offsets.
  await waitUntil("the committed offset", async () => (await committed()) === "10");
  await member.stop();

  const expected = [...numbered("committed", 10), ...numbered("source", 10).map((value) => `copy of ${value}`)];
  check("committed records", values(await readTopic(bootstrap, `${prefix}-committed`, target, 20)), expected);
  const all = await readTopic(bootstrap, `${prefix}-all`, target, 30, { readUncommitted: true });
  check("all records", values(all), [...expected.slice(0, 10), ...numbered("aborted", 10), ...expected.slice(10)]);

  const fenced = await first.transaction();
  await (await transactional()).transaction();
  const failure = await failureOf("the fenced", () => send(fenced, target, ["fenced"]));
  check("error of the fenced", failure.type, "INVALID_PRODUCER_EPOCH");
}

async function admin(bootstrap, prefix) {
  const [admin, topic, groupId] = [await adminOf(bootstrap), `${prefix}-admin`, `${prefix}-admin`];
  const cluster = await admin.describeCluster();
  check("the port of the only node", cluster.brokers.map((b) => b.port), [Number(bootstrap.split(":")[1])]);
  check("the controller is a node", cluster.brokers.map((b) => b.nodeId).includes(cluster.controller), true);

  await createTopic(admin, topic, 1);
  check("list topics", (await admin.listTopics()).includes(topic), true);
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
  const partitions = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length;
  await waitUntil("three partitions", async () => (await partitions()) === 3);

  const configEntries = [{ name: "retention.ms", value: "3600000" }];
  const changed = { type: ConfigResourceTypes.TOPIC, name: topic, configEntries };
  await admin.alterConfigs({ validateOnly: false, resources: [changed] });
  await waitUntil("retention.ms", async () => (await configOf(admin, topic, "retention.ms")) === "3600000");

  await send(await producerOf(bootstrap), topic, numbered("admin", 10));
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "4" }] });
  const offsets = (await admin.fetchTopicOffsets(topic)).find((p) => p.partition === 0);
  check("list offsets", [offsets.low, offsets.high], ["4", "10"]);

  const member = await Member.start(bootstrap, groupId, topic);
  check("what is left", (await member.read(6)).map((r) => r.offset), numbers(6, 4));
  let [described] = (await admin.describeGroups([groupId])).groups;
  check("describe groups", [described.errorCode, described.state, described.members.length], [0, "Stable", 1]);
  const refused = await failureOf("deleting a group with members", () => admin.deleteGroups([groupId]));
  check("deleting a group with members", refused.groups.map((g) => g.error.type), ["NON_EMPTY_GROUP"]);
  await member.stop();

  [described] = (await admin.describeGroups([groupId])).groups;
  check("describe an empty group", [described.state, described.members], ["Empty", []]);
  const listed = (await admin.listGroups()).groups.filter((g) => g.groupId === groupId);
  check("list groups", listed, [{ groupId, protocolType: "consumer" }]);
  const committed = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions[0].offset;
  check("list group offsets", await committed(), "10");
  await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: "5" }] });
  check("altered group offsets", await committed(), "5");
  check("delete groups", await admin.deleteGroups([groupId]), [{ groupId, errorCode: 0 }]);
  check("the group is gone", (await admin.listGroups()).groups.some((g) => g.groupId === groupId), false);

  await admin.deleteTopics({ topics: [topic] });
  await waitUntil("the topic is gone", async () => !(await admin.listTopics()).includes(topic));
}

async function errors(bootstrap, prefix) {
  const [admin, topic, unknown] = [await adminOf(bootstrap), `${prefix}-errors`, `${prefix}-unknown`];
  await createTopic(admin, topic, 1, { "max.message.bytes": "10000" });
  // The library answers so where the broker answers TOPIC_ALREADY_EXISTS.
  check("an existing topic", await createTopic(admin, topic, 1), false);
  for (const [what, creation, wanted] of [
    ["three replicas", () => createTopic(admin, `${prefix}-three`, 1, {}, 3), "INVALID_REPLICATION_FACTOR"],
    ["an invalid name", () => createTopic(admin, "bad name!", 1), "INVALID_TOPIC_EXCEPTION"],
  ]) {
    const failure = await failureOf(what, creation);
    check(what, failure.errors.map((error) => error.type), [wanted]);
  }

  const producer = await producerOf(bootstrap);
  const large = await failureOf("a large record", () => send(producer, topic, ["x".repeat(20_000)]));
  check("a large record", large.type, "MESSAGE_TOO_LARGE");

  const missing = await failureOf("an unknown topic", () => admin.fetchTopicMetadata({ topics: [unknown] }));
  check("an unknown topic", missing.type, "UNKNOWN_TOPIC_OR_PARTITION");
  // The library asks with a version of DescribeGroups in which an unknown group is a dead one.
  const [described] = (await admin.describeGroups([unknown])).groups;
  check("an unknown group", [described.errorCode, described.state], [0, "Dead"]);
  const deleting = await failureOf("deleting an unknown group", () => admin.deleteGroups([unknown]));
  check("deleting an unknown group", deleting.groups.map((g) => g.error.type), ["GROUP_ID_NOT_FOUND"]);

  await send(producer, topic, ["small"]);
  await admin.setOffsets({ groupId: topic, topic, partitions: [{ partition: 0, offset: "1000" }] });
  check("after an offset out of range", values(await readTopic(bootstrap, topic, topic, 1)), ["small"]);
  throw new Unsupported("an offset out of range is no error: the library starts over by itself");
}

matrix.main({ create, produce, fetch, group, idempotent, transaction, admin, errors });
