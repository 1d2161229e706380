//! The HTTP contract of acceptd as an axum router, and HTTP endpoints as consumers.
//!
//! A request goes through `router` (which call), `call` (what every request needs), and its handler: `front_door`
//! accepts, `api` looks and acts, `stream` follows. Everything that goes wrong leaves as a problem of `problem`.
//!
//! An axum application mounts the router of [`Api`], and accepts in handlers of its own through [`FrontDoor`].

mod accept_headers;
mod accepted;
mod api;
mod batch;
mod body;
mod call;
pub mod cloudevents;
mod front_door;
mod idempotency;
mod monitor;
pub mod outcome;
mod outgoing;
mod prefer;
mod problem;
mod rate_limit;
mod retry_after;
mod router;
mod server;
mod settings;
pub mod signature;
mod site;
mod stream;
pub mod target;

pub use accepted::{Accepted, Accepting, Api, FrontDoor, Refusal};
pub use problem::{PROBLEMS, ProblemKind, errors_markdown};
pub use router::router;
pub use server::serve;
pub use settings::{HttpSettings, RenderMetrics};
