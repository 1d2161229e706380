//! The engine on the memory store, with tokio's paused clock: time passes only when everything waits.

#![allow(clippy::unwrap_used, reason = "a test ends when something is missing")]

mod catalog;
mod chain;
mod clock;
mod compat;
mod compat_random;
mod compat_rust;
mod control;
mod drain;
mod explain;
mod failure;
mod fixture;
mod held;
mod limits;
mod schemas;
