#!/usr/bin/env bash
# alice uploads 200 items, each to three services that allow 2 requests a second, and bob a single one meanwhile.
#
#   run.sh [--quick] [no-limits]
#
# --quick     40 items that take 1 s instead of 200 that take 10 s
# no-limits   nobody tells acceptd what the services allow
#
# Needs Rust and Python 3.10 or newer. Everything listens on free loopback ports, keeps its files in a temporary
# folder and is gone at the end. ACCEPTD_BIN names an acceptd that is built already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
items=200
takes=10
config=acceptd.toml
learn=
for argument in "$@"; do
  case $argument in
    --quick) items=40 takes=1 ;;
    no-limits) config=acceptd.no-limits.toml learn=--learn ;;
    *)
      echo "usage: run.sh [--quick] [no-limits]" >&2
      exit 2
      ;;
  esac
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/acceptd-uploads.XXXXXX")
pids=
finished=

start() { # NAME COMMAND...: starts a server; what it says is in $dir/NAME.log
  local log=$dir/$1.log
  shift
  "$@" >"$log" 2>&1 &
  pids="$pids $!"
}

said() { # NAME PATTERN COUNT: waits until a server has said so many lines like this, and prints them
  for _ in $(seq 200); do
    if [ "$(grep -c "$2" "$dir/$1.log")" -ge "$3" ]; then
      grep "$2" "$dir/$1.log"
      return
    fi
    sleep 0.05
  done
  echo "$1 does not start" >&2
  return 1
}

end() {
  for process in $pids; do kill "$process" 2>/dev/null || true; done
  for process in $pids; do wait "$process" 2>/dev/null || true; done
  if [ -n "$finished" ]; then
    rm -rf "$dir"
  else
    tail -n 15 "$dir"/*.log >&2
  fi
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

acceptd=${ACCEPTD_BIN:-${CARGO_TARGET_DIR:-$repo/target}/debug/acceptd}
if [ -z "${ACCEPTD_BIN:-}" ]; then
  (cd "$repo" && cargo build --quiet --package acceptd-server)
fi

export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
start services python3 "$here/services.py" --takes "$takes"
urls=$(said services URL= 3)
export $urls ACCEPTD_SERVER__LISTEN=127.0.0.1:0 "ACCEPTD_STORE__URL=sqlite:$dir/acceptd.db"
start acceptd "$acceptd" serve --config "$here/$config"
listening=$(said acceptd "listening on" 1)
export ACCEPTD_URL="http://${listening##*http://}"

python3 "$here/upload.py" --items "$items" --takes "$takes" $learn
finished=yes
