//! Tell: stores the end of an attempt, and tells spans and metrics of it.

use crate::delivery::{Ending, State};
use crate::engine::send::span;
use crate::engine::{Engine, Served};
use crate::store::{Claimed, DeliveryView, Rescued, Settled, Verdict};
use crate::telemetry::{Answer, FinishedSpan, SpanKind, attribute, operation};
use crate::{Attempt, Delivery, ErrorKind, Result, StoredEvent, Timestamp};

/// The span of storing an attempt's end has this number under the attempt's.
const SETTLE: u64 = 2;

/// An attempt: what it was about, and when it began.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) event: &'a StoredEvent,
    pub(crate) began: Timestamp,
}

/// How an attempt ended, for those who look on.
struct Told {
    ending: Ending,
    error: Option<String>,
}

impl Engine {
    /// Stores the end of an attempt and tells of it.
    ///
    /// # Errors
    /// As for [`Engine::store_end`].
    pub(crate) async fn end_attempt(&self, served: &Served, seen: Seen<'_>, verdict: Verdict) -> Result<Settled> {
        let Seen { delivery, event, began } = seen;
        let ended = self.now();
        let (answer, failure) = (answer(&verdict), failure(&verdict));
        let (ending, is_wish) = (ending(&verdict), is_wish(&verdict));
        let sends = match &verdict {
            Verdict::Done { emit, .. } => self.emitted((delivery, event), emit),
            _ => Vec::new(),
        };
        let stored = self.store_end(event, delivery.id, delivery.fence, verdict).await;
        let told = match &stored {
            // Its attempts were used up.
            Ok(settled) if settled.delivery.state == State::Dead => Told { ending: Ending::Dead, error: failure },
            Ok(_) => Told { ending, error: failure },
            Err(error) => {
                let ending = if error.kind() == ErrorKind::Canceled { Ending::Canceled } else { Ending::Lost };
                Told { ending, error: Some(word(error.kind()).to_owned()) }
            }
        };
        tracing::debug!(outcome = told.ending.as_str(), error = told.error, "an attempt ended");
        // One that was lost was counted when it was rescued. What is not running is told of by a call that comes late.
        let is_first = told.ending != Ending::Lost && delivery.state == State::Running;
        if is_first {
            served.meter().ended(told.ending, answer, ended.since(began));
        }
        if told.ending == Ending::Retry {
            served.meter().retried();
        }
        if is_wish {
            self.0.meter.rate_limited.increment(1);
        }
        if let Ok(Settled { ended: Some(status), kind: Some(kind), .. }) = &stored {
            self.0.meter.operation_ended(kind, *status);
        }
        self.tell_attempt(seen, told, (ended, is_first), if stored.is_ok() { sends } else { Vec::new() });
        stored
    }

    /// The spans of an attempt that ended then: itself, what it emitted, and that its end was stored or refused.
    fn tell_attempt(&self, seen: Seen<'_>, told: Told, (ended, is_first): (Timestamp, bool), sends: Vec<FinishedSpan>) {
        let Some(sink) = &self.0.spans else { return };
        let Seen { delivery, event, began } = seen;
        let created = event.trace();
        if !created.is_sampled() {
            return;
        }
        let process = created.of_attempt(delivery);
        let (kind, now) = (&event.draft.kind, self.now());
        sends.into_iter().for_each(|send| sink.ended(send));
        let refused = told.error.clone().filter(|_| matches!(told.ending, Ending::Lost | Ending::Canceled));
        let settle = process.at(process.span.derive(SETTLE));
        let settle = span((operation::SETTLE, kind), SpanKind::Client, settle, (ended, now));
        sink.ended(about(settle, delivery, event).failed(refused).under(Some(process)));
        if is_first {
            sink.ended(process_span(seen, &told, now.max(began)));
        }
    }

    /// An attempt begins then.
    pub(crate) fn tell_wait(&self, claimed: &Claimed, began: Timestamp) {
        let delivery = &claimed.delivery;
        if delivery.held_by.is_some() {
            let since = delivery.due.max(delivery.waiting_since);
            self.0.meter.lock_wait.record(began.since(since).as_secs_f64());
        }
    }

    /// A delivery was taken from whoever ran it.
    pub(crate) async fn tell_rescued(&self, rescued: &Rescued) {
        self.0.meter.leases_lost.increment(1);
        if let Some(served) = self.0.served.get(&rescued.delivery.consumer) {
            let took = rescued.attempt.as_ref().map_or_else(Default::default, |lost| lost.ended.since(lost.started));
            served.meter().ended(Ending::Lost, Answer::Nothing, took);
            if rescued.delivery.state == State::Waiting {
                served.meter().retried();
            }
        }
        if let (Some(status), Some(kind)) = (rescued.ended, &rescued.kind) {
            self.0.meter.operation_ended(kind, status);
        }
        let (Some(sink), Some(lost)) = (&self.0.spans, &rescued.attempt) else { return };
        // Without its event there is nothing to tell; it is asked for only here, where few ever come.
        let Ok(DeliveryView { event, .. }) = self.0.store.delivery(rescued.delivery.id).await else { return };
        if event.trace().is_sampled() {
            let Attempt { fence, number, started, ended, .. } = *lost;
            let delivery = Delivery { fence, attempts: number, ..rescued.delivery.clone() };
            let told = Told { ending: Ending::Lost, error: Some("lost".to_owned()) };
            let seen = Seen { delivery: &delivery, event: &event, began: started };
            sink.ended(process_span(seen, &told, ended));
        }
    }
}

/// The span of an attempt.
fn process_span(seen: Seen<'_>, told: &Told, end: Timestamp) -> FinishedSpan {
    let Seen { delivery, event, began } = seen;
    let created = event.trace();
    let process = created.of_attempt(delivery);
    let span = span((operation::PROCESS, &event.draft.kind), SpanKind::Consumer, process, (began, end));
    let span = about(span, delivery, event)
        .with(attribute::DELIVERY, delivery.id.to_string())
        .with(attribute::ATTEMPT, delivery.attempts)
        .with(attribute::OUTCOME, told.ending.as_str())
        .failed(told.error.clone());
    FinishedSpan { parent: Some(created.clone()), links: vec![created], ..span }
}

fn about(span: FinishedSpan, delivery: &Delivery, event: &StoredEvent) -> FinishedSpan {
    span.with(attribute::CONSUMER, delivery.consumer.clone())
        .with(attribute::MESSAGE, event.id().into_owned())
        .with(attribute::CONVERSATION, delivery.operation.to_string())
}

fn ending(verdict: &Verdict) -> Ending {
    match verdict {
        Verdict::Done { .. } => Ending::Done,
        Verdict::Retry { .. } => Ending::Retry,
        Verdict::Snooze { .. } => Ending::Snoozed,
        Verdict::Throttled { .. } => Ending::Throttled,
        Verdict::Release { .. } => Ending::Released,
        Verdict::GiveUp { .. } => Ending::Dead,
    }
}

fn answer(verdict: &Verdict) -> Answer {
    match verdict {
        Verdict::Done { .. } | Verdict::Snooze { .. } => Answer::Done,
        // What it answered was well, and could not be taken.
        Verdict::GiveUp { outcome: Some(_), .. } => Answer::Done,
        Verdict::Retry { failure, .. } | Verdict::Throttled { failure, .. } | Verdict::GiveUp { failure, .. } => {
            Answer::of(failure)
        }
        Verdict::Release { .. } => Answer::Nothing,
    }
}

fn failure(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Retry { failure, .. } | Verdict::Throttled { failure, .. } | Verdict::GiveUp { failure, .. } => {
            Some(failure.code.clone())
        }
        Verdict::Done { .. } | Verdict::Snooze { .. } | Verdict::Release { .. } => None,
    }
}

fn is_wish(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Throttled { .. } | Verdict::Done { pause: Some(_), .. })
}

/// Why an end was refused, in a word for machines.
fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StaleFence => "stale-fence",
        ErrorKind::AlreadySettled => "already-settled",
        ErrorKind::Canceled => "canceled",
        _ => "store",
    }
}
