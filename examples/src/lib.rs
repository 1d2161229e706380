//! What the runnable examples share.

pub mod ec2;
