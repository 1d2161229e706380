//! Tests for programs that use acceptd: the real engine on the store in memory and a virtual clock, without network.
//!
//! Put `acceptd = { features = ["testing"], .. }` into the dev-dependencies. The program has one function that adds its
//! consumers, limits and states; `main` calls it with [`Acceptd::open`], and a test gives it to [`start`]. A test runs
//! on tokio's paused time, so an hour costs nothing:
//!
//! ```
//! use acceptd::testing::{self, CrashAt};
//! use acceptd::{Acceptd, Consumer, Done, Emits, Event, Fail, Limit, Outcome, Steps};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct OrderPlaced { cents: u64 }
//! impl Event for OrderPlaced {
//!     const TYPE: &'static str = "order.placed";
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct CardCharged { receipt: String }
//! impl Event for CardCharged {
//!     const TYPE: &'static str = "card.charged";
//! }
//!
//! async fn charge_card(order: OrderPlaced, steps: Steps, mut out: Emits<(CardCharged,)>) -> Outcome {
//!     let receipt = steps.run("charge", async || Ok::<_, Fail>(format!("receipt over {}", order.cents))).await?;
//!     out.emit(CardCharged { receipt });
//!     Done::new()
//! }
//!
//! fn shop(app: Acceptd) -> Acceptd {
//!     let charge_card = Consumer::new("charge-card", charge_card).limit("stripe");
//!     app.limit(Limit::new("stripe").concurrency(1)).consumer(charge_card)
//! }
//!
//! # /*
//! #[tokio::test(start_paused = true)]
//! # */
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() { a_card_is_charged_through_throttling_and_a_crash().await }
//! async fn a_card_is_charged_through_throttling_and_a_crash() {
//!     let t = testing::start(shop).await;
//!     t.throttle_next("charge-card", "30s");
//!     let order = t.accept(OrderPlaced { cents: 995 }).owner("u1").await;
//!
//!     t.advance("29s").await;
//!     order.assert_waits_for("stripe");
//!
//!     t.crash_at("charge-card", CrashAt::AfterStep("charge")).await;
//!     t.restart().await;
//!     t.settle().await;
//!
//!     order.assert_succeeded().assert_emitted::<CardCharged>();
//!     assert_eq!(t.inbox("u1").titles(), ["order.placed is done"]);
//! }
//! ```
//!
//! What is left to chance repeats: the same test gives the same [`TestOperation::story`] each time it runs.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

mod accept;
mod catalog;
mod clock;
mod crash;
mod expect;
mod inbox;
mod node;
mod operation;
mod outcome;
mod read;
mod run_one;
mod script;
mod scripting;
mod stage;
mod store;
mod story;
mod stuck;
mod target;
mod time;

pub use accept::Accepting;
pub use catalog::{catalog_json, check_catalog};
pub use clock::VirtualClock;
pub use crash::CrashAt;
pub use expect::Waits;
pub use inbox::Inbox;
pub use operation::TestOperation;
pub use outcome::DoneExt;
pub use run_one::{RunOne, TestAttempt, run_one};

pub use crate::assert_catalog;

use crate::store::DeadLetter;
use crate::{Acceptd, Engine, Timestamp};
use stage::{App, Stage};

/// Where a test called.
type Caller = &'static Location<'static>;

/// How long attempts that run may go on when a test restarts an engine that lives.
const GRACE: Duration = Duration::from_secs(30);

/// A program under test.
pub struct Test {
    app: Box<App>,
    stage: Arc<Stage>,
}

/// Starts a program on an empty store in memory. `app` adds what the program is made of; it is called again at each
/// [`Test::restart`].
///
/// # Panics
/// Unless time is paused, and when the program does not start.
#[track_caller]
pub fn start(app: impl Fn(Acceptd) -> Acceptd + 'static) -> impl Future<Output = Test> {
    assert!(
        clock::is_paused(),
        "a test of acceptd needs tokio's paused time: write #[tokio::test(start_paused = true)]"
    );
    let caller = Location::caller();
    async move {
        let stage = Stage::open(&app, caller).await;
        Test { app: Box::new(app), stage: Arc::new(stage) }
    }
}

impl Test {
    /// The engine that runs now, for everything else that a program does with it.
    pub fn engine(&self) -> Engine {
        self.stage.engine()
    }

    /// The present virtual instant; a test starts at 2026-01-01T00:00:00Z.
    pub fn now(&self) -> Timestamp {
        self.stage.now()
    }

    /// The notifications of an owner.
    pub fn inbox(&self, owner: &str) -> Inbox {
        Inbox::new(self.stage.notifications(owner))
    }

    /// Every dead letter, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.stage.dead_letters()
    }

    /// Runs until a consumer comes to this point for the next time, and crashes there: nothing of the engine changes
    /// the store any more, and its handlers are dropped. Go on with [`Test::restart`].
    ///
    /// # Panics
    /// When no attempt of the consumer comes there.
    #[track_caller]
    pub fn crash_at(&self, consumer: &str, at: CrashAt) -> impl Future<Output = ()> {
        let caller = Location::caller();
        self.stage.check_consumer(consumer);
        async move { self.stage.crash_at(consumer, at, caller).await }
    }

    /// Crashes at once.
    pub async fn crash(&self) {
        self.stage.kill().await;
    }

    /// Starts the engine again on the same store. One that crashed left attempts behind: they are rescued when its
    /// lease is over. One that lives is shut down first, as at a deploy.
    ///
    /// # Panics
    /// When the program does not start.
    #[track_caller]
    pub fn restart(&self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move { self.stage.restart(&self.app, caller).await }
    }
}
