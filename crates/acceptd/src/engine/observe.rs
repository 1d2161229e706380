//! Observe: counts what happens at each edge of the catalog, in memory, and lets the store add it up by day.
//!
//! Counts are statistics: those of the last second before a crash are lost. What nobody declared is no statistic, and
//! is stored before the attempt's end is.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::catalog::{Day, Observation, Times};
use crate::consumer::Consumer;
use crate::delivery::State;
use crate::engine::Engine;
use crate::store::{Accepted, Replay, Settled, Verdict};
use crate::{Delivery, Draft, NewEvent, Result, StoredEvent, Timestamp};

/// Edges that are counted apart; with a consumer of `*` anybody can make up types.
const EDGES_MAX: usize = 10_000;

/// An event that is to be accepted: its type, and its producer's id.
pub(crate) type Asked = (Cow<'static, str>, Option<String>);

/// What was seen since it was stored last.
#[derive(Default)]
pub(crate) struct Observer {
    seen: Mutex<Seen>,
    /// Whether something was seen that shall be stored before anything else.
    is_urgent: AtomicBool,
    /// Told when something was seen.
    noted: Notify,
}

/// Counts by consumer, event type and emitted type.
#[derive(Default)]
struct Seen {
    edges: HashMap<String, HashMap<String, HashMap<String, Counts>>>,
    size: usize,
}

#[derive(Default)]
struct Counts {
    count: u64,
    failed: u64,
    retried: u64,
    last: Timestamp,
    times: Times,
}

impl Counts {
    fn take(&mut self) -> Option<Self> {
        (self.count + self.retried > 0).then(|| std::mem::take(self))
    }
}

impl Seen {
    fn note(&mut self, (consumer, event, emits): (&str, &str, &str), note: impl FnOnce(&mut Counts)) {
        let known = self.edges.get_mut(consumer).and_then(|events| events.get_mut(event)?.get_mut(emits));
        match known {
            Some(counts) => note(counts),
            None if self.size < EDGES_MAX => {
                self.size += 1;
                let events = self.edges.entry(consumer.to_owned()).or_default();
                note(events.entry(event.to_owned()).or_default().entry(emits.to_owned()).or_default());
            }
            None => {}
        }
    }
}

impl Observer {
    fn note(&self, edge: (&str, &str, &str), note: impl FnOnce(&mut Counts)) {
        self.lock().note(edge, note);
        self.noted.notify_one();
    }

    /// Returns when something was seen since it returned last.
    pub(crate) async fn noted(&self) {
        self.noted.notified().await;
    }

    fn take(&self, day: Day) -> Vec<Observation> {
        let mut taken = Vec::new();
        for (consumer, events) in &mut self.lock().edges {
            for (event, edges) in events {
                for (emits, counts) in edges {
                    let Some(Counts { count, failed, retried, last, times }) = counts.take() else { continue };
                    let (event, consumer, emits) = (event.clone(), consumer.clone(), emits.clone());
                    taken.push(Observation { day, event, consumer, emits, count, failed, retried, last, times });
                }
            }
        }
        taken
    }

    fn give_back(&self, observations: Vec<Observation>) {
        for seen in observations {
            self.note((&seen.consumer, &seen.event, &seen.emits), |counts| {
                counts.count += seen.count;
                counts.failed += seen.failed;
                counts.retried += seen.retried;
                counts.last = counts.last.max(seen.last);
                counts.times.add(&seen.times);
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// The types and ids of events on their way into the store; none while nothing is counted.
    pub(crate) fn asked(&self, events: &[NewEvent]) -> Vec<Asked> {
        let asked = |new: &NewEvent| (new.draft.kind.clone(), new.draft.id.clone());
        if self.settings().observe { events.iter().map(asked).collect() } else { Vec::new() }
    }

    /// Those of these events that were not known before were accepted from outside.
    pub(crate) fn observe_accepted(&self, asked: &[Asked], accepted: &Accepted) {
        if asked.is_empty() || accepted.replay != Replay::New {
            return;
        }
        let known: HashSet<&str> = accepted.known.iter().map(|known| known.id.as_str()).collect();
        let is_new = |id: &Option<String>| id.as_ref().is_none_or(|id| !known.contains(id.as_str()));
        let (now, mut seen) = (self.now(), self.0.observer.lock());
        for (kind, _) in asked.iter().filter(|(_, id)| is_new(id)) {
            seen.note(("", kind, ""), |counts| {
                counts.count += 1;
                counts.last = now;
            });
        }
        drop(seen);
        self.0.observer.noted.notify_one();
    }

    /// An attempt ended like this.
    pub(crate) fn observe_end(&self, event: &StoredEvent, verdict: &Verdict, settled: &Settled) {
        let Settled { delivery, .. } = settled;
        self.observe_delivery(event, delivery, matches!(verdict, Verdict::Retry { .. }));
        if let (true, Verdict::Done { emit, .. }) = (self.settings().observe, verdict) {
            // What is not declared was counted before.
            let served = self.0.served.get(&delivery.consumer);
            let declares = |kind: &str| served.is_none_or(|served| served.consumer().declares(kind));
            let declared = emit.iter().map(|new| &new.draft).filter(|draft| declares(&draft.kind));
            declared.for_each(|draft| self.note_emitted(event, &delivery.consumer, draft, false));
        }
    }

    /// A delivery of this event ended, or its attempt failed and another one follows.
    pub(crate) fn observe_delivery(&self, event: &StoredEvent, delivery: &Delivery, failed: bool) {
        let (is_done, is_dead) = (delivery.state == State::Done, delivery.state == State::Dead);
        let is_retried = failed && delivery.state == State::Waiting;
        if !self.settings().observe || !(is_done || is_dead || is_retried) {
            return;
        }
        let now = self.now();
        self.0.observer.note((&delivery.consumer, &event.draft.kind, ""), |counts| {
            counts.last = now;
            counts.retried += u64::from(is_retried);
            if !is_retried {
                counts.count += 1;
                counts.failed += u64::from(is_dead);
                counts.times.note(now.since(event.accepted));
            }
        });
    }

    /// Events were emitted; those that nobody declared are counted at once, whether they are refused or pass.
    pub(crate) fn observe_undeclared(&self, event: &StoredEvent, consumer: &Consumer, emit: &[Draft]) {
        let is_undeclared = |draft: &&Draft| !consumer.declares(&draft.kind) && draft.check().is_ok();
        for draft in emit.iter().filter(is_undeclared).filter(|_| self.settings().observe) {
            self.note_emitted(event, &consumer.name, draft, !consumer.lets_undeclared_pass);
            self.0.observer.is_urgent.store(true, Ordering::Release);
        }
    }

    fn note_emitted(&self, event: &StoredEvent, consumer: &str, draft: &Draft, is_refused: bool) {
        let now = self.now();
        self.0.observer.note((consumer, &event.draft.kind, &draft.kind), |counts| {
            counts.last = now;
            counts.count += 1;
            counts.failed += u64::from(is_refused);
            counts.times.note(now.since(event.accepted));
        });
    }

    /// Stores what was seen, when some of it can't wait.
    pub(crate) async fn store_urgent_observations(&self) {
        if self.0.observer.is_urgent.swap(false, Ordering::AcqRel) {
            // What can't be stored now is kept, and stored with the next.
            self.store_observations().await.ok();
        }
    }

    /// Stores what was seen since the last time.
    pub(crate) async fn store_observations(&self) -> Result<()> {
        let today = Day::of(self.now());
        let seen = self.0.observer.take(today);
        if seen.is_empty() {
            return Ok(());
        }
        let stored = self.0.store.observe(seen.clone(), self.first_day()).await;
        stored.inspect_err(|_| self.0.observer.give_back(seen))
    }

    /// The first day whose observations are kept.
    pub(crate) fn first_day(&self) -> Day {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let days = self.settings().observation_retention.as_secs() / DAY.as_secs();
        Day::of(self.now()).back(u32::try_from(days).unwrap_or(u32::MAX))
    }
}
