//! `#[derive(Event)]` and `#[consumer]`: they parse and expand, and leave everything else to `acceptd`, which exports
//! them.
