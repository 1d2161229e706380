//! Targets that are HTTP endpoints.

mod answer;
mod client;
mod leaving;
mod push;

pub use client::PushClient;
pub use push::Push;
