//! The fault tests: each breaks a real server in one way and checks what it promised. See `acceptd_testkit::harness`.
//!
//! They use processes, signals and `/proc`, so they run on Unix; memory is measured on Linux only.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod crash;
mod disk;
mod flood;
mod fsync;
mod planted;
mod prune;
mod sigterm;
mod zombie;
