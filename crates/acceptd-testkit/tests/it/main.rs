//! The tests that run on every change: each store through the conformance suite, and both against the model.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod accept_in_sql;
mod copy;
mod model;
mod nodes;
mod postgres_open;
mod postgres_plans;
mod servers;
mod store_memory;
mod store_postgres;
mod store_sqlite;
mod suite;
mod tidy;
