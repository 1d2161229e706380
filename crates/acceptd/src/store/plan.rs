//! What a verb changes, decided without IO. A store loads the rows, asks here, and writes what it is told.

use crate::delivery::{self, Action, Attempt, Refusal, State};
use crate::notification::ending_notice;
use crate::operation::Operation;
use crate::store::turnstile::{Grant, Wish};
use crate::store::{Accept, Claim, Serving, Settle, Take, Verdict};
use crate::{
    Closure, Data, Delivery, DeliveryId, Draft, Error, ErrorKind, EventKey, Failure, Ids, NewEvent, NodeId, Notice,
    Notification, Route, StoredEvent, Timestamp,
};

/// Rows to write for an accepted operation.
#[derive(Debug)]
pub struct NewOperation {
    /// The operation.
    pub operation: Operation,
    /// Its root events, each with a flag whether no consumer takes it yet.
    pub events: Vec<(StoredEvent, bool)>,
    /// Their deliveries.
    pub deliveries: Vec<Delivery>,
}

/// Rows to write when something happened to a delivery.
#[derive(Debug)]
pub struct Change {
    /// The operation afterwards.
    pub operation: Operation,
    /// The delivery afterwards.
    pub delivery: Delivery,
    /// The record of an attempt that ended.
    pub attempt: Option<Attempt>,
    /// Events emitted.
    pub events: Vec<StoredEvent>,
    /// Their deliveries.
    pub deliveries: Vec<Delivery>,
    /// The delivery's result.
    pub result: Option<Data>,
    /// Messages to owners.
    pub notifications: Vec<Notification>,
    /// Whether the operation ended with this.
    pub concluded: bool,
    /// Until when the attempt's slots stay held, when nobody will hear of its end.
    pub lingers: Option<Timestamp>,
}

/// Plans an accept of events that are all new.
pub fn accept(accept: &Accept, ids: &mut Ids) -> NewOperation {
    let now = accept.now;
    let kind = accept.events.first().map(|event| event.draft.kind.to_string()).unwrap_or_default();
    let mut operation = Operation::new(ids.next(now), kind, accept.owner.clone(), accept.priority, now);
    let mut events = Vec::with_capacity(accept.events.len());
    let mut deliveries = Vec::with_capacity(accept.events.len());
    for new in &accept.events {
        let event = stored(new, &operation, None, 0, now, ids);
        operation.unrouted += u32::from(new.routes.is_empty());
        route(&event.key, &new.routes, &mut operation, (accept.due, now), ids, &mut deliveries);
        events.push((event, new.routes.is_empty()));
    }
    NewOperation { operation, events, deliveries }
}

/// Plans the accept of an operation that was submitted: its event has the ordinal after its own, and its deliveries
/// have others, as those have that are made later.
pub fn take(take: &Take, now: Timestamp, ids: &mut Ids) -> NewOperation {
    let submitted = &take.submitted;
    // Its clock may be ahead of this one.
    let (created, kind) = (submitted.created.min(now), submitted.draft.kind.to_string());
    let mut operation = Operation::new(submitted.id, kind, submitted.owner.clone(), submitted.priority, created);
    operation.unrouted = u32::from(take.routes.is_empty());
    let event = StoredEvent {
        key: ids.at(submitted.id.ordinal() + 1),
        operation: operation.id,
        cause: None,
        depth: 0,
        accepted: created,
        draft: submitted.draft.clone(),
    };
    let mut deliveries = Vec::with_capacity(take.routes.len());
    let due = submitted.due.unwrap_or(now).max(now);
    route(&event.key, &take.routes, &mut operation, (due, now), ids, &mut deliveries);
    NewOperation { operation, events: vec![(event, take.routes.is_empty())], deliveries }
}

/// Plans that a delivery which waits becomes a dead letter without being run: one attempt that ended as it began.
///
/// # Errors
/// `Conflict` when it does not wait.
pub fn refuse(
    failure: &Failure,
    delivery: &Delivery,
    operation: Operation,
    (node, now): (NodeId, Timestamp),
    ids: &mut Ids,
) -> crate::Result<Change> {
    let claim = Action::Claim { node, max_attempts: 1, deadline: None, held_by: None };
    let (claimed, _) = delivery::transition(delivery, &claim, now).map_err(|refusal| refused(delivery, refusal))?;
    let verdict = delivery::Verdict::GiveUp { failure: failure.clone() };
    let action = Action::Settle { fence: claimed.fence, verdict };
    let mut change = apply(&claimed, operation, &action, now)?;
    change.concluded = conclude(&mut change.operation, &mut change.notifications, now, ids);
    Ok(change)
}

/// Plans the deliveries of one event that just found its consumers; `times` are when they are due, and now.
pub fn route(
    event: &EventKey,
    routes: &[Route],
    operation: &mut Operation,
    times: (Timestamp, Timestamp),
    ids: &mut Ids,
    into: &mut Vec<Delivery>,
) {
    for route in routes {
        operation.add(route.weight);
        into.push(Delivery::new(ids.next(times.1), operation, *event, route, times));
    }
}

/// Ends an operation whose last event just found its consumers, if none of them decides it. Answers the notifications
/// and whether it ended.
pub fn routed(operation: &mut Operation, now: Timestamp, ids: &mut Ids) -> (Vec<Notification>, bool) {
    let mut notifications = Vec::new();
    let concluded = conclude(operation, &mut notifications, now, ids);
    (notifications, concluded)
}

/// What a claim does to a delivery.
pub fn claim(claim: &Claim, delivery: &Delivery, grant: &Grant) -> Action {
    let wanted = claim.wanted.iter().find(|wanted| wanted.consumer == delivery.consumer);
    // Whoever is at the other end has this long: what starts later has less.
    let remote_for = wanted.and_then(|wanted| wanted.remote_for).filter(|_| !grant.keys.is_empty());
    Action::Claim {
        node: claim.node,
        max_attempts: wanted.map_or(1, |wanted| wanted.max_attempts),
        deadline: remote_for.map(|remote_for| grant.start + remote_for),
        held_by: grant.held_by.clone(),
    }
}

/// Plans a settle. `cause` is the event that the delivery carries.
///
/// # Errors
/// `StaleFence`, `AlreadySettled` or `Canceled`.
pub fn settle(
    settle: &Settle,
    delivery: &Delivery,
    operation: Operation,
    cause: impl FnOnce() -> crate::Result<StoredEvent>,
    ids: &mut Ids,
) -> crate::Result<Change> {
    let action = Action::Settle { fence: settle.fence, verdict: (&settle.verdict).into() };
    let mut change = apply(delivery, operation, &action, settle.now)?;
    if let Verdict::Done { result, emit, notify, progress, .. } = &settle.verdict {
        change.result = result.clone();
        if progress.is_some() {
            change.delivery.progress.clone_from(progress);
        }
        if !emit.is_empty() {
            emit_events(&mut change, emit, &cause()?, settle.now, ids);
        }
        if let Some(notice) = notify {
            notify_owner(&mut change, notice, settle.now, ids);
        }
    }
    if let Verdict::GiveUp { outcome, .. } = &settle.verdict {
        change.result = outcome.clone();
    }
    change.concluded = conclude(&mut change.operation, &mut change.notifications, settle.now, ids);
    Ok(change)
}

/// The error of accepting an outcome that there is not.
pub fn no_outcome(delivery: DeliveryId) -> Error {
    Error::new(ErrorKind::Conflict, format!("no outcome of delivery {delivery} was kept"))
}

/// Plans what a rescue, cancel, revive or discard does.
///
/// # Errors
/// The refusal as an error.
pub fn act(
    action: &Action,
    delivery: &Delivery,
    operation: Operation,
    now: Timestamp,
    ids: &mut Ids,
) -> crate::Result<Change> {
    let mut change = apply(delivery, operation, action, now)?;
    change.concluded = conclude(&mut change.operation, &mut change.notifications, now, ids);
    Ok(change)
}

/// Plans what a cancel makes of root events that no consumer has taken: each counts as one canceled delivery.
/// Answers the operation afterwards and the notifications.
pub fn abandon(mut operation: Operation, now: Timestamp, ids: &mut Ids) -> (Operation, Vec<Notification>) {
    let mut notifications = Vec::new();
    operation.abandon(now);
    conclude(&mut operation, &mut notifications, now, ids);
    (operation, notifications)
}

fn apply(delivery: &Delivery, mut operation: Operation, action: &Action, now: Timestamp) -> crate::Result<Change> {
    let (next, attempt) = delivery::transition(delivery, action, now).map_err(|refusal| refused(delivery, refusal))?;
    operation.moved(delivery.weight, delivery.state, next.state, now);
    if let Some(attempt) = &attempt {
        operation.settled(attempt.started);
        let decides = delivery.weight == crate::Weight::Tracked || operation.tracked.total == 0;
        if next.state == State::Dead && decides {
            operation.failure.clone_from(&attempt.failure);
        }
    }
    Ok(Change {
        operation,
        delivery: next,
        attempt,
        events: Vec::new(),
        deliveries: Vec::new(),
        result: None,
        notifications: Vec::new(),
        concluded: false,
        lingers: delivery::lingers(delivery, action),
    })
}

fn emit_events(change: &mut Change, emit: &[NewEvent], cause: &StoredEvent, now: Timestamp, ids: &mut Ids) {
    for new in emit {
        let event = stored(new, &change.operation, Some(cause), cause.depth + 1, now, ids);
        route(&event.key, &new.routes, &mut change.operation, (now, now), ids, &mut change.deliveries);
        change.events.push(event);
    }
}

fn notify_owner(change: &mut Change, notice: &Notice, now: Timestamp, ids: &mut Ids) {
    if change.delivery.weight == crate::Weight::Inbox {
        change.operation.told = true;
    }
    let id = ids.next(now);
    change.notifications.push(Notification::from_notice(id, notice, &change.operation, now));
}

fn conclude(operation: &mut Operation, into: &mut Vec<Notification>, now: Timestamp, ids: &mut Ids) -> bool {
    let concluded = operation.conclude(now);
    if let (true, Some((status, _))) = (operation.owes_notification(), operation.ended) {
        let notice = ending_notice(operation, status);
        operation.told = true;
        into.push(Notification::from_notice(ids.next(now), &notice, operation, now));
    }
    concluded
}

fn stored(
    new: &NewEvent,
    operation: &Operation,
    cause: Option<&StoredEvent>,
    depth: u32,
    now: Timestamp,
    ids: &mut Ids,
) -> StoredEvent {
    StoredEvent {
        key: ids.next(now),
        operation: operation.id,
        cause: cause.map(|cause| cause.id().into_owned()),
        depth,
        accepted: now,
        draft: new.draft.clone(),
    }
}

/// The event type that says that an operation has ended.
pub const OPERATION_ENDED: &str = "acceptd.operation.ended";

/// Plans the operation that tells consumers of an operation's end; None when nobody takes it, and for its own end.
pub fn announce(ended: &Operation, takers: &[Serving], now: Timestamp, ids: &mut Ids) -> Option<NewOperation> {
    let (status, at) = ended.ended.filter(|_| ended.kind != OPERATION_ENDED && !takers.is_empty())?;
    let tally = ended.deciding();
    let data = serde_json::json!({
        "operation": ended.id,
        "type": ended.kind,
        "status": status,
        "owner": ended.owner,
        "createTime": ended.created,
        "endTime": at,
        "progress": { "total": tally.total, "done": tally.done, "failed": tally.dead, "canceled": tally.canceled },
    });
    let mut draft = Draft::new(OPERATION_ENDED);
    draft.subject = Some(ended.id.to_string());
    draft.data = Data::json(&data).ok();
    let routes = takers.iter().map(|taker| taker.route_anyway(&draft, ended.owner.as_deref())).collect();
    let told = Accept {
        events: vec![NewEvent { draft, routes }],
        owner: None,
        due: now,
        priority: ended.priority,
        idempotency: None,
        backlog_max: u64::MAX,
        now,
    };
    Some(accept(&told, ids))
}

/// Who paused what a target asked to be left alone.
pub const TARGET: &str = "target";

/// Which limit something was learned of, None for all that the delivery took; and until when to leave it alone.
pub type Lesson<'a> = (Option<&'a str>, Option<(Closure, Wish)>);

/// What a settle says about the limits of its delivery: which one, and until when to leave it alone; None in place of
/// the closure says that all went well.
pub fn lesson(settle: &Settle) -> Option<Lesson<'_>> {
    let closure = |until: Timestamp, reason: &str| {
        let (by, reason) = (TARGET.to_owned(), reason.to_owned());
        Closure { gate: crate::Gate::Pause, from: settle.now, until: Some(until), by, reason }
    };
    match &settle.verdict {
        Verdict::Done { pause: Some(pause), .. } => {
            Some((None, Some((closure(pause.until, &pause.reason), Wish::Spent))))
        }
        Verdict::Done { pause: None, .. } => Some((None, None)),
        Verdict::Throttled { due, failure, limit } => {
            Some((limit.as_deref(), Some((closure(*due, &failure.message), Wish::Refused))))
        }
        _ => None,
    }
}

/// A refusal as the error that callers get.
pub fn refused(delivery: &Delivery, refusal: Refusal) -> Error {
    let kind = match refusal {
        Refusal::StaleFence => ErrorKind::StaleFence,
        Refusal::AlreadySettled => ErrorKind::AlreadySettled,
        Refusal::Canceled => ErrorKind::Canceled,
        Refusal::WrongState(_) => ErrorKind::Conflict,
    };
    Error::new(kind, format!("delivery {}: {refusal}", delivery.id))
}

impl From<&Verdict> for delivery::Verdict {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Done { .. } => Self::Done,
            Verdict::Retry { due, failure, unfinished } => {
                Self::Retry { due: *due, failure: failure.clone(), unfinished: *unfinished }
            }
            Verdict::Snooze { due } => Self::Snooze { due: *due },
            Verdict::Throttled { due, failure, .. } => Self::Throttled { due: *due, failure: failure.clone() },
            Verdict::Release { unfinished } => Self::Release { unfinished: *unfinished },
            Verdict::GiveUp { failure, .. } => Self::GiveUp { failure: failure.clone() },
        }
    }
}

/// The failure that an operation shows while it is not ended well.
pub fn shown_failure(operation: &Operation) -> Option<&Failure> {
    operation.failure.as_ref().filter(|_| operation.deciding().dead > 0)
}
