//! The store in PostgreSQL, which many nodes share.

#![allow(dead_code)]

mod error;
mod items;
mod list;
mod observed;
mod query;
mod row;
mod session;
