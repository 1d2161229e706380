//! Tells watchers on this node that an operation or an inbox changed. Hints only: the store has the state.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::OperationId;
use crate::store::Settled;

/// Who watches what.
#[derive(Default)]
pub struct Changes(Arc<Registry>);

#[derive(Default)]
struct Registry {
    operations: Mutex<HashMap<OperationId, watch::Sender<()>>>,
    watched: AtomicUsize,
    inbox: watch::Sender<()>,
}

impl Changes {
    /// Watches an operation from now on.
    pub fn operation(&self, id: OperationId) -> Watcher {
        let mut operations = self.0.lock();
        let receiver = operations.entry(id).or_default().subscribe();
        self.0.watched.store(operations.len(), Ordering::Release);
        Watcher { receiver, of: Some((id, Arc::clone(&self.0))) }
    }

    /// Watches all inboxes from now on.
    pub fn inbox(&self) -> Watcher {
        Watcher { receiver: self.0.inbox.subscribe(), of: None }
    }

    /// Something of this operation changed.
    pub(crate) fn touch(&self, id: OperationId) {
        if self.0.watched.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(sender) = self.0.lock().get(&id) {
            sender.send_replace(());
        }
    }

    /// A notification was written.
    pub(crate) fn notified(&self) {
        self.0.inbox.send_replace(());
    }

    /// Anything may have changed: other nodes did something.
    pub(crate) fn touch_all(&self) {
        self.notified();
        if self.0.watched.load(Ordering::Acquire) > 0 {
            self.0.lock().values().for_each(|sender| sender.send_replace(()));
        }
    }

    pub(crate) fn settled(&self, settled: &Settled) {
        self.touch(settled.delivery.operation);
        if !settled.notified.is_empty() {
            self.notified();
        }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, watch::Sender<()>>> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees changes from the moment it was made.
pub struct Watcher {
    receiver: watch::Receiver<()>,
    of: Option<(OperationId, Arc<Registry>)>,
}

impl Watcher {
    /// Returns when something changed since the last call; several changes are one.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Some((id, registry)) = &self.of else { return };
        let mut operations = registry.lock();
        // This watcher's own receiver is still counted.
        if operations.get(id).is_some_and(|sender| sender.receiver_count() <= 1) {
            operations.remove(id);
        }
        registry.watched.store(operations.len(), Ordering::Release);
    }
}
