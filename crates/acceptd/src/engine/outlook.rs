//! Outlook: when something will start and when an operation will have ended, from rates, slots, the queue, and how long
//! attempts took so far.
//!
//! What follows from events that are not emitted yet is not known and not reckoned with.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::delivery::State;
use crate::engine::Engine;
use crate::engine::monitor::Group;
use crate::store::queue::Bound;
use crate::store::{KeyRef, OperationView};
use crate::{Gate, Timestamp};

/// By how much rates are kept slower than they are declared.
const MARGIN: f64 = 1.005;
/// The furthest estimate.
const FURTHEST: f64 = 366.0 * 24.0 * 3_600.0;

/// What an operation still asks of limits and consumers.
#[derive(Default)]
pub(crate) struct Load {
    /// Positions asked for so far.
    pub(crate) asked: usize,
    keys: BTreeMap<KeyRef, Demand>,
    consumers: BTreeMap<String, u64>,
    /// The latest instant at which something opens or is due.
    opens: Option<Timestamp>,
    /// Whether something of it can't be told.
    unknown: bool,
}

struct Demand {
    bound: Bound,
    /// Starts until the last of the operation's has started.
    starts: u64,
    /// How long each of its own takes, in seconds.
    takes: f64,
}

impl Load {
    /// Adds deliveries of a group that wait; `ahead` come before the first of them.
    pub(crate) fn wait(&mut self, engine: &Engine, group: &Group<'_>, count: u64, ahead: Option<usize>) {
        let name = &group.first.consumer;
        let takes = engine.mean(name);
        *self.consumers.entry(name.clone()).or_default() += count;
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
        // Others in the group take turns with these, as far as there are others.
        let ahead = ahead.unwrap_or(0) as u64;
        let others = standing.waiting.saturating_sub(count);
        let before = ahead + others.saturating_sub(ahead).min(count.saturating_sub(1));
        self.unknown |= takes.is_none() && standing.bounds.iter().all(|bound| bound.per_second.is_none());
        for bound in &standing.bounds {
            let elsewhere = bound.waiting.saturating_sub(standing.waiting).min(count);
            let demand = self.keys.entry(bound.key.clone()).or_insert_with(|| Demand {
                bound: bound.clone(),
                starts: 0,
                takes: 0.0,
            });
            demand.starts += count + before + if demand.starts == 0 { elsewhere } else { 0 };
            demand.takes = demand.takes.max(takes.unwrap_or(0.0));
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
            latest = latest.max(waits + demand.seconds());
        }
        (latest < FURTHEST).then(|| now + Duration::from_secs_f64(latest.max(0.0)))
    }
}

impl Demand {
    fn seconds(&self) -> f64 {
        let starts = self.starts as f64;
        let by_rate = self.bound.per_second.map_or(0.0, |rate| (starts - 1.0).max(0.0) * MARGIN / rate + self.takes);
        let by_slots =
            self.bound.slots.map_or(0.0, |slots| through(starts, f64::from(slots), f64::from(slots), self.takes));
        by_rate.max(by_slots)
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
            let by_slots = bound.slots.zip(takes).map(|(slots, takes)| (ahead as f64 + 0.5) / f64::from(slots) * takes);
            longest = longest.into_iter().chain(by_rate).chain(by_slots).reduce(f64::max);
        }
        longest.filter(|seconds| *seconds < FURTHEST).map(Duration::from_secs_f64)
    }
}
