//! The API's resources, one file each, and what their lists have in common.

pub(crate) mod catalog;
pub(crate) mod chain;
pub(crate) mod consumers;
pub(crate) mod dead_letters;
pub(crate) mod deliveries;
mod documents;
pub(crate) mod health;
pub(crate) mod items;
pub(crate) mod limits;
pub(crate) mod notifications;
pub(crate) mod operations;
mod pages;
pub(crate) mod schemas;
