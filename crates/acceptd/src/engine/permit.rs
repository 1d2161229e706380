//! Permits: a limit around a single call within a handler.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::consumer::{Acquiring, Context, Limiter};
use crate::engine::pace::Go;
use crate::engine::{Engine, Inner};
use crate::store::turnstile::Grant;
use crate::store::{HoldId, KeyRef, Permit, Permitted};
use crate::{DeliveryId, Error, ErrorKind, Result};

/// How long one waits at most before it looks again by itself.
const AGAIN: Duration = Duration::from_millis(500);
/// The shortest rest between two looks.
const REST: Duration = Duration::from_millis(1);

impl Limiter for Inner {
    fn acquire(self: Arc<Self>, context: &Context, key: KeyRef) -> Acquiring<'_> {
        Box::pin(Engine(self).acquire(context, key))
    }

    fn give_back(self: Arc<Self>, permit: HoldId) {
        let engine = Engine(self);
        let tracker = engine.0.tracker.clone();
        tracker.spawn(async move {
            // When this fails the permit ends with its attempt.
            if let Ok(woken) = engine.0.store.give_back(permit).await {
                engine.wake(&woken);
            }
            engine.0.freed.notify_waiters();
        });
    }
}

impl Engine {
    async fn acquire(self, context: &Context, key: KeyRef) -> Result<HoldId> {
        let (delivery, fence) = (context.delivery(), context.fence());
        loop {
            let freed = self.0.freed.notified();
            // Asked apart from the handler, which may stop waiting at any moment: what is granted then is given back.
            let (engine, key) = (self.clone(), key.clone());
            let asking = self.0.tracker.spawn(async move { engine.ask_for_permit(delivery, fence, key).await });
            let gone = |gone| Error::new(ErrorKind::Internal, "a permit was lost").caused_by(gone);
            match asking.await.map_err(gone)?? {
                Asked::Held { unused, grant, start } => {
                    tokio::time::sleep_until(start).await;
                    loop {
                        match self.0.pacer.ask(&grant.keys) {
                            Go::Now => {
                                self.0.pacer.left(&grant.keys);
                                return Ok(unused.used());
                            }
                            Go::After(wait) => tokio::time::sleep(wait).await,
                            Go::Back => break,
                        }
                    }
                }
                Asked::Busy(wait) => {
                    tokio::select! {
                        () = freed => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Asks the store once. What it answers in time is told by a clock that nobody can set.
    async fn ask_for_permit(&self, delivery: DeliveryId, fence: u64, key: KeyRef) -> Result<Asked> {
        let _steady = self.0.steady.read().await;
        let now = self.now();
        Ok(match self.0.store.permit(Permit { delivery, fence, key, now }).await? {
            Permitted::Held { id, grant } => {
                let unused = Unused { engine: self.clone(), id, is_used: false };
                Asked::Held { unused, start: self.instant(grant.start), grant }
            }
            Permitted::Busy(again) => {
                Asked::Busy(again.map_or(AGAIN, |again| again.since(self.now())).clamp(REST, AGAIN))
            }
        })
    }
}

/// What the store said to a permit.
enum Asked {
    Held { unused: Unused, grant: Grant, start: Instant },
    Busy(Duration),
}

/// A permit that nobody uses yet: given back when it is dropped.
struct Unused {
    engine: Engine,
    id: HoldId,
    is_used: bool,
}

impl Unused {
    /// From now on it is its user's to give back.
    fn used(mut self) -> HoldId {
        self.is_used = true;
        self.id
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        if !self.is_used {
            Arc::clone(&self.engine.0).give_back(self.id);
        }
    }
}
