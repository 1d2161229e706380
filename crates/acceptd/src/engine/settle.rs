//! Settle: turn an attempt's outcome into a verdict by the consumer's policy, and store it until it is stored.

use std::time::Duration;

use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::engine::execute::Attempted;
use crate::engine::kept;
use crate::engine::served::Served;
use crate::engine::tell::Seen;
use crate::store::{Claimed, HoldId, Settle, Settled, Verdict};
use crate::{
    Delivery, DeliveryId, Done, Draft, Error, ErrorKind, Fail, Failure, NewEvent, Next, Outcome, Result, StoredEvent,
    Throttle, Timestamp,
};

/// How long the engine waits before it tries to store an end again.
const AGAIN: Duration = Duration::from_millis(250);
/// The longest that a target may ask to be left alone.
const THROTTLE_MAX: Duration = Duration::from_secs(24 * 3600);

impl Engine {
    /// Stores how an attempt on this node ended.
    pub(crate) async fn finish(&self, served: &Served, claimed: &Claimed, began: Timestamp, attempted: Attempted) {
        let (consumer, Claimed { delivery, event, owner, .. }) = (served.consumer(), claimed);
        let seen = Seen { delivery, event, began };
        let release = |unfinished| Verdict::Release { unfinished };
        let _steady = self.0.steady.read().await;
        let stored = match attempted {
            Attempted::Ended(outcome, at) => {
                let verdict = self.verdict(consumer, (delivery, event, owner.as_deref()), outcome, at);
                self.hold_off(claimed, &verdict);
                self.end_attempt(served, seen, verdict).await.map(drop)
            }
            Attempted::TakenOver(lease) => self.hand_over(served, seen, lease).await,
            Attempted::Stopped => self.end_attempt(served, seen, release(true)).await.map(drop),
            Attempted::Unstarted => self.store_end(event, delivery.id, delivery.fence, release(false)).await.map(drop),
        };
        self.0.reports.take(delivery.id);
        if let Err(error) = stored {
            let (id, operation) = (delivery.id, delivery.operation);
            tracing::info!(delivery = %id, %operation, %error, "the end of an attempt was not taken");
        }
    }

    /// What an outcome means for its delivery. Instants in it are told by a clock that showed `at` when it was told.
    pub(crate) fn verdict(
        &self,
        consumer: &Consumer,
        (delivery, event, owner): (&Delivery, &StoredEvent, Option<&str>),
        outcome: Outcome,
        at: Timestamp,
    ) -> Verdict {
        let now = self.now();
        // A throttle ends in the future, and not later than a day from now.
        let until = |until: Timestamp| now + until.since(at).min(THROTTLE_MAX);
        match outcome {
            Ok(done) => {
                let pause = done.pause.clone().map(|pause| Throttle { until: until(pause.until), ..pause });
                self.done(consumer, delivery, (event, owner), Done { pause, ..done })
            }
            Err(Fail { failure, next: Next::Throttled { until: wished, limit }, unfinished }) => {
                let next = Next::Throttled { until: until(wished), limit };
                self.failed(consumer, delivery, Fail { failure, next, unfinished })
            }
            Err(fail) => self.failed(consumer, delivery, fail),
        }
    }

    /// Stores an end and tells everyone whom it concerns. Tries again for as long as the store can't and may later.
    ///
    /// # Errors
    /// `StaleFence`, `AlreadySettled`, `Canceled`: it was not taken.
    pub(crate) async fn store_end(
        &self,
        event: &StoredEvent,
        delivery: DeliveryId,
        fence: u64,
        verdict: Verdict,
    ) -> Result<Settled> {
        self.store_urgent_observations().await;
        loop {
            let settle = Settle { delivery, fence, verdict: verdict.clone(), now: self.now() };
            match self.0.store.settle(settle).await {
                Ok(settled) => {
                    self.wake(&settled.woken);
                    self.0.freed.notify_waiters();
                    self.0.changes.settled(&settled);
                    self.observe_end(event, &verdict, &settled);
                    self.learn_pause(&verdict, &settled.delivery.consumer).await;
                    return Ok(settled);
                }
                Err(error) if error.is_retryable() && self.0.store.health().writable => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    self.heard_late(delivery, fence, &verdict, &error).await;
                    return Err(error);
                }
            }
        }
    }

    /// The end of an attempt that was given up before is known now: its slots need not be held any longer.
    async fn heard_late(&self, delivery: DeliveryId, fence: u64, verdict: &Verdict, error: &Error) {
        let is_open =
            matches!(verdict, Verdict::Release { unfinished: true } | Verdict::Retry { unfinished: true, .. });
        let is_late = matches!(error.kind(), ErrorKind::StaleFence | ErrorKind::AlreadySettled | ErrorKind::Canceled);
        if is_open || !is_late {
            return;
        }
        // When this fails they are free at the attempt's deadline.
        if let Ok(woken) = self.0.store.give_back(HoldId { delivery, fence, permit: 0 }).await {
            self.wake(&woken);
            self.0.freed.notify_waiters();
        }
    }

    /// A target that asks to be left alone is left alone at once, also by what was claimed and has not started.
    fn hold_off(&self, claimed: &Claimed, verdict: &Verdict) {
        let (until, limit) = match verdict {
            Verdict::Throttled { due, limit, .. } => (*due, limit.as_deref()),
            Verdict::Done { pause: Some(pause), .. } => (pause.until, None),
            _ => return,
        };
        let keys = claimed.keys.iter().map(|granted| &granted.key);
        let wait = until.since(self.now());
        self.0.pacer.pause(keys.filter(|key| limit.is_none_or(|limit| limit == &*key.limit)), wait);
        if let Some(served) = self.0.served.get(&claimed.delivery.consumer).filter(|_| claimed.keys.is_empty()) {
            served.throttled();
        }
    }

    /// A throttled attempt has paused its consumer: explanations shall say so at once.
    async fn learn_pause(&self, verdict: &Verdict, consumer: &str) {
        let is_wish = matches!(verdict, Verdict::Throttled { .. } | Verdict::Done { pause: Some(_), .. });
        if is_wish && self.closure(consumer).is_none() {
            // The next heartbeat learns it if this one fails.
            self.heartbeat().await.ok();
        }
    }

    async fn hand_over(&self, served: &Served, seen: Seen<'_>, lease: Duration) -> Result<()> {
        let (now, delivery) = (self.now(), seen.delivery);
        match self.0.store.extend(delivery.id, delivery.fence, now + lease, now).await {
            // The target may have called its end in before its 202 was read.
            Err(error) if error.kind() == ErrorKind::AlreadySettled => Ok(()),
            Err(error) if error.is_retryable() => {
                let fail = Fail::retry("taken-over", format!("the lease could not be stored: {error}"));
                let verdict = self.failed(served.consumer(), delivery, fail);
                self.end_attempt(served, seen, verdict).await.map(drop)
            }
            other => other,
        }
    }

    fn done(
        &self,
        consumer: &Consumer,
        delivery: &Delivery,
        (event, owner): (&StoredEvent, Option<&str>),
        done: Done,
    ) -> Verdict {
        self.observe_undeclared(event, consumer, &done.emit);
        let emit = match self.follow(consumer, (delivery, event), owner, &done.emit) {
            Ok(emit) => emit,
            Err(failure) => return Verdict::GiveUp { failure, outcome: kept::keep(&done) },
        };
        let progress = done.progress.or_else(|| self.0.reports.take(delivery.id));
        Verdict::Done { result: done.result, emit, notify: done.notify, progress, pause: done.pause }
    }

    /// The events that follow from a delivery, each with its consumers.
    ///
    /// # Errors
    /// Why they can't be taken.
    pub(super) fn follow(
        &self,
        consumer: &Consumer,
        (delivery, event): (&Delivery, &StoredEvent),
        owner: Option<&str>,
        emit: &[Draft],
    ) -> Result<Vec<NewEvent>, Failure> {
        self.check_emits(consumer, event, emit)?;
        let follow = |(index, draft): (usize, &Draft)| {
            let mut draft = self.0.schemas.checked(draft.clone()).map_err(|error| {
                let message = format!("{} emitted {}, and {}", consumer.name, draft.kind, error.message());
                Failure::new("invalid-data", message)
            })?;
            if draft.source == "/acceptd" {
                draft.source = format!("/consumers/{}", consumer.name).into();
            }
            self.place_emitted((delivery, event), index, &mut draft);
            self.0.router.emitted(draft, owner).map_err(|error| Failure::new("bad-event", Error::message(&error)))
        };
        emit.iter().enumerate().map(follow).collect()
    }

    fn check_emits(&self, consumer: &Consumer, event: &StoredEvent, emit: &[Draft]) -> Result<(), Failure> {
        if let Some(error) = emit.iter().find_map(|draft| draft.check().err()) {
            return Err(Failure::new("bad-event", error));
        }
        let is_undeclared = |draft: &&Draft| !consumer.lets_undeclared_pass && !consumer.declares(&draft.kind);
        if let Some(draft) = emit.iter().find(is_undeclared) {
            let (name, kind) = (&consumer.name, &draft.kind);
            let message =
                format!("{name} emitted {kind}, which it does not declare; add it to its emits and accept the outcome");
            return Err(Failure::new("undeclared-emit", message));
        }
        let depth_max = self.settings().depth_max;
        if !emit.is_empty() && event.depth >= depth_max {
            let message = format!("{depth_max} events follow one another already: is it a loop?");
            return Err(Failure::new("chain-too-deep", message));
        }
        Ok(())
    }

    fn failed(&self, consumer: &Consumer, delivery: &Delivery, fail: Fail) -> Verdict {
        let (now, policy, failure, unfinished) = (self.now(), &consumer.retry, fail.failure, fail.unfinished);
        match fail.next {
            Next::Retry => {
                let due = now + policy.backoff(delivery.attempts, self.0.chance.fraction());
                Verdict::Retry { due, failure, unfinished }
            }
            Next::RetryAfter(after) => Verdict::Retry { due: now + after, failure, unfinished },
            Next::Snooze(after) => Verdict::Snooze { due: now + after },
            Next::Throttled { until, limit } => {
                let since = delivery.throttled_since.unwrap_or(now);
                if now.since(since) >= policy.give_up_after {
                    let limit = crate::duration::format_duration(policy.give_up_after);
                    let message = format!("throttled for longer than {limit}: {}", failure.message);
                    return Verdict::GiveUp { failure: Failure::new("throttled", message), outcome: None };
                }
                Verdict::Throttled { due: until, failure, limit }
            }
            Next::GiveUp => Verdict::GiveUp { failure, outcome: None },
        }
    }
}

/// The error of a call for a delivery whose consumer is not served here.
pub(crate) fn not_served(delivery: &Delivery) -> Error {
    Error::new(ErrorKind::Unavailable, format!("consumer {} is not served here", delivery.consumer))
}
