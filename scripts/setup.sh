#!/usr/bin/env bash
# Says in one sentence what is missing on this machine. Installs nothing outside the repository, but in CI, where
# nothing may be skipped: there strace is installed for the tests that make the disk fail, promtool (in the package
# prometheus) for the metrics page, and graphviz and chromium for the tests that draw the catalog.
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
    if [ -n "$missing" ]; then
        apt-get update -qq >/dev/null
        # Of prometheus only the tool is wanted, not the service.
        # shellcheck disable=SC2086  # a list of packages
        RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
    fi
fi
