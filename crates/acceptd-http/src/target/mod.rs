//! Targets that are HTTP endpoints.

mod answer;
mod client;
mod leaving;
mod push;
mod request_span;

pub use client::PushClient;
pub use push::Push;
