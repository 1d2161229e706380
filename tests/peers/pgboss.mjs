// pg-boss, each workload the faster of its documented ways.
//
// For rates: `fetch` and `complete` in batches, in a loop (https://pgboss.io/api/jobs), without NOTIFY, which is off by
// default and costs `send` more than a third of its rate. For latency: `work` woken by NOTIFY
// (https://pgboss.io/api/workers, https://pgboss.io/api/constructor: useListenNotify).

import { setTimeout as sleep } from "node:timers/promises";

import { require, run, url, workload } from "./common.mjs";

const { PgBoss } = require("pg-boss");

const QUEUE = "bench";
const PRODUCER_POOL = 10;
const NOTIFY = workload === "W4";
const BATCH = 2000;
const LOOPS = workload === "W5" ? 1 : 2;
const IDLE_MS = 20;

async function open(max) {
  const boss = new PgBoss({ connectionString: url, max, schedule: false, useListenNotify: NOTIFY });
  boss.on("error", (error) => console.error(String(error)));
  return await boss.start();
}

const handleAll = (all, handle) => {
  for (const { data } of all) handle(data);
};

async function woken(handle) {
  const boss = await open(2);
  await boss.work(QUEUE, { batchSize: BATCH, burstWhenBatchFull: true }, async (all) => handleAll(all, handle));
  return { stop: () => boss.stop() };
}

async function looping(handle) {
  const boss = await open(LOOPS + 1);
  let going = true;
  const loop = async () => {
    while (going) {
      const all = await boss.fetch(QUEUE, { batchSize: BATCH });
      handleAll(all, handle);
      if (all.length > 0) await boss.complete(QUEUE, all.map(({ id }) => id));
      else await sleep(IDLE_MS);
    }
  };
  const loops = Promise.all(Array.from({ length: LOOPS }, loop));
  const stop = async () => {
    going = false;
    await loops;
    await boss.stop({ graceful: false });
  };
  return { stop };
}

await run({
  name: "pg-boss",
  settings: NOTIFY
    ? { producerPool: PRODUCER_POOL, way: "work", notify: true, batchSize: BATCH, burstWhenBatchFull: true }
    : { producerPool: PRODUCER_POOL, way: "fetch", notify: false, batchSize: BATCH, loops: LOOPS, idleMs: IDLE_MS },
  left: `SELECT count(*) AS left FROM pgboss.job WHERE name = '${QUEUE}' AND state < 'completed'`,

  async prepare() {
    const boss = await open(2);
    await boss.createQueue(QUEUE, { notify: NOTIFY });
    await boss.stop({ graceful: false });
  },

  async producer() {
    const boss = await open(PRODUCER_POOL);
    return {
      send: (data) => boss.send(QUEUE, data),
      load: (all) => boss.insert(QUEUE, all.map((data) => ({ data }))),
      stop: () => boss.stop({ graceful: false }),
    };
  },

  consumer: NOTIFY ? woken : looping,
});
