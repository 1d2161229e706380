#!/usr/bin/env bash
# Says in one sentence what is missing on this machine. Installs nothing outside the repository.
set -eu
need() { command -v "$1" >/dev/null 2>&1 || { echo "setup: $1 is missing: $2" >&2; exit 1; }; }
need cargo "install Rust 1.90 or newer with rustup"
need python3 "install Python 3.9 or newer"
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 || {
    echo "setup: a C compiler is missing: apt-get install gcc, or xcode-select --install" >&2
    exit 1
}
