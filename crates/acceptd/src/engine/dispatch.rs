//! Dispatch: one loop for each consumer that claims what is due while slots are free.
//!
//! Only one claim of a consumer is under way at a time; what ends meanwhile frees slots for the next one, so claims
//! grow into batches under load by themselves. Wake-ups are hints: the loop also looks by itself every few seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::consumer::Consumer;
use crate::engine::{Engine, execute};
use crate::store::{Claim, Claims};
use crate::{Error, ErrorKind, Result};

/// The most deliveries taken by one claim.
const CLAIM_MAX: usize = 512;
/// How long a loop sleeps at most, should a wake-up get lost.
const POLL: Duration = Duration::from_secs(5);
/// How long it waits after the store failed.
const STORE_BACKOFF: Duration = Duration::from_millis(200);

pub(crate) struct Dispatcher {
    consumer: Consumer,
    running: AtomicUsize,
    /// Whether the last claim found the gate shut: new work is no reason to look again then.
    paused: AtomicBool,
    wake: Notify,
}

impl Dispatcher {
    pub(crate) fn new(consumer: Consumer) -> Self {
        Self { consumer, running: AtomicUsize::new(0), paused: AtomicBool::new(false), wake: Notify::new() }
    }

    pub(crate) fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Attempts that run now on this node.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Looks for work soon, unless the gate is shut.
    pub(crate) fn wake(&self) {
        if !self.paused.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    /// The gate is open, as far as the node knows: looks for work soon if it was shut before.
    pub(crate) fn open(&self) {
        if self.paused.swap(false, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// An attempt of this consumer ended: its slot is free.
    pub(crate) fn leave(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    pub(crate) fn start(self: &Arc<Self>, engine: &Engine) {
        let (dispatcher, engine) = (Arc::clone(self), engine.clone());
        let tracker = engine.0.tracker.clone();
        tracker.spawn(async move {
            let draining = engine.0.draining.clone();
            draining.run_until_cancelled(dispatcher.run(&engine)).await;
        });
    }

    async fn run(self: Arc<Self>, engine: &Engine) {
        loop {
            let free = self.consumer.concurrency.saturating_sub(self.running());
            if free == 0 {
                self.wake.notified().await;
                continue;
            }
            let max = free.min(CLAIM_MAX);
            let pause = match self.claim(engine, max).await {
                Ok((count, _)) if count == max => continue,
                Ok((_, claims)) => {
                    self.paused.store(claims.paused.is_some(), Ordering::Release);
                    self.idle_time(engine, &claims)
                }
                Err(error) => {
                    tracing::warn!(consumer = self.consumer.name, %error, "claiming failed");
                    STORE_BACKOFF
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Claims and starts; returns how many. Runs apart from the loop: a stored claim must never be dropped half way.
    async fn claim(self: &Arc<Self>, engine: &Engine, max: usize) -> Result<(usize, Claims)> {
        let claim = Claim {
            consumer: self.consumer.name.clone(),
            max,
            node: engine.0.node,
            max_attempts: self.consumer.retry.max_attempts,
            now: engine.now(),
        };
        let (dispatcher, owned) = (Arc::clone(self), engine.clone());
        let claiming = engine.0.tracker.spawn(async move {
            let mut claims = owned.0.store.claim(claim).await?;
            let claimed = std::mem::take(&mut claims.claimed);
            let count = claimed.len();
            dispatcher.running.fetch_add(count, Ordering::AcqRel);
            execute::start(&owned, &dispatcher, claimed);
            Ok((count, claims))
        });
        claiming.await.unwrap_or_else(|gone| Err(Error::new(ErrorKind::Internal, "a claim was lost").caused_by(gone)))
    }

    fn idle_time(&self, engine: &Engine, claims: &Claims) -> Duration {
        let pause_end = claims.paused.flatten();
        let next = [claims.next_due, pause_end].into_iter().flatten().min();
        next.map_or(POLL, |next| next.since(engine.now()).min(POLL) + Duration::from_micros(500))
    }
}
