// What the programs of the matrix share: the command line, the records, and how they compare; see ../README.md.
"use strict";

const { isDeepStrictEqual, inspect } = require("node:util");

const LIMIT_MS = 30_000;
const BASE_MS = Math.floor(Date.now() / 1000 - 3600) * 1000;

/** The library has no such feature. */
class Unsupported extends Error {}

const numbers = (count, first = 0) => Array.from({ length: count }, (_, n) => first + n);
const numbered = (word, count, first = 0) => numbers(count, first).map((n) => `${word}-${String(n).padStart(4, "0")}`);

/** What `produce` sends: a tombstone and an empty value among them. */
function hundred() {
  const value = (n) => ({ 7: null, 8: "" })[n];
  return numbers(100).map((n) => ({
    offset: n,
    key: `key-${n}`,
    value: value(n) === undefined ? `value-${n} `.repeat(20) : value(n),
    headers: { n: String(n), empty: "" },
    timestamp: BASE_MS + n * 1000,
  }));
}

/** What `fetch` sends to a partition: 100 values of 1 KB, and in the first one of 900 KB in their middle. */
function largeAndSmall(partition) {
  const values = numbers(100).map((n) => `${partition}-${n} `.padEnd(1000, "."));
  if (partition === 0) values.splice(50, 0, "large ".padEnd(900_000, "."));
  return values;
}

function short(value) {
  const text = inspect(value, { depth: 6, maxStringLength: 200 });
  return text.length > 500 ? `${text.slice(0, 500)}...` : text;
}

/** Fails unless both are equal; of arrays it shows the first difference only. */
function check(what, got, wanted) {
  if (isDeepStrictEqual(got, wanted)) return;
  if (Array.isArray(got) && Array.isArray(wanted)) {
    let at = 0;
    while (at < Math.min(got.length, wanted.length) && isDeepStrictEqual(got[at], wanted[at])) at++;
    const lengths = `${got.length} of ${wanted.length}`;
    throw new Error(`${what} (${lengths}), at ${at}: ${short(got[at])} and not ${short(wanted[at])}`);
  }
  throw new Error(`${what}: ${short(got)} and not ${short(wanted)}`);
}

/** Asks `condition` until it holds, and answers with what it answered. */
async function waitUntil(what, condition) {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`after ${LIMIT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The error that `action` must fail with. */
async function failureOf(what, action) {
  let answer;
  try {
    answer = await action();
  } catch (error) {
    return error;
  }
  throw new Error(`${what} did not fail: ${short(answer)}`);
}

/** Runs the scenario of the command line: a function `(bootstrap, prefix)`. */
async function main(scenarios) {
  const [bootstrap, prefix, scenario] = process.argv.slice(2);
  try {
    await scenarios[scenario](bootstrap, prefix);
    console.log("ok");
    process.exit(0);
  } catch (error) {
    if (error instanceof Unsupported) {
      console.log(`unsupported: ${error.message}`);
      process.exit(3);
    }
    console.error(error);
    process.exit(1);
  }
}

module.exports = {
  LIMIT_MS, BASE_MS, Unsupported, numbers, numbered, hundred, largeAndSmall, check, waitUntil, failureOf, main,
};
