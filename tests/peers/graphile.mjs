// graphile-worker, tuned as https://worker.graphile.org/docs/performance says: batching with a local queue, completions
// together, and the concurrency of its own figures.

import { require, run, url } from "./common.mjs";

const { Logger, makeWorkerUtils, run: start } = require("graphile-worker");

const TASK = "bench";
const POOL = Number(process.env.POOL ?? 32);
const batching = {
  concurrentJobs: Number(process.env.CONC ?? 24),
  maxPoolSize: Number(process.env.CONC ?? 24)+1,
  localQueue: { size: Number(process.env.LQ ?? 500), ...(process.env.RD ? {refetchDelay: {durationMs: Number(process.env.RD), threshold: Number(process.env.RDT ?? 0)}}:{}) },
  completeJobBatchDelay: Number(process.env.CB ?? 0),
  failJobBatchDelay: 0,
};
const logger = new Logger(() => (level, message) => level === "error" && console.error(message));

await run({
  name: "graphile-worker",
  settings: () => ({ producerPool: POOL, ...batching }),
  left: "SELECT count(*) AS left FROM graphile_worker._private_jobs",

  async prepare() {
    const utils = await makeWorkerUtils({ connectionString: url, logger });
    await utils.migrate();
    await utils.release();
  },

  async producer() {
    const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: POOL, logger });
    return {
      send: (data) => utils.addJob(TASK, data),
      load: (all) => utils.addJobs(all.map((data) => ({ identifier: TASK, payload: data }))),
      stop: () => utils.release(),
    };
  },

  async consumer(handle) {
    const preset = { worker: { connectionString: url, logger, ...batching } };
    const runner = await start({ preset, noHandleSignals: true, taskList: { [TASK]: handle } });
    return { stop: () => runner.stop() };
  },
});
