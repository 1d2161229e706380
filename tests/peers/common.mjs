// What the peers' programs share: their arguments, the workloads, and the one line that each run prints.
//
//   node PEER.mjs PACKAGES --url URL --workload W1|W3|W4|W5|W6 [--seconds N] [--count N]
//
//   {"peer":"…","workload":"W1","value":1234.5,"unit":"accepts/s","settings":{…}}
//
// W1 accepts by single calls of 32 clients; W3 works off what waits; W4 is the time from a call to its handler's start:
// value is p50, and p99 stands beside it; W5 does W1 and the handlers at once; W6 is W3 with `large` waiting, over its
// first seconds: value is its rate, and `small` the rate of 10,000 beside it.

import { fork } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

const CLIENTS = 32;
const SMALL = 10_000;
const LOADED_AT_ONCE = 5_000;
const PER_SECOND = 100;
const WARM_UP_S = 1;
const PATIENCE_MS = 300_000;
const PAYLOAD_BYTES = 200;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string" },
    workload: { type: "string" },
    seconds: { type: "string" },
    count: { type: "string" },
    produce: { type: "boolean", default: false }, // how W5 starts its clients, in a process of their own
  },
});
const [packages] = positionals;

export const { url, workload } = values;

/** Packages are not beside these files, so they are required from where they were installed. */
export const require = createRequire(`${packages}/`);

const defaults = { W1: [10], W3: [0, 100_000], W4: [10], W5: [10], W6: [20, 1_000_000] };
if (!packages || !url || !defaults[workload]) {
  console.error("usage: PEER.mjs PACKAGES --url URL --workload W1|W3|W4|W5|W6 [--seconds N] [--count N]");
  process.exit(2);
}
const [secondsByDefault, countByDefault] = defaults[workload];
const seconds = Number(values.seconds ?? secondsByDefault);
const count = Number(values.count ?? countByDefault);

/** 200 bytes of JSON with its number. */
function payload(n) {
  const bare = JSON.stringify({ n, pad: "" }).length;
  return { n, pad: "x".repeat(PAYLOAD_BYTES - bare) };
}

const now = () => performance.now();
const round = (value, digits = 1) => Number(value.toFixed(digits));

/** Counts handlers as they start and end; `total` is how many there will be. */
function meter(total = Infinity) {
  const seen = { count: 0, first: 0, last: 0, startedAt: undefined };
  let finish;
  seen.finished = new Promise((resolve) => (finish = resolve));
  seen.handle = (data) => {
    const at = now();
    if (seen.count === 0) seen.first = at;
    seen.startedAt?.(data.n, at);
    seen.count += 1;
    seen.last = now();
    if (seen.count === total) finish();
  };
  return seen;
}

async function within(promise, milliseconds, what) {
  const deadline = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: deadline.signal }).then(
    () => Promise.reject(new Error(`${what} was not done after ${milliseconds / 1000} s`)),
    () => {},
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    deadline.abort();
  }
}

/** Single calls of all clients, each as fast as it is answered; answers how many were answered in `seconds`. */
async function produce(producer) {
  const start = now() + WARM_UP_S * 1000;
  const end = start + seconds * 1000;
  let [n, answered] = [0, 0];
  const client = async () => {
    while (now() < end) {
      await producer.send(payload(n++));
      const at = now();
      if (at >= start && at < end) answered += 1;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return answered;
}

async function load(peer, total) {
  const producer = await peer.producer();
  for (let from = 0; from < total; from += LOADED_AT_ONCE) {
    const length = Math.min(LOADED_AT_ONCE, total - from);
    await producer.load(Array.from({ length }, (_, i) => payload(from + i)));
  }
  await producer.stop();
  await sql("VACUUM ANALYZE");
  await sql("CHECKPOINT");
}

/** Works off `total` that were put there before, or what of them can be in `cut` seconds; answers done per second. */
async function drain(peer, total, cut) {
  await load(peer, total);
  const seen = meter(total);
  const consumer = await peer.consumer(seen.handle);
  if (cut) {
    await within(until(() => seen.count > 0), PATIENCE_MS, "the first");
    await Promise.race([seen.finished, sleep(cut * 1000, undefined, { ref: false })]);
  } else {
    await within(seen.finished, PATIENCE_MS, `working off ${total}`);
  }
  const rate = (seen.count / (seen.last - seen.first)) * 1000;
  const all = seen.count >= total;
  await consumer.stop();
  const left = Number((await sql(peer.left))[0].left);
  if (all && left > 0) throw new Error(`${left} of ${total} were handled but not done`);
  return rate;
}

async function until(condition) {
  while (!condition()) await sleep(5);
}

/** Runs one statement on a connection of its own and answers its rows. */
async function sql(statement) {
  const { Client } = require("pg");
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

const workloads = {
  async W1(peer) {
    const producer = await peer.producer();
    const answered = await produce(producer);
    await producer.stop();
    return { value: round(answered / seconds), unit: "accepts/s", seconds, clients: CLIENTS };
  },

  async W3(peer) {
    await drain(peer, SMALL); // so that what is measured is compiled
    return { value: round(await drain(peer, count)), unit: "done/s", count };
  },

  async W4(peer) {
    const [sent, took] = [[], []];
    const [warm, total] = [WARM_UP_S * PER_SECOND, (WARM_UP_S + seconds) * PER_SECOND];
    const seen = meter(total);
    seen.startedAt = (n, at) => n >= warm && took.push(at - sent[n]);
    const consumer = await peer.consumer(seen.handle);
    const producer = await peer.producer();
    const start = now() + 500;
    for (let n = 0; n < total; n += 1) {
      await sleep(Math.max(0, start + (n * 1000) / PER_SECOND - now()));
      sent[n] = now();
      await producer.send(payload(n));
    }
    await within(seen.finished, PATIENCE_MS, "the last");
    await producer.stop();
    await consumer.stop();
    took.sort((a, b) => a - b);
    const quantile = (q) => round(took[Math.min(took.length - 1, Math.floor(took.length * q))], 2);
    return { value: quantile(0.5), unit: "ms p50", p99: quantile(0.99), seconds, perSecond: PER_SECOND };
  },

  async W5(peer) {
    const seen = meter();
    const consumer = await peer.consumer(seen.handle);
    const child = fork(process.argv[1], [...process.argv.slice(2), "--produce"]);
    await once(child, "message"); // its clients begin
    await sleep(WARM_UP_S * 1000);
    const [before, from] = [seen.count, now()];
    const [answer] = await within(once(child, "message"), PATIENCE_MS, "producing");
    const rate = ((seen.count - before) / (now() - from)) * 1000;
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error(`the producing process ended with ${code}`);
    await consumer.stop();
    const accepts = round(answer.answered / seconds);
    return { value: round(rate), unit: "done/s", accepts, seconds, clients: CLIENTS };
  },

  async W6(peer) {
    await drain(peer, SMALL); // so that what is measured is compiled
    const small = round(await drain(peer, SMALL));
    const large = round(await drain(peer, count, seconds));
    return { value: large, unit: "done/s", small, ratio: round(large / small, 2), seconds, count };
  },
};

async function produceForParent(peer) {
  const producer = await peer.producer();
  process.send({ begins: true });
  process.send({ answered: await produce(producer) });
  await producer.stop();
  process.disconnect();
}

/**
 * Runs the workload that the arguments name. A peer is: name, settings (by workload), left (SQL: how many are not
 * done), prepare(), producer() => { send(data), load([data]), stop() }, consumer(handle) => { stop() }.
 */
export async function run(peer) {
  try {
    if (values.produce) return await produceForParent(peer);
    await peer.prepare();
    const { value, unit, ...more } = await workloads[workload](peer);
    console.log(JSON.stringify({ peer: peer.name, workload, value, unit, ...more, settings: peer.settings }));
    process.exit(0);
  } catch (error) {
    console.error(`ERROR: ${peer.name} ${workload}: ${error.stack ?? error}`);
    process.exit(1);
  }
}
