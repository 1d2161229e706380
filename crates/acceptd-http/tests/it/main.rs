//! Integration tests: real connections on loopback, the real engine on a store in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod push;
mod push_receiver;
mod push_request;
mod push_waiting;
