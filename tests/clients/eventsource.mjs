// npm eventsource: reads the stream of an operation to its end, loses the connection once on the way, and goes on.

import assert from "node:assert/strict";
import { accept, base, check, require } from "./check.mjs";

const { EventSource } = require("eventsource");

/** A stream up to its first `operation` event, as when the connection breaks between two events. */
async function* untilFirstSnapshot(body) {
  let text = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end; (end = text.indexOf("\n\n")) >= 0; ) {
      const block = text.slice(0, end + 2);
      text = text.slice(end + 2);
      yield new TextEncoder().encode(block);
      if (/^event: ?operation$/m.test(block)) return;
    }
  }
}

const events = []; // { name, id, data }
const connections = []; // { lastEventId, seen: how many events there were, status }

async function watchedFetch(url, init) {
  const connection = { lastEventId: new Headers(init.headers).get("last-event-id"), seen: events.length };
  connections.push(connection);
  const response = await fetch(url, init);
  connection.status = response.status;
  if (connections.length > 1) return response;
  const { status, headers } = response;
  return new Response(ReadableStream.from(untilFirstSnapshot(response.body)), { status, headers });
}

const operation = await (await accept("client.first")).json();
const source = new EventSource(`${base}/v1/operations/${operation.id}/stream`, { fetch: watchedFetch });
const ended = new Promise((resolve) => source.addEventListener("end", resolve));
const stopped = new Promise((resolve) => {
  source.addEventListener("error", () => source.readyState === EventSource.CLOSED && resolve());
});
for (const name of ["operation", "end", "message"]) {
  source.addEventListener(name, (event) => events.push({ name, id: event.lastEventId, data: event.data }));
}
const snapshots = () => events.filter(({ name }) => name === "operation");

await check("eventsource.end", async () => {
  await ended;
  const last = JSON.parse(snapshots().at(-1).data);
  assert.equal(last.id, operation.id);
  assert.equal(last.status, "succeeded");
  assert.equal(last.done, true);
});

await check("eventsource.resume", async () => {
  const second = connections[1];
  assert.ok(second, "the client was not made to connect again");
  const before = events[second.seen - 1];
  assert.ok(before.id, "the first snapshot had no id");
  assert.equal(second.lastEventId, before.id);
  const ids = snapshots().map(({ id }) => id);
  assert.ok(ids.length > 1, "nothing came after the connection was lost");
  assert.equal(new Set(ids).size, ids.length, `a snapshot came twice: ${ids.join(", ")}`);
});

await check("eventsource.stop", async () => {
  await stopped; // a client that is not told to stop connects again for ever
  assert.equal(connections.at(-1).status, 204);
  assert.equal(events.filter(({ name }) => name === "end").length, 1, "the end came twice");
});
process.exit(0);
