//! What acceptd is tested with: the conformance suite of the stores, the model they are compared by, the fault harness,
//! and real servers.
//!
//! Everything here runs inside tests, so an expectation that fails panics.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test kit fails by panicking")]

pub mod factory;
pub mod harness;
pub mod model;
pub mod servers;
pub mod store;
