//! Turns a slow endpoint into an accepted one: the request is stored durably and answered at once, and the work runs
//! as a chain of events that survives crashes and deploys, says what it waits for, and tells its owner how it ended.
//!
//! The modules, in reading order: what things are ([`event`], [`delivery`], [`operation`], [`outcome`], [`retry`],
//! [`limit`], [`wait`], [`notification`], [`catalog`]), who takes them ([`mod@consumer`], [`target`]), where they are
//! kept ([`store`]), what moves them ([`engine`]), how one operation went ([`story`]), and what is told of it all
//! ([`trace`], [`telemetry`]).

// What the macros write says `::acceptd`, here too.
extern crate self as acceptd;

pub mod catalog;
mod clock;
pub mod consumer;
mod data;
pub mod delivery;
pub mod duration;
pub mod engine;
mod error;
pub mod event;
pub mod fault;
mod id;
pub mod limit;
pub mod notification;
pub mod operation;
pub mod outcome;
pub mod retry;
mod safe;
pub mod store;
pub mod story;
pub mod target;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod timestamp;
pub mod trace;
pub mod wait;

/// Makes a struct or an enum the data of an event type; see the trait [`Event`].
pub use acceptd_macros::Event;
/// Gives an async function a consumer of the same name; see [`Consumer`].
pub use acceptd_macros::consumer;
pub use catalog::{Catalog, EventDeclaration};
pub use clock::{Clock, ManualClock, SteadyClock, SystemClock, Uptime};
pub use consumer::{Consumer, Context, Emits, Limits, NamedLimit, Notify, Permits, Progress, State, Steps};
pub use data::{Data, JSON, NESTING_MAX, check_json, is_json};
pub use delivery::{Attempt, Delivery};
pub use engine::{Acceptd, Engine, Settings, Submission};
pub use error::{Error, ErrorKind, Place, Result};
pub use event::{Draft, Event, NewEvent, Route, StoredEvent, Weight};
pub use id::{DeliveryId, EventKey, Ids, NodeId, NotificationId, OperationId};
pub use limit::Limit;
pub use notification::Notification;
pub use operation::{Operation, Status};
pub use outcome::{Done, Fail, FailExt, Failure, Level, Next, Notice, Outcome, ProgressReport, Throttle};
pub use retry::RetryPolicy;
pub use schemars;
pub use store::Store;
pub use story::Story;
pub use timestamp::Timestamp;
pub use trace::TraceContext;
pub use wait::{Closure, Gate, Wait};
