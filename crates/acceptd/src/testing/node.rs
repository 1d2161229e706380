//! A node: one run of the engine in a test, which can be killed at any moment.

use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::testing::CrashAt;

/// One run of the engine.
pub(super) struct Node {
    died: CancellationToken,
    /// The consumer and the point at which it shall crash next.
    crash: Mutex<Option<(String, CrashAt)>>,
    /// How often it has changed the store.
    changes: watch::Sender<u64>,
}

impl Node {
    pub(super) fn new() -> Self {
        Self { died: CancellationToken::new(), crash: Mutex::default(), changes: watch::Sender::new(0) }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.died.is_cancelled()
    }

    /// Kills it: from now on it changes nothing any more.
    pub(super) fn kill(&self) {
        self.died.cancel();
        self.note_change();
    }

    /// Returns when it is dead.
    pub(super) async fn dead(&self) {
        self.died.cancelled().await;
    }

    /// Returns only while it lives: what a dead node does goes on for ever.
    pub(super) async fn alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    /// Lets it crash when this consumer comes to that point.
    pub(super) fn crash_at(&self, consumer: &str, at: CrashAt) {
        *self.armed() = Some((consumer.to_owned(), at));
    }

    /// A consumer comes to a point; returns only while the node lives.
    pub(super) async fn pass(&self, consumer: &str, is_here: impl Fn(&CrashAt) -> bool + Send) {
        let crashes = self.armed().take_if(|(of, at)| of == consumer && is_here(at)).is_some();
        if crashes {
            self.kill();
        }
        self.alive().await;
    }

    /// Notes that the store changed.
    pub(super) fn note_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// How often the store changed, from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn armed(&self) -> MutexGuard<'_, Option<(String, CrashAt)>> {
        self.crash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
