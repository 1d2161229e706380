//! The engine on the memory store, with tokio's paused clock: time passes only when everything waits.

mod chain;
mod clock;
mod control;
mod drain;
mod explain;
mod failure;
mod fixture;
mod limits;
