//! The stage: what outlives a run of the engine in a test, and the run that goes on now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::consumer::{BeforeStep, Context};
use crate::engine::Settings;
use crate::store::memory::MemoryStore;
use crate::target::Target;
use crate::testing::clock::VirtualClock;
use crate::testing::node::Node;
use crate::testing::script::Script;
use crate::testing::store::NodeStore;
use crate::testing::target::Scripted;
use crate::testing::{Caller, CrashAt, GRACE};
use crate::{Acceptd, Clock, Engine, Timestamp};

/// Adds what a program is made of.
pub(super) type App = dyn Fn(Acceptd) -> Acceptd;

/// How much virtual time a test may take to settle, when it does not say.
const HORIZON: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How often work is looked for without a wake-up.
const POLL: Duration = Duration::from_secs(60);
/// How often things are looked at that nothing in a test depends on.
const RARELY: Duration = Duration::from_secs(3_600);
/// How long a test keeps operations that ended.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// What outlives a run of the engine, and the run that goes on now.
pub(super) struct Stage {
    pub(super) store: Arc<MemoryStore>,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) script: Arc<Script>,
    horizon: Mutex<Duration>,
    run: Mutex<Run>,
}

/// One run of the engine.
#[derive(Clone)]
struct Run {
    /// The how manieth it is.
    number: u64,
    engine: Engine,
    node: Arc<Node>,
    consumers: Arc<[String]>,
    limits: Arc<[String]>,
}

impl Stage {
    pub(super) async fn open(app: &App, caller: Caller) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::seeded(0)), Arc::new(VirtualClock::start()));
        let script = Arc::new(Script::default());
        let run = Run::start(app, (&store, &clock, &script), 0, caller).await;
        Self { store, clock, script, horizon: Mutex::new(HORIZON), run: Mutex::new(run) }
    }

    pub(super) fn engine(&self) -> Engine {
        self.run().engine.clone()
    }

    pub(super) fn node(&self) -> Arc<Node> {
        Arc::clone(&self.run().node)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn horizon(&self) -> Duration {
        *self.horizon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_horizon(&self, horizon: Duration) {
        *self.horizon.lock().unwrap_or_else(PoisonError::into_inner) = horizon;
    }

    /// Panics unless a consumer has this name.
    #[track_caller]
    pub(super) fn check_consumer(&self, name: &str) {
        check_name("consumer", name, &self.run().consumers);
    }

    /// Panics unless a limit has this name.
    #[track_caller]
    pub(super) fn check_limit(&self, name: &str) {
        check_name("limit", name, &self.run().limits);
    }

    /// Kills the node, and lets its handlers be dropped.
    pub(super) async fn kill(&self) {
        self.node().kill();
        self.rest().await;
    }

    /// Runs until the crash that was asked for.
    pub(super) async fn crash_at(&self, consumer: &str, at: CrashAt, caller: Caller) {
        let node = self.node();
        node.crash_at(consumer, at);
        let goal = format!("{consumer} to come to {at}");
        self.run_until("crash_at", &goal, || node.is_dead(), caller).await;
        self.rest().await;
    }

    pub(super) async fn restart(&self, app: &App, caller: Caller) {
        let before = self.run().clone();
        if !before.node.is_dead() {
            before.engine.shut_down(GRACE).await;
            before.node.kill();
        }
        self.rest().await;
        self.store.restart();
        let run = Run::start(app, (&self.store, &self.clock, &self.script), before.number + 1, caller).await;
        *self.run() = run;
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    async fn start(
        app: &App,
        (store, clock, script): (&Arc<MemoryStore>, &Arc<VirtualClock>, &Arc<Script>),
        number: u64,
        caller: Caller,
    ) -> Self {
        let node = Arc::new(Node::new());
        let seen = Arc::new(NodeStore::new(Arc::clone(store), Arc::clone(&node)));
        let scripted = |consumer: &str, target| -> Arc<dyn Target> {
            let (node, script) = (Arc::clone(&node), Arc::clone(script));
            Arc::new(Scripted { consumer: consumer.to_owned(), target, node, script })
        };
        let program = app(Acceptd::new(Arc::clone(&seen) as _)).with_store(seen).with_settings(rarely);
        let program = program.clock(Arc::clone(clock) as _).seed(number).state(before_step(&node));
        let program = program.with_targets(scripted);
        let (consumers, limits) = program.names();
        let engine = match program.start().await {
            Ok(engine) => engine,
            Err(error) => panic!("the program does not start: {error} (at {caller})"),
        };
        Self { number, engine, node, consumers: consumers.into(), limits: limits.into() }
    }
}

/// What runs for its own sake runs as rarely as leases allow, so that a virtual day is cheap.
fn rarely(settings: &mut Settings) {
    settings.rescue_every = settings.rescue_every.max(settings.lease / 2);
    settings.poll_every = settings.poll_every.max(POLL);
    // Nobody looks at gauges here.
    settings.measure_every = Duration::ZERO;
    settings.prune_every = RARELY;
    settings.retention = FOR_EVER;
}

fn before_step(node: &Arc<Node>) -> BeforeStep {
    let node = Arc::clone(node);
    BeforeStep(Arc::new(move |context: &Context, step: &str| {
        let (node, step) = (Arc::clone(&node), step.to_owned());
        let consumer = context.running().claimed.delivery.consumer.clone();
        Box::pin(async move {
            node.pass(&consumer, |at| matches!(at, CrashAt::BeforeStep(name) if *name == step)).await;
        })
    }))
}

#[track_caller]
fn check_name(what: &str, name: &str, names: &[String]) {
    if names.iter().any(|known| known == name) {
        return;
    }
    match crate::engine::nearest(name, names.iter().map(String::as_str)) {
        Some(nearest) => panic!("no {what} is named {name:?}; did you mean {nearest}?"),
        None => panic!("no {what} is named {name:?}"),
    }
}
