//! Accepting: a replay is answered with what was accepted before, the rest is written at once.

use std::borrow::Cow;
use std::collections::HashSet;

use rusqlite::{OptionalExtension as _, params};

use super::book::Book;
use super::error::{Stop, Try};
use crate::store::{Accept, Accepted, IdempotencyKey, KnownEvent, Replay, plan};
use crate::{Error, ErrorKind, NewEvent, Operation, OperationId, Timestamp};

pub(super) fn accept(book: &mut Book<'_>, accept: &Accept) -> Try<Accepted> {
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
    check_backlog(book, &accept)?;
    let new = plan::accept(&accept, &mut book.ids);
    let woken = book.add_new(&new, accept.due)?;
    let events = new.events.iter().map(|(event, _)| event.key).collect();
    if let Some(key) = &accept.idempotency {
        keep_key(book, key, new.operation.id)?;
    }
    Ok(Accepted { operation: new.operation, replay: Replay::New, known, events, woken, due: accept.due })
}

fn again(operation: Operation, replay: Replay, known: Vec<KnownEvent>) -> Accepted {
    let due = operation.created;
    Accepted { operation, replay, known, events: Vec::new(), woken: Vec::new(), due }
}

/// What was accepted under this key, while the key and the operation are kept.
fn replayed(book: &mut Book<'_>, key: Option<&IdempotencyKey>, now: Timestamp) -> Try<Option<Accepted>> {
    let Some(key) = key else { return Ok(None) };
    let sql = "SELECT fingerprint, operation FROM idempotency WHERE scope = ?1 AND key = ?2 AND expires > ?3";
    let kept = book
        .conn
        .prepare_cached(sql)?
        .query_row(params![key.scope, key.key, now.as_micros()], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, OperationId::from_bytes(row.get(1)?)))
        })
        .optional()?;
    let Some((fingerprint, operation)) = kept else { return Ok(None) };
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
fn split_known<'a>(book: &Book<'_>, events: &'a [NewEvent]) -> Try<(Vec<&'a NewEvent>, Vec<KnownEvent>)> {
    let (mut fresh, mut known, mut seen) = (Vec::with_capacity(events.len()), Vec::new(), HashSet::new());
    for event in events {
        let Some(id) = &event.draft.id else {
            fresh.push(event);
            continue;
        };
        if !seen.insert((&event.draft.source, id)) {
            continue;
        }
        let sql = "SELECT operation FROM events INDEXED BY events_given \
            WHERE given_id = ?1 AND source = ?2 AND given_id IS NOT NULL AND depth = 0";
        let mut sql = book.conn.prepare_cached(sql)?;
        match sql.query_row(params![id, event.draft.source], |row| row.get(0)).optional()? {
            Some(bytes) => known.push(KnownEvent { id: id.clone(), operation: OperationId::from_bytes(bytes) }),
            None => fresh.push(event),
        }
    }
    Ok((fresh, known))
}

fn check_backlog(book: &Book<'_>, accept: &Accept) -> Try<()> {
    let new: usize = accept.events.iter().map(NewEvent::backlog).sum();
    let after = u64::try_from(book.backlog).unwrap_or_default() + new as u64;
    if after <= accept.backlog_max {
        return Ok(());
    }
    let message = format!("{after} deliveries and events would wait, and the most is {}", accept.backlog_max);
    Err(Error::new(ErrorKind::Overloaded, message).into())
}

fn keep_key(book: &Book<'_>, key: &IdempotencyKey, operation: OperationId) -> Try<()> {
    let sql = "INSERT OR REPLACE INTO idempotency (scope, key, fingerprint, operation, expires) \
        VALUES (?1, ?2, ?3, ?4, ?5)";
    book.conn.prepare_cached(sql)?.execute(params![
        key.scope,
        key.key,
        key.fingerprint,
        operation.as_bytes(),
        key.expires.as_micros()
    ])?;
    Ok(())
}
