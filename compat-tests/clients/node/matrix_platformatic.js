// @platformatic/kafka in the matrix; see ../README.md.
"use strict";

const {
  Admin, ConfigResourceTypes, Consumer, FetchIsolationLevels, IncrementalAlterConfigOperationTypes,
  ListOffsetTimestamps, Producer, stringSerializers,
} = require("@platformatic/kafka");

const matrix = require("./matrix");
const { BASE_MS, check, failureOf, numbered, numbers, waitUntil } = matrix;

const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"];
const DEFAULT_RETENTION_MS = "604800000";

const optionsOf = (bootstrap) => ({ clientId: "matrix", bootstrapBrokers: [bootstrap], retries: 5, retryDelay: 100 });
const adminOf = (bootstrap) => new Admin(optionsOf(bootstrap));
const producerOf = (bootstrap, more) =>
  new Producer({ ...optionsOf(bootstrap), serializers: stringSerializers, ...more });

async function createTopic(admin, topic, partitions, config = {}, replicas = 1) {
  const configs = Object.entries(config).map(([name, value]) => ({ name, value }));
  await admin.createTopics({ topics: [{ topic, partitions, replicas }], configs });
  await waitUntil("metadata of the new topic", async () => (await partitionsOf(admin, topic)).length === partitions);
}

async function partitionsOf(admin, topic) {
  return (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitions;
}

async function configOf(admin, topic, name) {
  const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic };
  const [answer] = await admin.describeConfigs({ resources: [resource] });
  return answer.configs.find((config) => config.name === name).value;
}

/** Sends values to a partition in one request, and returns the offset of the first. */
async function send(producer, topic, values, partition = 0) {
  const { offsets } = await producer.send({ messages: values.map((value) => ({ topic, partition, value })) });
  return Number(offsets[0].offset);
}

/** A member of a group that keeps what it gets in `seen`, and counts its fetches. */
class Member {
  static async start(bootstrap, groupId, topic, streaming = { mode: "earliest" }, more = { heartbeatInterval: 100 }) {
    const member = new Member();
    Object.assign(member, { topic, seen: [], fetches: 0 });
    member.consumer = new Consumer({ ...optionsOf(bootstrap), groupId, maxWaitTime: 100, ...more });
    member.stream = await member.consumer.consume({ topics: [topic], autocommit: false, ...streaming });
    member.stream.on("fetch", () => member.fetches++);
    member.stream.on("error", (error) => (member.failure = error));
    member.stream.on("data", (message) => member.seen.push(message));
    return member;
  }

  working(condition) {
    if (this.failure) throw this.failure;
    return condition;
  }

  share() {
    const assignment = this.consumer.assignments?.find((assignment) => assignment.topic === this.topic);
    return this.working(assignment?.partitions ?? []);
  }

  /** The next `count` messages, and no more: fetches after them find nothing. */
  async read(count) {
    await waitUntil(`reading ${count} messages`, () => this.working(this.seen.length >= count));
    const fetches = this.fetches;
    await waitUntil("fetches at the end", () => this.working(this.fetches > fetches + 2));
    check("number of messages", this.seen.length, count);
    return this.seen.splice(0);
  }

  async commit(messages) {
    const last = new Map(messages.map((message) => [message.partition, message]));
    const offsets = [...last.values()].map(({ topic, partition, offset, leaderEpoch }) => ({
      topic, partition, offset: offset + 1n, leaderEpoch,
    }));
    await this.consumer.commit({ offsets });
  }

  async stop() {
    await this.stream.close();
    await this.consumer.close(true);
  }
}

/** All messages of a topic. */
async function readTopic(bootstrap, group, topic, count, streaming) {
  const member = await Member.start(bootstrap, group, topic, streaming);
  const messages = await member.read(count);
  await member.stop();
  return messages;
}

const text = (buffer) => (buffer ? buffer.toString() : null);
const values = (messages) => messages.map((message) => text(message.value));

async function committedOf(admin, groupId, topic) {
  const [group] = await admin.listConsumerGroupOffsets({ groups: [groupId], requireStable: true });
  const { partitions } = group.topics.find(({ name }) => name === topic) ?? { partitions: [] };
  return Object.fromEntries(partitions.map((p) => [p.partitionIndex, Number(p.committedOffset)]));
}

async function create(bootstrap, prefix) {
  const [admin, topic] = [adminOf(bootstrap), `${prefix}-create`];
  await createTopic(admin, topic, 3, { "cleanup.policy": "compact" });
  const metadata = await admin.metadata({ topics: [topic], forceUpdate: true });
  check("partitions", metadata.topics.get(topic).partitionsCount, 3);
  for (const partition of metadata.topics.get(topic).partitions) {
    check("the leader is a broker", metadata.brokers.has(partition.leader), true);
  }
  check("cleanup.policy", await configOf(admin, topic, "cleanup.policy"), "compact");
}

async function produce(bootstrap, prefix) {
  const [admin, records] = [adminOf(bootstrap), matrix.hundred()];
  const producer = producerOf(bootstrap);
  for (const compression of CODECS) {
    const topic = `${prefix}-${compression}`;
    await createTopic(admin, topic, 1);
    // An answer has the first offset of a request: two of them show that the second follows.
    const offsets = [];
    for (const half of [records.slice(0, 50), records.slice(50)]) {
      const messages = half.map(({ key, value, headers, timestamp }) => ({
        topic, partition: 0, key, value, headers, timestamp: BigInt(timestamp),
      }));
      offsets.push(...(await producer.send({ compression, messages })).offsets.map(({ offset }) => Number(offset)));
    }
    check(`acknowledged offsets with ${compression}`, offsets, [0, 50]);
    const got = (await readTopic(bootstrap, topic, topic, 100)).map((message) => ({
      offset: Number(message.offset),
      key: text(message.key),
      value: text(message.value),
      headers: Object.fromEntries(message.headerEntries.map(([name, value]) => [text(name), text(value)])),
      timestamp: Number(message.timestamp),
    }));
    check(`records with ${compression}`, got, records);
  }
}

async function fetch(bootstrap, prefix) {
  const [admin, producer, topic] = [adminOf(bootstrap), producerOf(bootstrap), `${prefix}-fetch`];
  await createTopic(admin, topic, 3);
  const every = numbers(3).map((p) => matrix.largeAndSmall(p).map((value, n) => [n, value]));
  for (const partition of numbers(3)) {
    const timestamp = (n) => BigInt(BASE_MS + n * 1000);
    const messages = every[partition].map(([n, value]) => ({ topic, partition, value, timestamp: timestamp(n) }));
    await producer.send({ messages });
  }
  const byPartition = (messages) =>
    numbers(3).map((p) => messages.filter((m) => m.partition === p).map((m) => [Number(m.offset), text(m.value)]));

  const member = await Member.start(bootstrap, topic, topic);
  check("records from the beginning", byPartition(await member.read(301)), every);
  const { consumer } = member;
  const offsets = async (timestamp) => (await consumer.listOffsets({ topics: [topic], timestamp })).get(topic);
  check("begin offsets", await offsets(ListOffsetTimestamps.EARLIEST), [0n, 0n, 0n]);
  check("end offsets", await offsets(ListOffsetTimestamps.LATEST), [101n, 100n, 100n]);
  check("offsets by timestamp", await offsets(BigInt(BASE_MS + 29_500)), [30n, 30n, 30n]);
  check("offsets by a timestamp after the last", await offsets(BigInt(BASE_MS + 500_000)), [-1n, -1n, -1n]);
  await member.stop();

  const middle = numbers(3).map((partition) => ({ topic, partition, offset: 50n }));
  const rest = await readTopic(bootstrap, `${topic}-middle`, topic, 151, { mode: "manual", offsets: middle });
  check("records from the middle", byPartition(rest), every.map((all) => all.slice(50)));

  const late = await Member.start(bootstrap, `${topic}-late`, topic, { mode: "latest" });
  check("records at the end", await late.read(0), []);
  check("offset of what is produced later", await send(producer, topic, ["later"], 1), 100);
  check("what is produced later", byPartition(await late.read(1)), [[], [[100, "later"]], []]);
  await late.stop();
}

async function shareAndResume(bootstrap, topic, more) {
  const [admin, producer] = [adminOf(bootstrap), producerOf(bootstrap)];
  await createTopic(admin, topic, 4);

  /** Members share the partitions; then 200 records are produced, seen, and committed. */
  async function consume(count, first) {
    const streaming = { mode: "committed", fallbackMode: "earliest" };
    const members = [];
    for (const _ of numbers(count)) members.push(await Member.start(bootstrap, topic, topic, streaming, more));
    const seen = () => members.flatMap((member) => member.working(member.seen));
    await waitUntil(`${count} members share four partitions`, () =>
      members.every((member) => member.share().length === 4 / count));
    // The library hands on what a fetch of before the rebalance brings.
    const fetches = members.map((member) => member.fetches);
    await waitUntil("fetches of these partitions", () =>
      members.every((member, n) => member.working(member.fetches > fetches[n] + 2)));
    check("partitions of the members", members.flatMap((member) => member.share()).sort(), [0, 1, 2, 3]);
    check("records before any is produced", seen(), []);
    const wanted = numbered("group", 200, first);
    for (const p of numbers(4)) await send(producer, topic, wanted.filter((_, n) => n % 4 === p), p);
    await waitUntil("200 records", () => seen().length >= 200);
    check("records of the group", values(seen()).sort(), wanted);
    for (const member of members) await member.commit(member.seen);
    const committed = Object.fromEntries(numbers(4).map((p) => [p, (first + 200) / 4]));
    check("committed offsets", await committedOf(admin, topic, topic), committed);
    for (const member of members) await member.stop();
  }

  await consume(2, 0);
  await consume(1, 200);
}

async function group(bootstrap, prefix) {
  await shareAndResume(bootstrap, `${prefix}-classic`, { heartbeatInterval: 100 });
  await shareAndResume(bootstrap, `${prefix}-consumer`, { groupProtocol: "consumer" });
}

async function idempotent(bootstrap, prefix) {
  const [admin, topic, all] = [adminOf(bootstrap), `${prefix}-idempotent`, numbered("idempotent", 2000)];
  await createTopic(admin, topic, 1);
  const producer = producerOf(bootstrap, { idempotent: true });
  const batches = numbers(40).map((n) => all.slice(n * 50, n * 50 + 50));
  // The first request brings the producer its id; the others are in flight together.
  check("the first acknowledged offset", await send(producer, topic, batches[0]), 0);
  const offsets = await Promise.all(batches.slice(1).map((batch) => send(producer, topic, batch)));
  check("acknowledged offsets", offsets, numbers(39, 1).map((n) => n * 50));
  const got = (await readTopic(bootstrap, topic, topic, 2000)).map((m) => [Number(m.offset), text(m.value)]);
  check("records", got, all.map((value, n) => [n, value]));
}

async function transaction(bootstrap, prefix) {
  const [source, target, groupId] = [`${prefix}-source`, `${prefix}-target`, `${prefix}-copier`];
  const admin = adminOf(bootstrap);
  for (const topic of [source, target]) await createTopic(admin, topic, 1);
  await send(producerOf(bootstrap), source, numbered("source", 10));
  const transactional = () => producerOf(bootstrap, { idempotent: true, transactionalId: `${prefix}-id` });

  const first = transactional();
  const committing = await first.beginTransaction();
  await send(committing, target, numbered("committed", 10));
  await committing.commit();
  const aborting = await first.beginTransaction();
  await send(aborting, target, numbered("aborted", 10));
  await aborting.abort();

  const member = await Member.start(bootstrap, groupId, source);
  const consumed = await member.read(10);
  const copying = await first.beginTransaction();
  await send(copying, target, values(consumed).map((value) => `copy of ${value}`));
  await copying.addConsumer(member.consumer);
  await copying.addOffset(consumed.at(-1));
  await copying.commit();
  check("committed offset", await committedOf(admin, groupId, source), { 0: 10 });
  await member.stop();

  const expected = [...numbered("committed", 10), ...numbered("source", 10).map((value) => `copy of ${value}`)];
  const read = async (isolation, count) =>
    values(await readTopic(bootstrap, `${prefix}-${isolation}`, target, count, {
      mode: "earliest", isolationLevel: FetchIsolationLevels[isolation],
    }));
  check("committed records", await read("READ_COMMITTED", 20), expected);
  const all = [...expected.slice(0, 10), ...numbered("aborted", 10), ...expected.slice(10)];
  check("all records", await read("READ_UNCOMMITTED", 30), all);

  const fenced = await first.beginTransaction();
  // Without these the library asks as an old producer 0, and is fenced itself.
  await transactional().beginTransaction({ producerId: -1n, producerEpoch: -1 });
  const failure = await failureOf("the fenced", () => send(fenced, target, ["fenced"]));
  check("error of the fenced", failure.findBy("apiId", "PRODUCER_FENCED") !== null, true);
}

async function admin(bootstrap, prefix) {
  const [admin, topic, groupId] = [adminOf(bootstrap), `${prefix}-admin`, `${prefix}-admin`];
  const cluster = await admin.metadata({ topics: [] });
  const ports = [...cluster.brokers.values()].map((broker) => broker.port);
  check("the port of the only node", ports, [Number(bootstrap.split(":")[1])]);
  check("the controller is a node", cluster.brokers.has(cluster.controllerId), true);

  await createTopic(admin, topic, 1);
  check("list topics", (await admin.listTopics()).includes(topic), true);
  await admin.createPartitions({ topics: [{ name: topic, count: 3 }] });
  await waitUntil("three partitions", async () => (await partitionsOf(admin, topic)).length === 3);

  const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic };
  const { SET, DELETE } = IncrementalAlterConfigOperationTypes;
  for (const [method, change, wanted] of [
    ["incrementalAlterConfigs", { configOperation: SET, value: "3600000" }, "3600000"],
    ["incrementalAlterConfigs", { configOperation: DELETE, value: null }, DEFAULT_RETENTION_MS],
    ["alterConfigs", { value: "7200000" }, "7200000"],
  ]) {
    await admin[method]({ resources: [{ ...resource, configs: [{ name: "retention.ms", ...change }] }] });
    await waitUntil(`retention.ms=${wanted}`, async () => (await configOf(admin, topic, "retention.ms")) === wanted);
  }

  await send(producerOf(bootstrap), topic, numbered("admin", 10));
  const deleted = await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 4n }] }] });
  check("low watermark", deleted, [{ name: topic, partitions: [{ partition: 0, lowWatermark: 4n }] }]);
  for (const [timestamp, wanted] of [[ListOffsetTimestamps.EARLIEST, 4n], [ListOffsetTimestamps.LATEST, 10n]]) {
    const partitions = [{ partitionIndex: 0, timestamp }];
    const [listed] = await admin.listOffsets({ topics: [{ name: topic, partitions }] });
    check(`list offsets: ${timestamp}`, listed.partitions.map((p) => p.offset), [wanted]);
  }

  const member = await Member.start(bootstrap, groupId, topic);
  const left = await member.read(6);
  check("what is left", left.map((m) => Number(m.offset)), numbers(6, 4));
  await member.commit(left);
  const describe = async () => (await admin.describeGroups({ groups: [groupId] })).get(groupId);
  let described = await describe();
  check("describe groups", [described.state, described.members.size], ["Stable", 1]);
  const [{ assignments }] = described.members.values();
  check("assignment of the member", [...assignments.get(topic).partitions].sort(), [0, 1, 2]);
  const refused = await failureOf("deleting a group with members", () => admin.deleteGroups({ groups: [groupId] }));
  check("deleting a group with members", refused.findBy("apiId", "NON_EMPTY_GROUP") !== null, true);
  await member.stop();

  described = await describe();
  check("describe an empty group", [described.state, described.members.size], ["Empty", 0]);
  const listed = (await admin.listGroups()).get(groupId);
  check("list groups", [listed.state, listed.groupType, listed.protocolType], ["Empty", "classic", "consumer"]);
  check("list group offsets", await committedOf(admin, groupId, topic), { 0: 10 });
  await admin.alterConsumerGroupOffsets({
    groupId, topics: [{ name: topic, partitionOffsets: [{ partition: 0, offset: 5n }, { partition: 1, offset: 0n }] }],
  });
  check("altered group offsets", await committedOf(admin, groupId, topic), { 0: 5, 1: 0 });
  await admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionIndexes: [0] }] });
  check("group offsets of which one is deleted", await committedOf(admin, groupId, topic), { 1: 0 });
  await admin.deleteGroups({ groups: [groupId] });
  check("the group is gone", (await admin.listGroups()).has(groupId), false);

  await admin.deleteTopics({ topics: [topic] });
  await waitUntil("the topic is gone", async () => !(await admin.listTopics()).includes(topic));
}

async function errors(bootstrap, prefix) {
  const [admin, topic, unknown] = [adminOf(bootstrap), `${prefix}-errors`, `${prefix}-unknown`];
  await createTopic(admin, topic, 1, { "max.message.bytes": "10000" });
  const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: unknown };
  const nowhere = { mode: "manual", fallbackMode: "fail", offsets: [{ topic, partition: 0, offset: 1000n }] };
  for (const [what, action, wanted] of [
    ["an existing topic", () => createTopic(admin, topic, 1), "TOPIC_ALREADY_EXISTS"],
    ["three replicas", () => createTopic(admin, `${prefix}-three`, 1, {}, 3), "INVALID_REPLICATION_FACTOR"],
    ["an invalid name", () => createTopic(admin, "bad name!", 1), "INVALID_TOPIC_EXCEPTION"],
    ["a large record", () => send(producerOf(bootstrap), topic, ["x".repeat(20_000)]), "MESSAGE_TOO_LARGE"],
    ["an offset out of range", () => readTopic(bootstrap, topic, topic, 1, nowhere), "OFFSET_OUT_OF_RANGE"],
    ["configuration of an unknown topic", () => admin.describeConfigs({ resources: [resource] }),
      "UNKNOWN_TOPIC_OR_PARTITION"],
    ["deleting an unknown group", () => admin.deleteGroups({ groups: [unknown] }), "GROUP_ID_NOT_FOUND"],
  ]) {
    const failure = await failureOf(what, action);
    if (!failure.findBy?.("apiId", wanted)) throw new Error(`${what} fails otherwise`, { cause: failure });
  }
  // The library asks with a version of DescribeGroups in which an unknown group is a dead one.
  check("an unknown group", (await admin.describeGroups({ groups: [unknown] })).get(unknown).state, "Dead");
  const missing = await failureOf("metadata of an unknown topic", () => admin.metadata({ topics: [unknown] }));
  check("metadata of an unknown topic", [missing.code, missing.message], ["PLT_KFK_USER", `Unknown topic ${unknown}.`]);
}

matrix.main({ create, produce, fetch, group, idempotent, transaction, admin, errors });
