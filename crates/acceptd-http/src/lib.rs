//! The HTTP contract of acceptd as an axum router, and HTTP endpoints as consumers.

pub mod cloudevents;
pub mod outcome;
mod outgoing;
mod retry_after;
pub mod signature;
pub mod target;
