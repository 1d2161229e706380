//! The store in PostgreSQL, which many nodes share.

#![allow(dead_code)]

mod error;
mod query;
mod row;
mod session;
