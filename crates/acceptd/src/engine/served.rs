//! A consumer as this node serves it: how many of its attempts run here, and how long they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::consumer::Consumer;
use crate::limit::Policy;
use crate::store::{Claims, Wanted};
use crate::telemetry::ConsumerMeter;

/// By how much one attempt moves the mean of how long they take: one part in so many.
const MEAN_OF: u64 = 8;

/// A consumer on this node.
pub(crate) struct Served {
    consumer: Consumer,
    policy: Policy,
    running: AtomicUsize,
    /// How many may run after its target asked to be left alone: one more for each that goes well.
    ramp: AtomicUsize,
    /// Whether the last claim found the gate shut: new work is no reason to look again then.
    paused: AtomicBool,
    /// The mean of how long attempts that ended well took, in microseconds; 0 while none did.
    mean: AtomicU64,
    meter: ConsumerMeter,
    /// Wakes whoever claims for it.
    wake: Arc<Notify>,
}

impl Served {
    pub(crate) fn new(consumer: Consumer, policy: Policy, wake: Arc<Notify>) -> Self {
        let meter = ConsumerMeter::new(&consumer.name);
        Self {
            consumer,
            policy,
            running: AtomicUsize::new(0),
            ramp: AtomicUsize::new(usize::MAX),
            paused: AtomicBool::new(false),
            mean: AtomicU64::new(0),
            meter,
            wake,
        }
    }

    pub(crate) fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// How its deliveries wait.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is measured of it.
    pub(crate) fn meter(&self) -> &ConsumerMeter {
        &self.meter
    }

    /// Attempts that run now on this node.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// How many attempts may run on this node now.
    pub(crate) fn slots(&self) -> usize {
        self.consumer.concurrency.min(self.ramp.load(Ordering::Acquire))
    }

    /// What it wants of a claim that gives at most `max`; None without room.
    pub(crate) fn wanted(&self, max: usize) -> Option<Wanted> {
        let free = self.slots().saturating_sub(self.running());
        (free > 0).then(|| Wanted {
            consumer: self.consumer.name.clone(),
            max: free.min(max),
            max_attempts: self.consumer.retry.max_attempts,
            remote_for: self.consumer.target.is_remote().then_some(self.consumer.timeout),
        })
    }

    /// Looks for work soon, unless the gate is shut.
    pub(crate) fn wake(&self) {
        if !self.paused.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    /// What a claim found of its gate.
    pub(crate) fn learn(&self, claims: &Claims) {
        let paused = claims.paused.iter().any(|(name, _)| *name == self.consumer.name);
        self.paused.store(paused, Ordering::Release);
    }

    /// The gate is open, as far as the node knows: looks for work soon if it was shut before.
    pub(crate) fn open(&self) {
        if self.paused.swap(false, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// An attempt was claimed.
    pub(crate) fn enter(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    /// An attempt ended: its slot is free.
    pub(crate) fn leave(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Its target asked to be left alone, and no limit with a rate says how to go on: with one attempt first.
    pub(crate) fn throttled(&self) {
        self.ramp.store(1, Ordering::Release);
    }

    /// An attempt went well and took so long.
    pub(crate) fn went_well(&self, took: Duration) {
        let ramp = self.ramp.load(Ordering::Acquire);
        if ramp != usize::MAX {
            let next = if ramp >= self.consumer.concurrency { usize::MAX } else { ramp + 1 };
            self.ramp.store(next, Ordering::Release);
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let mean = self.mean.load(Ordering::Acquire);
        let next = if mean == 0 { took } else { mean - mean / MEAN_OF + took / MEAN_OF };
        self.mean.store(next.max(1), Ordering::Release);
    }

    /// How long attempts take that end well; None while none did.
    pub(crate) fn mean(&self) -> Option<Duration> {
        match self.mean.load(Ordering::Acquire) {
            0 => None,
            mean => Some(Duration::from_micros(mean)),
        }
    }
}
