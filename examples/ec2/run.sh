#!/usr/bin/env bash
# Starts a machine at a slow cloud: in the request, in a thread of the server, and accepted. The last two are killed
# with kill -9 while the machine is starting.
#
#   run.sh [python|rust] [--check]
#
# python|rust   in which language the consumer behind acceptd is (python)
# --check       prints only the verdicts
#
# Needs Rust and Python 3.10 or newer, no account and no network beyond the two package registries. Everything runs
# on free loopback ports and in a temporary folder, and is gone when the script ends. ACCEPTD_BIN names an acceptd
# that is built already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$repo/target}
consumer=python
exec 3>&1 # the story; the verdicts go to stdout
for argument in "$@"; do
  case $argument in
    python | rust) consumer=$argument ;;
    --check) exec 3>/dev/null ;;
    *)
      echo "usage: run.sh [python|rust] [--check]" >&2
      exit 2
      ;;
  esac
done

# --- what it takes to run servers and to end them ---------------------------------------------------------------

dir=$(mktemp -d "${TMPDIR:-/tmp}/acceptd-ec2.XXXXXX")
pids=
failed=
finished=

start() { # NAME COMMAND...: starts a server, leaves its process id in $pid and what it says in $dir/NAME.log
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
look() { "$python" "$here/look.py" "$@"; }
seconds() { printf '%d.%03d s' $(($1 / 1000)) $(($1 % 1000)); }
lines() { printf '%s' "$1" | grep -c . || true; }

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

# --- the stage: a cloud with slow machines ----------------------------------------------------------------------

python=$("$repo/scripts/venv.sh" "$here/requirements.txt")
acceptd=${ACCEPTD_BIN:-$target/debug/acceptd}
if [ -z "${ACCEPTD_BIN:-}" ]; then
  (cd "$repo" && cargo build --quiet --package acceptd-server)
fi
if [ "$consumer" = rust ]; then
  (cd "$repo" && cargo build --quiet --package examples --bin ec2_consumer)
fi

set -- $(look ports 4)
cloud=http://127.0.0.1:$1
api=http://127.0.0.1:$2
consumer_port=$3
acceptd_at=127.0.0.1:$4

unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
export AWS_ENDPOINT_URL=$cloud AWS_DEFAULT_REGION=eu-west-1 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export EC2_DELAY=${EC2_DELAY:-4}
wish='{"ami":"ami-12345678","instanceType":"t3.micro"}'

start cloud "$python" "$here/moto_slow.py" -H 127.0.0.1 -p "${cloud##*:}"
look up "$cloud/moto-api/"
say "A cloud is up (moto); a machine takes $EC2_DELAY s to start there. user-42 wants one."

# --- 1. the endpoint does it in the request ---------------------------------------------------------------------

say
say "1. In the request (older/sync.py): POST /start-ec2"
start sync "$python" "$here/older/sync.py" "${api##*:}"
sync=$pid
look up "$api/"
look post "$api/start-ec2" "$wish" "$dir/sync.json" >&3
blocked=$(look field "$dir/sync.json" milliseconds)
say "   The caller was blocked for $(seconds "$blocked")."
verdict "in the request: the caller was blocked for $(seconds "$blocked")" [ "$blocked" -gt 1000 ]
crash "$sync"
look reset

# --- 2. the endpoint answers 202 and does it in a thread --------------------------------------------------------

say
say "2. In a thread of the server (older/spawned.py): POST /start-ec2"
start spawned "$python" "$here/older/spawned.py" "${api##*:}"
spawned=$pid
look up "$api/"
look post "$api/start-ec2" "$wish" "$dir/spawned.json" >&3
blocked=$(look field "$dir/spawned.json" milliseconds)
verdict "in a thread: the caller was blocked for $(seconds "$blocked")" [ "$blocked" -lt 1000 ]
look machine pending
crash "$spawned"
say "   The caller was blocked for $(seconds "$blocked"). kill -9 while the machine starts, and a new start."
start spawned "$python" "$here/older/spawned.py" "${api##*:}"
spawned=$pid
look up "$api/"
look machine running
look get "$api$(look field "$dir/spawned.json" headers.Location)" "$dir/record.json"
look get "$api/notifications?owner=user-42" "$dir/told.json"
record=$(look field "$dir/record.json" status)
told=$(look count "$dir/told.json")
say "   The cloud has: $(look machines). The operation answers $record. Notifications for user-42: $told."
say "   Somebody pays for a machine that nobody knows of."
verdict "in a thread: after kill -9 there is no record of the operation" [ "$record" = 404 ]
verdict "in a thread: after kill -9 user-42 is never told" [ "$told" = 0 ]
crash "$spawned"
look reset

# --- 3. acceptd stands before it --------------------------------------------------------------------------------

serve() {
  start acceptd env "ACCEPTD_SERVER__LISTEN=$acceptd_at" "ACCEPTD_STORE__URL=sqlite:$dir/acceptd.db" \
    "$acceptd" serve --config "$dir/acceptd.toml"
  server=$pid
  look up "http://$acceptd_at/readyz"
}

say
say "3. Accepted (acceptd, with a consumer in $consumer behind it): POST /v1/events/ec2.start"
sed "s/127\.0\.0\.1:9000/127.0.0.1:$consumer_port/" "$here/acceptd.toml" >"$dir/acceptd.toml"
case $consumer in
  python) start consumer "$python" "$here/consumer.py" "$consumer_port" ;;
  rust) start consumer "$target/debug/ec2_consumer" "$consumer_port" ;;
esac
look up "http://127.0.0.1:$consumer_port/"
serve
look post "http://$acceptd_at/v1/events/ec2.start" "$wish" "$dir/accepted.json" >&3
blocked=$(look field "$dir/accepted.json" milliseconds)
verdict "accepted: the answer is 202" [ "$(look field "$dir/accepted.json" status)" = 202 ]
verdict "accepted: the caller was blocked for $(seconds "$blocked")" [ "$blocked" -lt 1000 ]
operation=http://$acceptd_at/v1/operations/$(look field "$dir/accepted.json" body.id)
look machine pending
crash "$server"
before=$(look machines)
verdict "accepted: kill -9 came while the machine was starting" [ "${before#* }" = pending ]
say "   The caller was blocked for $(seconds "$blocked"). kill -9 while the machine starts, and a new start."
serve
look follow "$operation" "$dir/ended.json" >&3
look notifications "http://$acceptd_at/v1/notifications?owner=user-42" "$dir/told.json" >&3
say "   The consumer's own words:"
sed 's/^/   | /' "$dir/consumer.log" >&3
machines=$(look machines)
say "   The cloud has: $machines."
status=$(look field "$dir/ended.json" body.status)
result=$(look field "$dir/ended.json" body.result)
verdict "accepted: the operation $status" [ "$status" = succeeded ]
verdict "accepted: its result is $result" [ "$result" = "{\"instanceId\": \"${machines%% *}\"}" ]
verdict "accepted: the cloud has $(lines "$machines") machine" [ "$(lines "$machines")" = 1 ]
verdict "accepted: user-42 has $(look count "$dir/told.json") notification" [ "$(look count "$dir/told.json")" = 1 ]

say
cat "$dir/verdicts"
finished=yes
[ -z "$failed" ]
