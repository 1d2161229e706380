//! Accepting: a replay is answered with what was accepted before, the rest is written at once.

use std::borrow::Cow;
use std::collections::HashSet;

use super::tables::Tables;
use super::{Book, Stop, Try};
use crate::store::{Accept, Accepted, IdempotencyKey, KnownEvent, Replay, plan};
use crate::{Error, ErrorKind, NewEvent, Operation, Timestamp};

pub(in crate::store) fn accept<T: Tables>(book: &mut Book<T>, accept: &Accept) -> Try<Accepted, T> {
    if accept.events.is_empty() {
        return Err(Error::invalid("an operation needs at least one event").into());
    }
    if let Some(replayed) = replayed(book, accept.idempotency.as_ref(), accept.now)? {
        return Ok(replayed);
    }
    let (fresh, known) = split_known(book, &accept.events)?;
    if let (true, Some(first)) = (fresh.is_empty(), known.first()) {
        let operation = book.operation(first.operation)?;
        return Ok(again(operation, Replay::Event, known));
    }
    let accept = match fresh.len() == accept.events.len() {
        true => Cow::Borrowed(accept),
        false => Cow::Owned(Accept { events: fresh.into_iter().cloned().collect(), ..accept.clone() }),
    };
    check_backlog(book.backlog, &accept)?;
    let new = plan::accept(&accept, &mut book.ids);
    let woken = book.add_new(&new, accept.due)?;
    let events = new.events.iter().map(|(event, _)| event.key).collect();
    if let Some(key) = &accept.idempotency {
        book.tables.keep_key(key, new.operation.id)?;
    }
    Ok(Accepted { operation: new.operation, replay: Replay::New, known, events, woken, due: accept.due })
}

fn again(operation: Operation, replay: Replay, known: Vec<KnownEvent>) -> Accepted {
    let due = operation.created;
    Accepted { operation, replay, known, events: Vec::new(), woken: Vec::new(), due }
}

/// What was accepted under this key, while the key and the operation are kept.
fn replayed<T: Tables>(book: &mut Book<T>, key: Option<&IdempotencyKey>, now: Timestamp) -> Try<Option<Accepted>, T> {
    let Some(key) = key else { return Ok(None) };
    let Some((fingerprint, operation)) = book.tables.kept_key(key, now)? else { return Ok(None) };
    let operation = match book.operation(operation) {
        Err(Stop::Refused(_)) => return Ok(None),
        found => found?,
    };
    if fingerprint != key.fingerprint {
        let message = format!("the idempotency key {:?} was used before with another request", key.key);
        return Err(Error::new(ErrorKind::KeyReused, message).into());
    }
    Ok(Some(again(operation, Replay::IdempotencyKey, Vec::new())))
}

/// Parts the events that are new from those that were accepted before. Of the same event twice in one request the
/// second is left out.
fn split_known<'a, T: Tables>(
    book: &mut Book<T>,
    events: &'a [NewEvent],
) -> Try<(Vec<&'a NewEvent>, Vec<KnownEvent>), T> {
    let (mut fresh, mut known, mut seen) = (Vec::with_capacity(events.len()), Vec::new(), HashSet::new());
    for event in events {
        let Some(id) = &event.draft.id else {
            fresh.push(event);
            continue;
        };
        if !seen.insert((&event.draft.source, id)) {
            continue;
        }
        match book.tables.given(id, &event.draft.source)? {
            Some(operation) => known.push(KnownEvent { id: id.clone(), operation }),
            None => fresh.push(event),
        }
    }
    Ok((fresh, known))
}

fn check_backlog(backlog: i64, accept: &Accept) -> Result<(), Error> {
    let new: usize = accept.events.iter().map(NewEvent::backlog).sum();
    let after = u64::try_from(backlog).unwrap_or_default() + new as u64;
    if after <= accept.backlog_max {
        return Ok(());
    }
    let message = format!("{after} deliveries and events would wait, and the most is {}", accept.backlog_max);
    Err(Error::new(ErrorKind::Overloaded, message))
}
