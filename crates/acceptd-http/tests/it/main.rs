//! The HTTP contract, seen from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends when something is missing")]

mod api;
mod bad_input;
mod cloudevents;
mod deliveries;
mod documents;
mod front_door;
mod operations;
mod people;
mod server;
mod streams;
