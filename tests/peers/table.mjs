// Makes the table of a run from its JSON lines: medians by workload and peer, and acceptd beside the better peer.
//
//   node table.mjs LINES

import { readFileSync } from "node:fs";

const OURS = "acceptd";
const lines = readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
const peers = [...new Set(lines.map(({ peer }) => peer))].filter((peer) => peer !== OURS).sort();

/** What is shown: the workload, what it is, where it stands in a line, how, and whether less is better. */
const rows = [
  ["W1", "single calls from 32 clients, /s", ({ value }) => value, 0],
  ["W3", "working off what waits, /s", ({ value }) => value, 0],
  ["W4", "call to handler's start, p50 ms", ({ value }) => value, 2, "less"],
  ["W4", "the same, p99 ms", ({ p99 }) => p99, 2, "less"],
  ["W5", "32 clients and handlers at once, done/s", ({ value }) => value, 0],
  ["W6", "first seconds of a large backlog, /s", ({ value }) => value, 0],
  ["W6", "beside a backlog of 10,000", ({ value, small }) => value / small, 2],
];

function median(all) {
  const sorted = all.filter(Number.isFinite).sort((a, b) => a - b);
  const [low, high] = [Math.floor((sorted.length - 1) / 2), Math.ceil((sorted.length - 1) / 2)];
  return sorted.length > 0 ? (sorted[low] + sorted[high]) / 2 : undefined;
}

const show = (value, digits) =>
  value === undefined
    ? "–"
    : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

const line = (cells) => console.log(`| ${cells.join(" | ")} |`);

line(["", "workload", OURS, ...peers, "acceptd to the better peer"]);
line(["---", "---", ...Array(peers.length + 2).fill("---:")]);
for (const [workload, what, pick, digits, better] of rows) {
  const of = (peer) => median(lines.filter((one) => one.workload === workload && one.peer === peer).map(pick));
  const ours = of(OURS);
  const theirs = peers.map(of);
  const known = theirs.filter((value) => value !== undefined);
  if (ours === undefined && known.length === 0) continue;
  const best = better === "less" ? Math.min(...known) : Math.max(...known);
  const ratio = ours === undefined || known.length === 0 ? undefined : ours / best;
  line([workload, what, show(ours, digits), ...theirs.map((value) => show(value, digits)), show(ratio, 2)]);
}
