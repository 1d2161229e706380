//! The engine: accept → dispatch → execute → settle, each one file, over a [`Store`].
//!
//! It holds the store behind its trait, is told the time by a [`Clock`], names no adapter and knows no HTTP. What it
//! keeps in memory can be rebuilt from the store: who waits is there, here is only who runs on this node.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod accept;
mod builder;
mod callback;
mod catalog;
mod chance;
mod changes;
mod control;
mod dispatch;
mod elsewhere;
mod execute;
mod gate;
mod group;
mod kept;
mod limits;
mod maintenance;
mod monitor;
mod observe;
mod outlook;
mod pace;
mod permit;
mod route;
mod schemas;
mod send;
mod served;
mod service;
mod settle;
mod story;
mod submitted;
mod tell;

pub use accept::Submission;
pub use builder::{Acceptd, Settings};
pub use callback::Callback;
pub use changes::{Changes, Watcher};
pub use limits::describe_limit;
pub use monitor::Monitor;
pub use route::nearest;

pub use crate::wait::{Holder, WaitingOn};

use crate::catalog::EventDeclaration;
use crate::consumer::{Consumer, Reports, States};
use crate::limit::Limit;
use crate::telemetry::{EngineMeter, SpanSink};
use crate::{Clock, Closure, DeliveryId, NodeId, Result, Store, Timestamp};
use chance::Chance;
use observe::Observer;
use pace::Pacer;
use route::Router;
use schemas::Schemas;
use served::Served;

/// A running engine. Cheap to clone; [`Engine::shut_down`] ends it gracefully.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

pub(crate) struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    chance: Chance,
    node: NodeId,
    router: Router,
    declared: BTreeMap<String, EventDeclaration>,
    schemas: Schemas,
    /// The limits as they are declared, locks among them.
    limits: Vec<Limit>,
    served: BTreeMap<String, Arc<Served>>,
    pacer: Pacer,
    /// Held for reading by whoever reads the time and stores what follows from it, until it is stored; and for writing
    /// while the clock follows the machine's, so that nothing is stored in the time of before.
    steady: tokio::sync::RwLock<()>,
    /// Told when a slot of a limit is free again.
    freed: Notify,
    states: Arc<States>,
    reports: Arc<Reports>,
    running: Attempts,
    closures: RwLock<HashMap<String, Closure>>,
    changes: Changes,
    observer: Observer,
    meter: EngineMeter,
    spans: Option<Arc<dyn SpanSink>>,
    draining: CancellationToken,
    stopped: CancellationToken,
    tracker: TaskTracker,
}

/// The attempts that run on this node, with the token that stops each.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<DeliveryId, CancellationToken>>);

impl Attempts {
    fn enter(&self, delivery: DeliveryId, stop: CancellationToken) {
        self.lock().insert(delivery, stop);
    }

    fn leave(&self, delivery: DeliveryId) {
        self.lock().remove(&delivery);
    }

    fn stop(&self, deliveries: &[DeliveryId]) {
        let running = self.lock();
        deliveries.iter().filter_map(|delivery| running.get(delivery)).for_each(CancellationToken::cancel);
    }

    fn stop_all(&self) {
        self.lock().values().for_each(CancellationToken::cancel);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DeliveryId, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// The present instant by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The settings it runs with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Tells who watches an operation or an inbox that something changed.
    pub fn changes(&self) -> &Changes {
        &self.0.changes
    }

    /// Whether it accepts no more because it is stopping.
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Returns when it starts to stop: streams end then.
    pub async fn draining(&self) {
        self.0.draining.cancelled().await;
    }

    /// Stops: accepts and starts nothing more, lets attempts that run finish within `grace`, then gives the rest back
    /// uncounted. Returns when all of that is stored.
    pub async fn shut_down(&self, grace: Duration) {
        let inner = &self.0;
        inner.draining.cancel();
        inner.tracker.close();
        if tokio::time::timeout(grace, inner.tracker.wait()).await.is_err() {
            inner.running.stop_all();
            inner.tracker.wait().await;
        }
        if let Err(error) = self.store_observations().await {
            tracing::info!(%error, "what was seen of the catalog's edges in the last second is lost");
        }
        inner.stopped.cancel();
    }

    /// The same instant by a clock that nobody can set.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        Instant::now() + at.since(self.now())
    }

    pub(crate) fn wake(&self, consumers: &[String]) {
        if !consumers.is_empty() {
            self.0.freed.notify_waiters();
        }
        for name in consumers {
            if let Some(served) = self.0.served.get(name) {
                served.wake();
            }
        }
    }

    /// Shows that this node lives and learns which gates are shut; explanations go by that.
    pub(crate) async fn heartbeat(&self) -> Result<()> {
        let closures = self.0.store.heartbeat(self.0.node, self.now(), self.0.clock.uptime()).await?;
        let closures: HashMap<_, _> = closures.into_iter().collect();
        let open = self.0.served.iter().filter(|(name, _)| !closures.contains_key(*name));
        open.for_each(|(_, served)| served.open());
        *self.0.closures.write().unwrap_or_else(PoisonError::into_inner) = closures;
        Ok(())
    }

    fn closure(&self, consumer: &str) -> Option<Closure> {
        let closures = self.0.closures.read().unwrap_or_else(PoisonError::into_inner);
        closures.get(consumer).filter(|closure| closure.holds_at(self.now())).cloned()
    }
}

/// Checks consumers before anything starts.
fn check_consumers(consumers: &[Consumer], states: &States) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    for consumer in consumers {
        consumer.check(states)?;
        if !names.insert(consumer.name.as_str()) {
            return Err(crate::Error::invalid(format!("two consumers are named {}", consumer.name)));
        }
    }
    Ok(())
}
