# Everything a person does with this repository. `make help` lists it.
SHELL := /bin/bash
CARGO ?= cargo
PROFILE ?= dev

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## check that the tools are there: Rust, a C compiler, Python 3
	@scripts/setup.sh

check: ## format, lints, documentation warnings
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features acceptd-server/faults -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --features acceptd/testing --quiet

test: setup ## pass all tests, the short fault runs and the foreign clients included
	scripts/test.sh

test-fault: setup ## the long fault runs in a release build: 200 crash cycles, a flood of 100,000, limits over 1,000,000 executions
	ACCEPTD_FAULT_CYCLES=200 ACCEPTD_FAULT_FLOOD=100000 ACCEPTD_FAULT_EXECUTIONS=1000000 \
		$(CARGO) test --release -p acceptd-testkit --test fault --test limits -- --nocapture --test-threads=1

demo: setup ## run the main thing: a slow upload that answers 202, with a chain, a failure and a notification
	$(CARGO) run --quiet -p acceptd-server -- dev --demo

bench: setup ## measure this machine; the figures of docs/performance.md
	$(CARGO) build --release -p acceptd-server
	target/release/acceptd bench

bench-peers: setup ## measure acceptd on Postgres beside graphile-worker and pg-boss: one server, the same workloads
	$(CARGO) build --release -p acceptd-server
	ACCEPTD_BENCH_BIN=$(CURDIR)/target/release/acceptd tests/peers/run.sh

ci: ## what the CI runs
	.ci/run

.PHONY: help setup check test test-fault demo bench bench-peers ci
