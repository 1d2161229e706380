//! Runs that prove limits: services that keep account of every visit, and an audit of what they were asked for.
//!
//! The [`service`]s stand outside of acceptd and see each request when the kernel does (`stamp`), so that neither
//! their own delays nor a stopped process hide anything. [`cast`] says which consumers and limits there are, [`world`]
//! plays a run with its faults, and the [`audit`] holds what was seen against what was allowed.

pub mod audit;
pub mod cast;
mod clock;
pub mod service;
mod stamp;
pub mod world;
