// graphile-worker, tuned as its page on performance says: https://worker.graphile.org/docs/performance
//
// Concurrency, pool and completions at once are those of the page's own figures. `localQueue.size` is larger than its
// 500, as the option's description has it for handlers that take no time. In W5 `refetchDelay` lets it fetch many at a
// time; where latency counts it is off.

import { require, run, url, workload } from "./common.mjs";

const { Logger, makeWorkerUtils, run: start } = require("graphile-worker");

const TASK = "bench";
const PRODUCER_POOL = 32;
const WORKER = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 2000, ...(workload === "W5" && { refetchDelay: { durationMs: 500, threshold: 10 } }) },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
const logger = new Logger(() => (level, message) => level === "error" && console.error(message));

await run({
  name: "graphile-worker",
  settings: { producerPool: PRODUCER_POOL, ...WORKER },
  left: "SELECT count(*) AS left FROM graphile_worker._private_jobs",

  async prepare() {
    const utils = await makeWorkerUtils({ connectionString: url, logger });
    await utils.migrate();
    await utils.release();
  },

  async producer() {
    const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: PRODUCER_POOL, logger });
    return {
      send: (data) => utils.addJob(TASK, data),
      load: (all) => utils.addJobs(all.map((data) => ({ identifier: TASK, payload: data }))),
      stop: () => utils.release(),
    };
  },

  async consumer(handle) {
    const preset = { worker: { connectionString: url, logger, ...WORKER } };
    const runner = await start({ preset, noHandleSignals: true, taskList: { [TASK]: handle } });
    return { stop: () => runner.stop() };
  },
});
