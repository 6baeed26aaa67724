// Starts the image through the Kafka module, and uses what it gives: containers.js CASE IMAGE
"use strict";

const assert = require("node:assert");
const { KafkaContainer } = require("@testcontainers/kafka");
const { getContainerRuntimeClient } = require("testcontainers");
const { clusterId, exchange } = require("./client.js");

const STOP_LIMIT_MS = 3000;
const PUBLIC_PORT = 9093;
/** What the module sets where it starts a broker without ZooKeeper. */
const CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw";

function configured(name, image) {
  // The module itself takes this mode from tag 8.0.0 on.
  if (name === "kraft" || name === "any-name") return new KafkaContainer(image);
  if (name.startsWith("kraft-")) return new KafkaContainer(image).withKraft();
  if (name.startsWith("zookeeper")) return new KafkaContainer(image);
  // Nobody listens there: a broker that has no use for ZooKeeper must not wait for it.
  if (name === "provided-zookeeper") return new KafkaContainer(image).withZooKeeper("localhost", 2181);
  throw new Error(`no case ${name}`);
}

async function main(name, image) {
  const log = [];
  const configuredContainer = configured(name, image).withLogConsumer((lines) => lines.on("data", (line) => log.push(line)));
  let container;
  try {
    container = await configuredContainer.start();
    await printStart(container, Date.now());
    const bootstrap = `${container.getHost()}:${container.getMappedPort(PUBLIC_PORT)}`;
    if (!name.includes("zookeeper")) assert.strictEqual(await clusterId(bootstrap), CLUSTER_ID);
    await exchange(bootstrap, "records");
    await stop(container);
  } catch (failure) {
    console.error(log.map(String).join(""));
    throw failure;
  } finally {
    await container?.stop().catch(() => {});
  }
  console.log("ok");
}

async function inspect(id) {
  const client = await getContainerRuntimeClient();
  return client.container.inspect(client.container.getById(id));
}

async function printStart(container, ready) {
  const { State } = await inspect(container.getId());
  console.error(`ready after ${ready - Date.parse(State.StartedAt)} ms`);
}

async function stop(container) {
  const id = container.getId();
  const asked = Date.now();
  await container.stop();
  const taken = Date.now() - asked;
  console.error(`stopped after ${taken} ms`);
  assert(taken <= STOP_LIMIT_MS, `it took ${taken} ms to stop`);
  await assert.rejects(inspect(id), { statusCode: 404 }, "the container is still there");
}

main(...process.argv.slice(2)).then(
  () => process.exit(0),
  (failure) => {
    console.error(failure);
    process.exit(1);
  },
);
