#!/usr/bin/env bash
# The whole test suite: Rust tests, foreign clients, the examples. What needs a tool that is not here says so
# loudly and is skipped; with CI set nothing is skipped.
set -eu
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }

step "Rust tests"
cargo test --workspace --quiet

step "the binary for what follows"
cargo build --quiet -p acceptd-server -p examples
export ACCEPTD_BIN="$PWD/target/debug/acceptd"

step "clients that nobody here wrote"
tests/clients/run.sh

step "schemas, as a checker that nobody here wrote compares them"
tests/compat/run.sh

step "the program of the library's README, as it is written there"
tests/scaffold/run.sh

step "the demo, without a terminal"
"$ACCEPTD_BIN" dev --demo --exit

step "the EC2 example, its consumer in Python"
examples/ec2/run.sh --check python

step "the EC2 example, its consumer in Rust"
examples/ec2/run.sh --check rust

step "the uploads example, three services that count"
examples/uploads/run.sh --quick

# Exit code 3 says that there is no PostgreSQL here.
for language in python rust; do
  step "the outbox example, its shop in $language"
  examples/outbox/run.sh --check "$language" || { code=$? && [ "$code" = 3 ] && [ "${CI:-}" != true ]; } || exit 1
done
