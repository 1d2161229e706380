#!/usr/bin/env bash
# Says in one sentence what is missing on this machine. Installs nothing outside the repository, but in CI, where
# nothing may be skipped: there strace is installed for the tests that make the disk fail, promtool (in the package
# prometheus) for the metrics page, graphviz and chromium for the tests that draw the catalog, and PostgreSQL, PgBouncer
# and Redis for the tests against real servers, which start their own and need no service of the system.
set -eu
need() { command -v "$1" >/dev/null 2>&1 || { echo "setup: $1 is missing: $2" >&2; exit 1; }; }
need cargo "install Rust 1.90 or newer with rustup"
need python3 "install Python 3.10 or newer"
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 || {
    echo "setup: a C compiler is missing: apt-get install gcc, or xcode-select --install" >&2
    exit 1
}
if [ "${CI:-}" = true ]; then
    missing=
    command -v strace >/dev/null 2>&1 || missing="$missing strace"
    command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
    command -v dot >/dev/null 2>&1 || missing="$missing graphviz"
    command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
    command -v postgres >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ||
        missing="$missing postgresql"
    command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
    command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
    if [ -n "$missing" ]; then
        # Only the programs are wanted, not their services: nothing is started. A policy that is there stays.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod +x "$policy"
        fi
        apt-get update -qq >/dev/null
        # shellcheck disable=SC2086  # a list of packages
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends $missing >/dev/null
    fi
fi
