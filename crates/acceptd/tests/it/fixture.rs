//! Events and engines that the tests share.

use std::sync::Arc;
use std::time::Duration;

use acceptd::engine::Monitor;
use acceptd::store::memory::MemoryStore;
use acceptd::{Acceptd, Draft, Engine, Event, OperationId, Store, Submission};
use serde::{Deserialize, Serialize};

use crate::clock::TokioClock;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) name: String,
}

impl Event for Start {
    const TYPE: &'static str = "machine.start";
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) name: String,
}

impl Event for Started {
    const TYPE: &'static str = "machine.started";
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) title: String,
}

impl Event for Alarm {
    const TYPE: &'static str = "alarm.create";
}

pub(crate) fn start(name: &str) -> Submission {
    Submission::of(&Start { name: name.into() }).unwrap().owner("user-42")
}

pub(crate) fn plain(kind: &'static str) -> Submission {
    Submission { events: vec![Draft::new(kind)], ..Submission::default() }
}

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

pub(crate) fn on(store: &Arc<dyn Store>) -> Acceptd {
    Acceptd::new(Arc::clone(store)).clock(Arc::new(TokioClock::new()))
}

pub(crate) async fn accept(engine: &Engine, submission: Submission) -> OperationId {
    engine.accept(submission).await.unwrap().operation.id
}

/// Waits for the end; with a paused clock an hour costs nothing.
pub(crate) async fn end(engine: &Engine, id: OperationId) -> Monitor {
    let monitor = engine.wait_for_end(id, Duration::from_secs(3600)).await.unwrap();
    assert!(monitor.status.is_done(), "still {:?}: {:?}", monitor.status, monitor.waiting_on);
    monitor
}

pub(crate) async fn inbox(engine: &Engine, owner: &str) -> Vec<acceptd::Notification> {
    let page = acceptd::store::Page { before: None, size: 100 };
    let query = acceptd::store::NotificationQuery { owner: Some(owner.into()), after: None, page };
    engine.store().notifications(query).await.unwrap().items
}

/// Polls until the condition holds; fails after a minute of the test's time.
pub(crate) async fn eventually<T>(mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..60_000 {
        if let Some(found) = condition().await {
            return found;
        }
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    panic!("the condition did not become true within a minute");
}
