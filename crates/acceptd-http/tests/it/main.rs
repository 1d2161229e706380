//! The HTTP contract, seen from outside: real connections on loopback, the real engine on a store in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends when something is missing")]

mod api;
mod bad_input;
mod batches;
mod cloudevents;
mod deliveries;
mod documents;
mod front_door;
mod limits;
mod operations;
mod people;
mod push;
mod push_limits;
mod push_receiver;
mod push_request;
mod push_waiting;
mod schemas;
mod server;
mod streams;
