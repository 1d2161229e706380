#!/usr/bin/env bash
# Checks acceptd with programs that others wrote: Azure's pollers (Python, npm), the CloudEvents SDK, eventsource,
# OpenTelemetry's protocol and conventions, promtool.
#
#   ACCEPTD_BIN=target/debug/acceptd tests/clients/run.sh
#
# Without ACCEPTD_BIN it builds acceptd. Needs Python 3.10 or newer; without Node its two clients are skipped, loudly,
# except where CI=true: there that is a failure. The same goes for promtool.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)

python=$("$repo/scripts/venv.sh" "$here/requirements.txt")
node_packages=$("$repo/scripts/node.sh" "$here") || {
  code=$?
  [ "$code" = 3 ] || exit "$code"
  node_packages=
}
if [ -z "${ACCEPTD_BIN:-}" ]; then
  (cd "$repo" && cargo build --quiet --package acceptd-server)
  ACCEPTD_BIN=${CARGO_TARGET_DIR:-$repo/target}/debug/acceptd
fi
export ACCEPTD_BIN NODE_PACKAGES=$node_packages
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/run.py"
