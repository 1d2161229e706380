#!/usr/bin/env bash
# Measures acceptd on Postgres beside graphile-worker and pg-boss: one server, the same workloads in turns, each with a
# fresh database. Prints a table; the JSON lines of the runs stay in target/peers.jsonl. docs/performance.md says what
# is compared.
#
#   ACCEPTD_BENCH_BIN=target/release/acceptd tests/peers/run.sh [--rounds N] [--workloads "W1 W3"] \
#     [--seconds N] [--count N]
#
# Without ACCEPTD_BENCH_BIN only the peers run. --seconds is for W1, W4, W5 and W6, --count for W3, and ten times that
# for W6; without them W1, W4 and W5 last 10 s, W3 has 100,000, and W6 1,000,000 of which the first 20 s are measured.
# Needs PostgreSQL, npm and Python 3; without Node it says so and exits with 3.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
# shellcheck source=tests/peers/postgres.sh
. "$here/postgres.sh"

usage() {
  echo 'usage: run.sh [--rounds N] [--workloads "W1 W3"] [--seconds N] [--count N]' >&2
  exit 2
}

rounds=1
workloads="W1 W3 W4 W5 W6"
seconds=
count=
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --rounds | --seconds | --count)
      case $2 in '' | 0* | *[!0-9]*) usage ;; esac
      printf -v "${1#--}" '%s' "$2"
      ;;
    --workloads)
      for one in $2; do case $one in W1 | W3 | W4 | W5 | W6) ;; *) usage ;; esac done
      workloads=$2
      ;;
    *) usage ;;
  esac
  shift 2
done

acceptd=${ACCEPTD_BENCH_BIN:-}
if [ -n "$acceptd" ] && [ ! -x "$acceptd" ]; then
  echo "ERROR: ACCEPTD_BENCH_BIN is $acceptd, where no program is" >&2
  exit 2
fi
peers="graphile pgboss${acceptd:+ acceptd}"

packages=$("$repo/scripts/node.sh" "$here")
node=$(find "$packages/node_modules" -maxdepth 3 -path '*/node-*/bin/node' | head -1)
node=${node:-$(command -v node)} # where npm has no Node for the platform, the system's must be new enough
new_enough='const [a, b] = process.versions.node.split(".").map(Number); process.exit(a * 100 + b < 2218 ? 1 : 0)'
if ! "$node" -e "$new_enough"; then
  echo "ERROR: the peers need Node 22.18 or newer, this is $("$node" --version)" >&2
  exit 3
fi

lines=$repo/target/peers.jsonl
mkdir -p "$repo/target"
: >"$lines"
failed=0
trap stop_postgres EXIT
trap 'exit 130' INT TERM
start_postgres

sql() { "$PG_BIN/psql" -q -X -v ON_ERROR_STOP=1 "$PG_URL/postgres" "$@"; }

# One workload of one peer: its line goes to the file and, as talk, to stderr.
measure() {
  local peer=$1 workload=$2 database=peers_run line
  local -a given=()
  [ -z "$seconds" ] || [ "$workload" = W3 ] || given+=(--seconds "$seconds")
  case $workload in
    W3) [ -z "$count" ] || given+=(--count "$count") ;;
    W6) [ -z "$count" ] || given+=(--count "$((count * 10))") ;;
  esac
  sql -c "CREATE DATABASE $database" -c CHECKPOINT
  local -a program=("$node" "$here/$peer.mjs" "$packages")
  [ "$peer" != acceptd ] || program=("$acceptd" bench postgres)
  if line=$("${program[@]}" --url "$PG_URL/$database" --workload "$workload" ${given[@]+"${given[@]}"}); then
    printf '%s\n' "$line" | tee -a "$lines" >&2
  else
    echo "ERROR: $workload of $peer failed" >&2
    failed=1
  fi
  sql -c "DROP DATABASE $database WITH (FORCE)"
}

for _ in $(seq "$rounds"); do
  for workload in $workloads; do
    for peer in $peers; do measure "$peer" "$workload"; done
  done
done
"$node" "$here/table.mjs" "$lines"
exit "$failed"
