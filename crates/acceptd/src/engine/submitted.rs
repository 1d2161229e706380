//! Takes up what was submitted in the store by others than this engine's callers: checks and routes it like an accept.
//! What an accept would refuse becomes a dead letter, because nobody waits for the refusal any more.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::Engine;
use crate::store::{Accepted, Submitted, Take, TakeSubmitted, Taken};
use crate::{ErrorKind, Failure, NewEvent, Result, check_json};

/// Operations that are taken at once.
const SLICE: usize = 500;
/// How long it rests when it found nothing.
const PAUSE: Duration = Duration::from_millis(50);
/// It rests at least so many times as long as the look took, so that looking never costs much.
const PATIENCE: u32 = 10;

/// Takes what comes until the engine stops.
pub(crate) fn start(engine: &Engine) {
    let owned = engine.clone();
    engine.0.tracker.spawn(async move {
        let draining = owned.0.draining.clone();
        let mut rests = PAUSE;
        while draining.run_until_cancelled(tokio::time::sleep(rests)).await.is_some() {
            let began = Instant::now();
            rests = match owned.take_submitted().await {
                Ok(SLICE..) => Duration::ZERO,
                Ok(_) => PAUSE.max(began.elapsed() * PATIENCE),
                Err(error) => {
                    tracing::warn!(%error, "what was submitted in the store can't be taken now");
                    PAUSE * PATIENCE
                }
            };
        }
    });
}

impl Engine {
    /// Takes a slice of what was submitted; returns how many it found. While the backlog is full they stay where they
    /// are.
    async fn take_submitted(&self) -> Result<usize> {
        let store = &self.0.store;
        if store.health().backlog >= self.settings().backlog_max {
            return Ok(0);
        }
        let found = store.submitted(self.0.router.patterns().into_iter().collect(), SLICE).await?;
        let count = found.len();
        if count == 0 {
            return Ok(0);
        }
        let takes: Vec<Take> = found.into_iter().map(|one| self.plan_take(one)).collect();
        match self.take(takes.clone()).await {
            Err(error) if count > 1 && error.kind() == ErrorKind::Internal => {
                // One that can't be taken does not keep the others.
                for take in takes {
                    let id = take.submitted.id;
                    if let Err(error) = self.take(vec![take]).await {
                        tracing::error!(operation = %id, %error, "a submitted operation can't be taken");
                    }
                }
            }
            taken => taken?,
        }
        Ok(count)
    }

    async fn take(&self, takes: Vec<Take>) -> Result<()> {
        let _steady = self.0.steady.read().await;
        let events: Vec<_> = takes.iter().map(|take| self.asked_of(take)).collect();
        let ids: Vec<_> = takes.iter().map(|take| take.submitted.id).collect();
        let take = TakeSubmitted { takes, node: self.0.node, now: self.now() };
        for Taken { accepted, notified } in self.0.store.take_submitted(take).await? {
            if let Some(at) = ids.iter().position(|id| *id == accepted.operation.id) {
                self.observe_accepted(&events[at], &accepted);
            }
            self.tell_taken(&accepted);
            if !notified.is_empty() {
                self.0.changes.notified();
            }
        }
        Ok(())
    }

    fn tell_taken(&self, accepted: &Accepted) {
        let operation = &accepted.operation;
        if let Some((status, _)) = operation.ended {
            self.0.meter.operation_ended(&operation.kind, status);
        }
        self.0.changes.touch(operation.id);
        self.wake(&accepted.woken);
    }

    fn asked_of(&self, take: &Take) -> Vec<crate::engine::observe::Asked> {
        self.asked(&[NewEvent { draft: take.submitted.draft.clone(), routes: Vec::new() }])
    }

    fn plan_take(&self, mut submitted: Submitted) -> Take {
        if let Some(key) = &mut submitted.idempotency {
            key.expires = self.now() + self.settings().idempotency_retention;
        }
        let owner = submitted.owner.as_deref();
        let nesting = submitted.draft.data.as_ref().map_or(Ok(()), |data| check_json(&data.bytes));
        match nesting.and_then(|()| self.route_root(submitted.draft.clone(), owner)) {
            Ok(NewEvent { draft, routes }) => {
                Take { submitted: Submitted { draft, ..submitted }, routes, refused: None }
            }
            Err(error) => {
                let routes = self.0.router.anyway(&submitted.draft, owner);
                Take { refused: Some(Failure::new("invalid-data", error.message())), routes, submitted }
            }
        }
    }
}
