//! Permits: a limit around a single call within a handler.

use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::consumer::{Acquiring, Context, Limiter};
use crate::engine::pace::Go;
use crate::engine::{Engine, Inner};
use crate::store::{HoldId, KeyRef, Permit, Permitted};

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
            if let Ok(woken) = engine.0.store.give_back(permit, engine.now()).await {
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
            let permit = Permit { delivery, fence, key: key.clone(), now: self.now() };
            match self.0.store.permit(permit).await? {
                Permitted::Held { id, grant } => {
                    tokio::time::sleep(grant.start.since(self.now())).await;
                    loop {
                        match self.0.pacer.ask(&grant.keys, self.now()) {
                            Go::Now => {
                                self.0.pacer.left(&grant.keys);
                                return Ok(id);
                            }
                            Go::After(wait) => tokio::time::sleep(wait).await,
                            Go::Back => break,
                        }
                    }
                    let woken = self.0.store.give_back(id, self.now()).await?;
                    self.wake(&woken);
                }
                Permitted::Busy(again) => {
                    let wait = again.map_or(AGAIN, |again| again.since(self.now())).clamp(REST, AGAIN);
                    tokio::select! {
                        () = freed => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }
}
