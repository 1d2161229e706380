//! Outlook: when something will start and when an operation will have ended, from rates, slots, who waits, and how long
//! attempts took so far.
//!
//! What follows from events that are not emitted yet is not known and not reckoned with.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::delivery::State;
use crate::engine::Engine;
use crate::engine::group::Group;
use crate::store::turnstile::{Blocker, Bound};
use crate::store::{KeyRef, OperationView};
use crate::{Gate, Timestamp};

/// By how much rates are kept slower than they are declared.
const MARGIN: f64 = 1.005;
/// The furthest estimate.
const FURTHEST: f64 = 366.0 * 24.0 * 3_600.0;

/// What an operation still asks of limits and consumers.
#[derive(Default)]
pub(crate) struct Load {
    keys: BTreeMap<KeyRef, Demand>,
    consumers: BTreeMap<String, u64>,
    /// The latest instant at which something opens or is due.
    opens: Option<Timestamp>,
    /// Whether something of it can't be told.
    unknown: bool,
}

struct Demand {
    bound: Bound,
    /// Starts of the operation's own.
    own: u64,
    /// Others that are known to come before the first of its own.
    before: u64,
    /// How long each of its own takes, in seconds.
    takes: f64,
    /// When the next may start, as far as that is known.
    opens: Option<Timestamp>,
}

impl Load {
    /// Adds deliveries that wait.
    pub(crate) fn wait(&mut self, engine: &Engine, group: &Group<'_>) {
        let name = &group.first.consumer;
        let takes = engine.mean(name);
        *self.consumers.entry(name.clone()).or_default() += group.count;
        match group.gate {
            Gate::DueTime => self.opens = self.opens.max(Some(group.first.due)),
            Gate::NoConsumer => self.unknown = true,
            Gate::Pause => self.pause(group.closure.as_ref().and_then(|closure| closure.until)),
            _ => {}
        }
        let Some(standing) = group.standing else {
            self.unknown |= takes.is_none();
            return;
        };
        if let Some(pause) = standing.blocker.as_ref().and_then(|blocker| blocker.pause.as_ref()) {
            self.pause(pause.until);
        }
        self.unknown |= takes.is_none() && standing.bounds.iter().all(|bound| bound.per_second.is_none());
        for bound in &standing.bounds {
            let new = || Demand { bound: bound.clone(), own: 0, before: 0, takes: 0.0, opens: None };
            let demand = self.keys.entry(bound.key.clone()).or_insert_with(new);
            demand.own += group.count;
            demand.takes = demand.takes.max(takes.unwrap_or(0.0));
            let blocker = standing.blocker.as_ref().filter(|blocker| blocker.pause.is_none());
            let is_at = |blocker: &&Blocker| blocker.limit.name == *bound.key.limit && blocker.key == *bound.key.key;
            demand.opens = demand.opens.max(blocker.filter(is_at).and_then(|blocker| blocker.until));
        }
    }

    /// So many come before the first of a group that was added.
    pub(crate) fn stand_behind(&mut self, group: &Group<'_>, ahead: Option<usize>) {
        for bound in group.standing.iter().flat_map(|standing| &standing.bounds) {
            if let Some(demand) = self.keys.get_mut(&bound.key) {
                demand.before = demand.before.max(ahead.unwrap_or(0) as u64);
            }
        }
    }

    fn pause(&mut self, until: Option<Timestamp>) {
        match until {
            Some(until) => self.opens = self.opens.max(Some(until)),
            None => self.unknown = true,
        }
    }

    /// When all of it will have ended; None when that can't be told.
    pub(crate) fn end(&self, engine: &Engine, view: &OperationView) -> Option<Timestamp> {
        if self.unknown || view.operation.ended.is_some() || view.operation.unrouted > 0 {
            return None;
        }
        let now = engine.now();
        let mut latest = 0.0_f64;
        for running in view.live.iter().filter(|delivery| delivery.state == State::Running) {
            let left = engine.mean(&running.consumer)? - now.since(running.since).as_secs_f64();
            latest = latest.max(left);
        }
        let waits = self.opens.map_or(0.0, |opens| opens.since(now).as_secs_f64());
        for (consumer, count) in &self.consumers {
            let takes = engine.mean(consumer).unwrap_or(0.0);
            let (slots, running) = engine.slots(consumer);
            latest = latest.max(waits + through(*count as f64, running as f64, slots as f64, takes));
        }
        for demand in self.keys.values() {
            latest = latest.max(waits + demand.seconds(now));
        }
        (latest < FURTHEST).then(|| now + Duration::from_secs_f64(latest.max(0.0)))
    }
}

impl Demand {
    fn seconds(&self, now: Timestamp) -> f64 {
        // Others take turns with its own, as far as there are others.
        let others = self.bound.waiting.saturating_sub(self.own);
        let starts = (self.own + others.min(self.own.saturating_sub(1)).max(self.before.min(others))) as f64;
        let by_rate = self.bound.per_second.map_or(0.0, |rate| (starts - 1.0).max(0.0) * MARGIN / rate + self.takes);
        let by_slots =
            self.bound.slots.map_or(0.0, |slots| through(starts, f64::from(slots), f64::from(slots), self.takes));
        by_rate.max(by_slots) + self.opens.map_or(0.0, |opens| opens.since(now).as_secs_f64())
    }
}

/// How long so many take through so many slots, of which some are half way through with something else.
fn through(count: f64, running: f64, slots: f64, takes: f64) -> f64 {
    if slots < 1.0 { FURTHEST } else { ((count + running / 2.0) / slots).max(1.0) * takes }
}

impl Engine {
    /// How long attempts of a consumer take, in seconds.
    fn mean(&self, consumer: &str) -> Option<f64> {
        self.0.served.get(consumer)?.mean().map(|mean| mean.as_secs_f64())
    }

    /// When an operation will have ended that was accepted just now; None unless each of its consumers has a free slot.
    pub(crate) fn end_of_new(&self, woken: &[String], due: Timestamp) -> Option<Timestamp> {
        let mut longest = 0.0_f64;
        for consumer in woken {
            let (slots, running) = self.slots(consumer);
            longest = longest.max(self.mean(consumer).filter(|_| running < slots)?);
        }
        (!woken.is_empty()).then(|| due + Duration::from_secs_f64(longest))
    }

    /// The slots of a consumer on this node, and how many of them are taken.
    fn slots(&self, consumer: &str) -> (usize, usize) {
        self.0.served.get(consumer).map_or((0, 0), |served| (served.slots(), served.running()))
    }

    /// How long until the delivery with so many ahead starts, by what its limits allow.
    pub(crate) fn time_to_start(&self, group: &Group<'_>, ahead: usize) -> Option<Duration> {
        let standing = group.standing?;
        let blocker = standing.blocker.as_ref()?;
        let opens = blocker.until.map_or(0.0, |until| until.since(self.now()).as_secs_f64());
        let takes = self.mean(&group.first.consumer);
        let mut longest: Option<f64> = None;
        for bound in &standing.bounds {
            let by_rate = bound.per_second.map(|rate| opens + ahead as f64 * MARGIN / rate);
            // Slots of another key than the one that holds it are free as far as is known.
            let is_held = blocker.limit.name == *bound.key.limit && blocker.key == *bound.key.key;
            let slots = bound.slots.zip(takes).filter(|_| is_held);
            let by_slots = slots.map(|(slots, takes)| (ahead as f64 + 0.5) / f64::from(slots) * takes);
            longest = longest.into_iter().chain(by_rate).chain(by_slots).reduce(f64::max);
        }
        longest.filter(|seconds| *seconds < FURTHEST).map(Duration::from_secs_f64)
    }
}
