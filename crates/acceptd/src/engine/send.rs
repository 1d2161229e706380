//! Send: where accepted and emitted events are in a trace, and the spans of their being created.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::engine::{Engine, Submission};
use crate::store::{Accepted, Replay};
use crate::telemetry::{FinishedSpan, SpanKind, SpanSink, attribute, operation};
use crate::trace::{SpanId, TRACEPARENT};
use crate::{Delivery, Draft, EventKey, NewEvent, OperationId, StoredEvent, Timestamp, TraceContext};

/// The events that the span of a batch is linked to at most.
const LINKS_MAX: usize = 128;
/// The span of the first event that an attempt emits has this number under the attempt's, the next one the next.
const FIRST_SEND: u64 = 16;

/// Events on their way into the store, as far as spans tell of them.
pub(crate) struct Sending {
    start: Timestamp,
    parent: Option<TraceContext>,
    events: Vec<Sent>,
}

struct Sent {
    kind: Cow<'static, str>,
    id: Option<String>,
    source: Cow<'static, str>,
    /// Whether it says itself where it was created.
    is_placed: bool,
    /// Where it was created; None where that follows from its ids.
    place: Option<TraceContext>,
}

impl Engine {
    /// Gives the events of a submission their place in the trace that it belongs to. Answers what the spans are made
    /// of once they are stored; None where nobody records them.
    pub(crate) fn begin_send(&self, submission: &mut Submission) -> Option<Sending> {
        let parent = submission.trace.take();
        let records = self.0.spans.is_some() && parent.as_ref().is_none_or(TraceContext::is_sampled);
        let events = &mut submission.events;
        if !records {
            if let Some(parent) = &parent {
                events.iter_mut().filter(|draft| !is_placed(draft)).for_each(|draft| draft.set_trace(parent));
            }
            return None;
        }
        let sent = |draft: &mut Draft| {
            let is_placed = is_placed(draft);
            if let (false, Some(parent)) = (is_placed, &parent) {
                draft.set_trace(&parent.at(SpanId::random()));
            }
            let (kind, id, source) = (draft.kind.clone(), draft.id.clone(), draft.source.clone());
            Sent { kind, id, source, is_placed, place: draft.trace() }
        };
        let events = events.iter_mut().map(sent).collect();
        Some(Sending { start: self.now(), parent, events })
    }

    /// Tells of a submission that was stored.
    pub(crate) fn end_send(&self, sending: Option<Sending>, accepted: &Accepted) {
        let (Some(sink), Some(sending)) = (&self.0.spans, sending) else { return };
        if accepted.replay == Replay::New {
            sending.tell(accepted, self.now(), &**sink);
        }
    }

    /// Gives an event that an attempt emits, one of several, its place in the trace. Nothing is stored where it follows
    /// from ids: when the event before did not come with a place and nobody records spans.
    pub(crate) fn place_emitted(&self, before: (&Delivery, &StoredEvent), index: usize, draft: &mut Draft) {
        let (delivery, event) = before;
        if is_placed(draft) || (self.0.spans.is_none() && event.draft.trace().is_none()) {
            return;
        }
        let process = event.trace().of_attempt(delivery);
        let records = self.0.spans.is_some() && process.is_sampled();
        draft.set_trace(&if records { nth_send(&process, index) } else { process });
    }

    /// The spans of emitted events, to be told of once they are stored.
    pub(crate) fn emitted(&self, before: (&Delivery, &StoredEvent), emit: &[NewEvent]) -> Vec<FinishedSpan> {
        let (delivery, event) = before;
        if self.0.spans.is_none() || emit.is_empty() {
            return Vec::new();
        }
        let (now, process) = (self.now(), event.trace().of_attempt(delivery));
        let sent = |(index, new): (usize, &NewEvent)| {
            let place = nth_send(&process, index);
            let (kind, link) = match new.draft.trace() {
                Some(own) if own != place => (SpanKind::Client, Some(own)),
                _ => (SpanKind::Producer, None),
            };
            let span = span((operation::SEND, &new.draft.kind), kind, place, (now, now)).under(Some(process.clone()));
            let span = FinishedSpan { links: link.into_iter().collect(), ..span };
            let span = span.with(attribute::CONVERSATION, delivery.operation.to_string());
            match &new.draft.id {
                Some(id) => span.with(attribute::MESSAGE, id.clone()),
                None => span,
            }
        };
        if process.is_sampled() { emit.iter().enumerate().map(sent).collect() } else { Vec::new() }
    }
}

impl Sending {
    fn tell(self, accepted: &Accepted, end: Timestamp, sink: &dyn SpanSink) {
        let (times, operation) = ((self.start, end), accepted.operation.id);
        let is_batch = self.events.len() > 1;
        let mut places = Vec::with_capacity(self.events.len().min(LINKS_MAX));
        for (sent, key) in self.stored(accepted) {
            let place = sent.place.clone().unwrap_or_else(|| TraceContext::of_event(&operation, &key));
            let span = match (is_batch, sent.is_placed) {
                (true, true) => None,
                (true, false) => Some(span((operation::CREATE, &sent.kind), SpanKind::Producer, place.clone(), times)),
                (false, false) => Some(span((operation::SEND, &sent.kind), SpanKind::Producer, place.clone(), times)),
                (false, true) => {
                    let context = self.parent.as_ref().unwrap_or(&place).at(SpanId::random());
                    let span = span((operation::SEND, &sent.kind), SpanKind::Client, context, times);
                    Some(FinishedSpan { links: vec![place.clone()], ..span })
                }
            };
            let parent = self.parent.clone().or_else(|| (sent.is_placed && !is_batch).then(|| place.clone()));
            if let Some(span) = span.filter(|span| span.context.is_sampled()) {
                let message = sent.id.clone().unwrap_or_else(|| key.to_string());
                let span = span.with(attribute::CONVERSATION, operation.to_string());
                sink.ended(span.with(attribute::MESSAGE, message).under(parent));
            }
            if places.len() < LINKS_MAX {
                places.push(place);
            }
        }
        if is_batch {
            sink.ended(self.batch(operation, (&accepted.operation.kind, accepted.events.len()), places, times));
        }
    }

    /// The span of a whole batch.
    fn batch(
        &self,
        id: OperationId,
        (kind, count): (&str, usize),
        links: Vec<TraceContext>,
        times: (Timestamp, Timestamp),
    ) -> FinishedSpan {
        let context = match &self.parent {
            Some(parent) => parent.at(SpanId::random()),
            None => TraceContext::of_operation(&id),
        };
        let span = span((operation::SEND, kind), SpanKind::Client, context, times).under(self.parent.clone());
        let span = span.with(attribute::CONVERSATION, id.to_string()).with(attribute::BATCH_COUNT, count);
        FinishedSpan { links, ..span }
    }

    /// The events that were stored, with their keys: not those that were known before, nor the second of a pair.
    fn stored<'a>(&'a self, accepted: &'a Accepted) -> impl Iterator<Item = (&'a Sent, EventKey)> {
        let known: HashSet<&str> = accepted.known.iter().map(|known| known.id.as_str()).collect();
        let mut seen = HashSet::new();
        let fresh = self.events.iter().filter(move |sent| {
            let Some(id) = &sent.id else { return true };
            !known.contains(id.as_str()) && seen.insert((&sent.source, id))
        });
        fresh.zip(accepted.events.iter().copied())
    }
}

fn is_placed(draft: &Draft) -> bool {
    draft.extensions.contains_key(TRACEPARENT)
}

fn nth_send(process: &TraceContext, index: usize) -> TraceContext {
    process.at(process.span.derive(FIRST_SEND + index as u64))
}

/// A span about an event type, with what all of these have.
pub(crate) fn span(
    (done, kind): (&'static str, &str),
    span_kind: SpanKind,
    context: TraceContext,
    times: (Timestamp, Timestamp),
) -> FinishedSpan {
    // In the words of the conventions the types are named like our operations.
    FinishedSpan::new(format!("{done} {kind}"), span_kind, context, times)
        .with(attribute::SYSTEM, "acceptd")
        .with(attribute::OPERATION_NAME, done)
        .with(attribute::OPERATION_TYPE, done)
        .with(attribute::DESTINATION, kind.to_owned())
}
