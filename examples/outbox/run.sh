#!/usr/bin/env bash
# An order and its event in one transaction of the shop's own. The shop is killed with kill -9 before its commit, and
# after it; acceptd is killed, too.
#
#   run.sh [python|rust] [--check]
#
# python|rust   in which language the shop is (python)
# --check       prints only the verdicts
#
# Needs Rust, Python 3.10 or newer and PostgreSQL 15 or newer, of which it starts one of its own. Everything runs on
# free loopback ports and in temporary folders, and is gone when the script ends. ACCEPTD_BIN names an acceptd that is
# built already. Without PostgreSQL it exits with 3.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$repo/target}
# shellcheck source=tests/peers/postgres.sh
. "$repo/tests/peers/postgres.sh"
language=python
exec 3>&1 # the story; the verdicts go to stdout
for argument in "$@"; do
  case $argument in
    python | rust) language=$argument ;;
    --check) exec 3>/dev/null ;;
    *)
      echo "usage: run.sh [python|rust] [--check]" >&2
      exit 2
      ;;
  esac
done
find_postgres || exit 3

# --- what it takes to run servers and to end them ---------------------------------------------------------------

dir=$(mktemp -d "${TMPDIR:-/tmp}/acceptd-outbox.XXXXXX")
pids=
failed=
finished=

start() { # NAME COMMAND...: starts a program, leaves its process id in $pid and what it says in $dir/NAME.log
  local name=$1
  shift
  "$@" >>"$dir/$name.log" 2>&1 &
  pid=$!
  pids="$pids $pid"
}

crash() { # PID: no goodbye, no cleaning up
  kill -9 "$1"
  wait "$1" 2>/dev/null || true
  local left=
  for other in $pids; do [ "$other" = "$1" ] || left="$left $other"; done
  pids=$left
}

end() {
  for process in $pids; do kill "$process" 2>/dev/null || true; done
  for process in $pids; do wait "$process" 2>/dev/null || true; done
  stop_postgres
  if [ -n "$finished" ] && [ -z "$failed" ]; then
    rm -rf "$dir"
  else
    for log in "$dir"/*.log; do
      [ ! -s "$log" ] || { echo "--- the end of $log" && tail -n 15 "$log"; } >&2
    done
  fi
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$*" >&3; }
look() { python3 "$here/../ec2/look.py" "$@"; }
sql() { "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$PG_URL/shop" "$@"; }

until_true() { # WORDS COMMAND...: looks until the command succeeds
  local words=$1 looks=0
  shift
  until "$@"; do
    looks=$((looks + 1))
    [ "$looks" -lt 1200 ] || { echo "waited in vain for $words" >&2 && exit 1; }
    sleep 0.05
  done
}

verdict() { # WORDS TEST...: one line of the judgement
  local words=$1
  shift
  if "$@"; then
    echo "ok   $words" >>"$dir/verdicts"
  else
    echo "FAIL $words" >>"$dir/verdicts"
    failed=yes
  fi
}

# --- the stage: one database for the shop and acceptd ------------------------------------------------------------

acceptd=${ACCEPTD_BIN:-$target/debug/acceptd}
[ -n "${ACCEPTD_BIN:-}" ] || (cd "$repo" && cargo build --quiet --package acceptd-server)
case $language in
  python) shop=("$("$repo/scripts/venv.sh" "$here/requirements.txt")" "$here/shop.py") ;;
  rust)
    (cd "$repo" && cargo build --quiet --package examples --bin outbox_shop)
    shop=("$target/debug/outbox_shop")
    ;;
esac
start_postgres
"$PG_BIN/psql" -X -q "$PG_URL/postgres" -c "CREATE DATABASE shop"
ports=$(look ports 2)
api=127.0.0.1:$(echo "$ports" | head -1)
ship=127.0.0.1:$(echo "$ports" | tail -1)
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export SHOP_DATABASE=${PG_URL/postgres@/shop@}/shop

serve() {
  start acceptd env "ACCEPTD_SERVER__LISTEN=$api" "ACCEPTD_STORE__URL=$PG_URL/shop" \
    "$acceptd" serve --config "$dir/acceptd.toml"
  server=$pid
  look up "http://$api/readyz"
}

place() { # ORDER ITEM WHERE: the shop places an order and is killed there; its operation is $operation
  : >"$dir/shop.log"
  start shop "${shop[@]}" "$@"
  until_true "the shop, $3 its commit" grep -q "$3 the commit" "$dir/shop.log"
  operation=$(head -1 "$dir/shop.log")
  crash "$pid"
  until_true "the database to see the end of the shop" nobody_there
}

nobody_there() { [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop'")" = 0 ]; }
orders() { sql -c "SELECT count(*) FROM orders"; }
shipped() { grep -c "^shipped $1$" "$dir/ship.log" || true; }
status() { look get "http://$api/v1/operations/$operation" "$dir/$1.json" && look field "$dir/$1.json" status; }

sed "s/127\.0\.0\.1:9000/$ship/" "$here/acceptd.toml" >"$dir/acceptd.toml"
start ship python3 "$here/ship.py" "${ship##*:}"
look up "http://$ship/"
serve
sql -f "$here/shop.sql"
say "PostgreSQL, acceptd and a shop in $language share a database. user-42 orders a book, then a lamp."

# --- 1. killed before the commit ---------------------------------------------------------------------------------

say
say "1. The shop has inserted the order and its event, and is killed before its commit."
place 1 book before
say "   The order: $(orders) rows. Operation $operation: HTTP $(status gone)."
verdict "killed before the commit: there is no order" [ "$(orders)" = 0 ]
verdict "killed before the commit: there is no operation" [ "$(status gone)" = 404 ]
verdict "killed before the commit: nothing was submitted" [ "$(sql -c "SELECT count(*) FROM acceptd.submitted")" = 0 ]

# --- 2. killed after the commit, while no acceptd runs -----------------------------------------------------------

say
say "2. acceptd is killed. The shop commits an order with its event, and is killed after its commit."
crash "$server"
place 2 lamp after
say "   The order: $(orders) row. acceptd starts again."
verdict "killed after the commit: there is the order" [ "$(orders)" = 1 ]
verdict "killed after the commit: nothing is shipped while no acceptd runs" [ "$(shipped 2)" = 0 ]
serve
look follow "http://$api/v1/operations/$operation" "$dir/ended.json" >&3
verdict "killed after the commit: the operation $(look field "$dir/ended.json" body.status)" \
  [ "$(look field "$dir/ended.json" body.status)" = succeeded ]
verdict "killed after the commit: the order is shipped once" [ "$(shipped 2)" = 1 ]
verdict "killed before the commit: that order is never shipped" [ "$(shipped 1)" = 0 ]

# --- 3. the shop starts again and tries both once more -----------------------------------------------------------

say
say "3. The shop starts again and places the first order once more."
"${shop[@]}" 1 book >"$dir/again.log"
operation=$(head -1 "$dir/again.log")
look follow "http://$api/v1/operations/$operation" "$dir/again.json" >&3
verdict "placed again: the order is shipped once" [ "$(shipped 1)" = 1 ]
verdict "placed again: there are two orders" [ "$(orders)" = 2 ]

say
cat "$dir/verdicts"
finished=yes
[ -z "$failed" ]
