//! The HTTP contract of acceptd.

mod outcome;
mod outgoing;
mod retry_after;
pub mod signature;
pub mod target;
