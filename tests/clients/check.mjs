// What the clients for Node share: their packages, the verdicts, and calls to acceptd.

import { createRequire } from "node:module";

export const [packages, base] = process.argv.slice(2);

/** Packages are not beside these files, so they are required from where they were installed. */
export const require = createRequire(`${packages}/`);

/** Runs one check and prints its verdict; what it throws, or its deadline, is why it failed. */
export async function check(name, body, patience = 30_000) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${patience / 1000} s`)), patience);
  });
  try {
    await Promise.race([body(), deadline]);
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}: ${String(error.message).replace(/\s+/g, " ").slice(0, 300)}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Has an event accepted and returns the answer. */
export async function accept(type) {
  const response = await fetch(`${base}/v1/events/${type}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  if (response.status !== 202) throw new Error(`accepting answered ${response.status}`);
  return response;
}
