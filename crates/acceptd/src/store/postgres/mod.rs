//! The store in PostgreSQL, which many nodes share.

mod error;
mod session;
