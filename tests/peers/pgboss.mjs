// pg-boss
import { require, run, url, workload } from "./common.mjs";

const { PgBoss } = require("pg-boss");

const NAME = "bench";
const POOL = Number(process.env.POOL ?? 32);
const BATCH = Number(process.env.BATCH ?? 1000);
const LOOPS = Number(process.env.LOOPS ?? 4);
const IDLE = Number(process.env.IDLE ?? 20);
const NOTIFY = (process.env.MODE ?? (workload === "W4" ? "notify" : "loop")) === "notify";
const MODE = process.env.MODE ?? (NOTIFY ? "notify":"loop");
const PART = process.env.PART === "1";

async function open(max) {
  const boss = new PgBoss({ connectionString: url, max, schedule: false, useListenNotify: NOTIFY });
  boss.on("error", (error) => console.error(String(error)));
  await boss.start();
  return boss;
}

await run({
  name: "pg-boss",
  settings: () => ({ producerPool: POOL, BATCH, LOOPS, MODE, IDLE }),
  left: "SELECT count(*) AS left FROM pgboss.job WHERE state < 'completed' AND name = 'bench'",

  async prepare() {
    const boss = await open(2);
    await boss.createQueue(NAME, { notify: NOTIFY, partition: PART });
    await boss.stop({ graceful: false });
  },

  async producer() {
    const boss = await open(POOL);
    return {
      send: (data) => boss.send(NAME, data),
      load: (all) => boss.insert(NAME, all.map((data) => ({ data }))),
      stop: () => boss.stop({ graceful: false }),
    };
  },

  async consumer(handle) {
    const boss = await open(LOOPS + 1);
    if (MODE !== "loop") {
      await boss.work(NAME, { batchSize: BATCH, localConcurrency: LOOPS, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5 },
        async (all) => { for (const {data} of all) handle(data); });
      return { stop: () => boss.stop({ graceful: true, timeout: 30000 }) };
    }
    let going = true;
    const loop = async () => {
      while (going) {
        const all = await boss.fetch(NAME, { batchSize: BATCH });
        if (all.length) {
          for (const {data} of all) handle(data);
          await boss.complete(NAME, all.map(({id}) => id));
        } else await new Promise((r) => setTimeout(r, IDLE));
      }
    };
    const loops = Array.from({length: LOOPS}, loop);
    return { stop: async () => { going = false; await Promise.all(loops); await boss.stop({ graceful: false }); } };
  },
});
