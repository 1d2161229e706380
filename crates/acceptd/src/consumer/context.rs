//! One attempt, as its target sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::consumer::{Departure, Limiter, Reports, States};
use crate::store::Claimed;
use crate::telemetry::SpanSink;
use crate::{
    DeliveryId, Done, Draft, Event, Fail, Notice, OperationId, Outcome, Result, Store, StoredEvent, Timestamp,
    TraceContext,
};

/// One attempt: the event, who it is for, and what a handler may ask of the engine. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Running>);

/// What an attempt is made of; the engine builds it.
pub struct Running {
    /// The delivery, its event and its owner.
    pub claimed: Arc<Claimed>,
    /// When the attempt will be out of time.
    pub deadline: Timestamp,
    /// The same by a clock that nobody can set.
    pub ends: Instant,
    /// Told when the attempt leaves for its target.
    pub departure: Departure,
    /// Told when the attempt is canceled or the node gives it back.
    pub stop: CancellationToken,
    /// What the application gave its handlers.
    pub states: Arc<States>,
    /// Where progress is collected.
    pub reports: Arc<Reports>,
    /// Where steps are kept.
    pub store: Arc<dyn Store>,
    /// Who gives permits of limits.
    pub limiter: Arc<dyn Limiter>,
    /// Events emitted so far; they count only when the attempt ends well.
    pub emitted: Mutex<Vec<Result<Draft>>>,
    /// What the owner shall be told when the attempt ends well.
    pub notice: Mutex<Option<Notice>>,
    /// Where in which trace the attempt is.
    pub trace: TraceContext,
    /// Who takes its spans, if they are recorded.
    pub spans: Option<Arc<dyn SpanSink>>,
}

impl Context {
    /// The context of an attempt.
    pub fn new(running: Running) -> Self {
        Self(Arc::new(running))
    }

    /// The event.
    pub fn event(&self) -> &StoredEvent {
        &self.0.claimed.event
    }

    /// The delivery's id: the same in every attempt. Pass it on as idempotency key or client token.
    pub fn delivery(&self) -> DeliveryId {
        self.0.claimed.delivery.id
    }

    /// The operation it belongs to.
    pub fn operation(&self) -> OperationId {
        self.0.claimed.delivery.operation
    }

    /// The operation's owner.
    pub fn owner(&self) -> Option<&str> {
        self.0.claimed.owner.as_deref()
    }

    /// Which attempt this is; 1 is the first.
    pub fn attempt(&self) -> u32 {
        self.0.claimed.delivery.attempts
    }

    /// The attempt's fence: receivers that keep the highest one seen can refuse late calls.
    pub fn fence(&self) -> u64 {
        self.0.claimed.delivery.fence
    }

    /// When the attempt will be out of time.
    pub fn deadline(&self) -> Timestamp {
        self.0.deadline
    }

    /// The present instant, by the clock that the deadline was told by.
    pub fn now(&self) -> Timestamp {
        let left = i64::try_from(self.left().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.0.deadline.as_micros().saturating_sub(left))
    }

    /// How much time is left of the attempt. What a remote target is told is a little less: see [`Context::depart`].
    pub fn left(&self) -> Duration {
        self.0.ends.saturating_duration_since(Instant::now())
    }

    /// Where in which trace the attempt is: the place of its `process` span, which is the same whether anybody records
    /// it or not. Requests to others carry it, or a place under it, as `traceparent`.
    pub fn trace(&self) -> &TraceContext {
        &self.0.trace
    }

    /// Who takes spans of this attempt; None where nobody records them.
    pub fn spans(&self) -> Option<&dyn SpanSink> {
        self.0.spans.as_deref()
    }

    /// Says that the attempt leaves for its target now: from here on its start counts for the rates that it keeps. A
    /// remote target says so as late as it can, so that what holds the request up on the way out does not make two of
    /// them arrive together.
    ///
    /// False when less time is left than the target was promised: then nothing must leave any more.
    pub fn depart(&self, promised: Duration) -> bool {
        self.0.departure.depart();
        self.left() >= promised
    }

    /// Returns when the attempt was canceled or its node stops. Handlers need not watch it: they are dropped then.
    pub async fn stopped(&self) {
        self.0.stop.cancelled().await;
    }

    /// The event's data as a Rust value; JSON `null` when it has none.
    ///
    /// # Errors
    /// When the data does not fit the type.
    pub fn payload<E: Event>(&self) -> Result<E> {
        match &self.event().draft.data {
            Some(data) => data.parse(),
            None => crate::Data::new(crate::JSON, "null").parse(),
        }
    }

    /// The attempt's parts, for arguments.
    pub(crate) fn running(&self) -> &Running {
        &self.0
    }

    pub(crate) fn emitted(&self) -> MutexGuard<'_, Vec<Result<Draft>>> {
        self.0.emitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handler's end with the events that it emitted on the way.
    pub(crate) fn complete(&self, mut done: Done) -> Outcome {
        let emitted = std::mem::take(&mut *self.emitted());
        let mut drafts =
            emitted.into_iter().collect::<Result<Vec<_>>>().map_err(|error| Fail::terminal("bad-event", error))?;
        drafts.append(&mut done.emit);
        let notice = self.0.notice.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Done { emit: drafts, notify: done.notify.or(notice), ..done })
    }
}
