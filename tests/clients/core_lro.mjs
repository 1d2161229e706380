// npm @azure/core-lro: Azure's poller for JavaScript, with Operation-Location and with Location alone.

import assert from "node:assert/strict";
import { accept, base, check, require } from "./check.mjs";

const { createHttpPoller } = require("@azure/core-lro");

async function raw(response, method, url, hidden) {
  const body = await response.json();
  const headers = Object.fromEntries([...response.headers].filter(([name]) => name !== hidden));
  if (response.status >= 400) {
    const error = new Error(`HTTP ${response.status}: ${body.title}`);
    throw Object.assign(error, { name: "RestError", statusCode: response.status, response: { headers } });
  }
  const rawResponse = { statusCode: response.status, headers, body, request: { method, url } };
  return { flatResponse: body, rawResponse };
}

function poll(type, hidden) {
  const url = `${base}/v1/events/${type}`;
  const client = {
    sendInitialRequest: async () => raw(await accept(type), "POST", url, hidden),
    sendPollRequest: async (path) => raw(await fetch(new URL(path, base)), "GET", path, hidden),
  };
  return createHttpPoller(client, { intervalInMs: 50 });
}

async function rightResult(hidden) {
  const poller = poll("client.answer", hidden);
  assert.deepEqual(await poller.pollUntilDone(), { answer: 42 });
  assert.equal(poller.operationState.status, "succeeded");
}

async function failureOf(poller) {
  const result = await poller.pollUntilDone().catch((error) => error);
  assert.ok(result instanceof Error, `the poller took the failure for the result ${JSON.stringify(result)}`);
  return result;
}

async function rightFailure() {
  const poller = poll("client.refuse");
  await failureOf(poller);
  assert.equal(poller.operationState.status, "failed");
}

async function rightFailureByLocation() {
  const error = await failureOf(poll("client.refuse", "operation-location"));
  assert.ok(error.statusCode >= 400, error.message);
}

await check("core-lro.result", () => rightResult());
await check("core-lro.failure", () => rightFailure());
await check("core-lro.location-only.result", () => rightResult("operation-location"));
await check("core-lro.location-only.failure", () => rightFailureByLocation());
process.exit(0);
