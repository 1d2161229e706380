//! The binary as its users have it: processes, their output and their exit codes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod catalog;
mod client;
mod configuration;
mod demo;
mod limits;
mod process;
mod serving;
mod store;
mod story;
