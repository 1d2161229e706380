//! Rows to structs and back: the lists of columns and the decoding.
//!
//! The order of a list of columns and of the decoder below it belong together.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::delivery::Attempt;
use crate::limit::Lane;
use crate::operation::{Status, Tally};
use crate::store::codes::Code;
use crate::{Closure, Data, Delivery, Draft, Notification, Operation, StoredEvent, Timestamp, data};

type Read<T> = rusqlite::Result<T>;

macro_rules! operation_columns {
    () => {
        "o.id, o.kind, o.owner, o.priority, o.created, o.started, o.updated, o.ended, o.ending, \
         o.tracked_total, o.tracked_done, o.tracked_dead, o.tracked_canceled, o.untracked_total, o.untracked_done, \
         o.untracked_dead, o.untracked_canceled, o.unrouted, o.inbox_live, o.told, o.failure, o.span"
    };
}

/// `d` must be `deliveries`.
macro_rules! delivery_columns {
    () => {
        "d.id, d.operation, d.event, (SELECT c.name FROM consumers c WHERE c.id = d.consumer), d.weight, d.priority, \
         d.state, d.attempts, d.max_attempts, d.fence, d.since, d.due, d.waiting_since, \
         (SELECT n.node FROM nodes n WHERE n.id = d.node), d.lease, d.throttled_since, d.progress, \
         d.grp, d.turn, d.ordered, d.deadline, d.held_by"
    };
}

macro_rules! event_columns {
    () => {
        "e.id, e.operation, e.cause, e.depth, e.accepted, e.kind, e.source, e.given_id, e.subject, e.time, \
         e.dataschema, e.extensions, e.content_type, e.data"
    };
}

/// `a` must be `attempts` and `d` its delivery.
macro_rules! attempt_columns {
    () => {
        "d.id, a.fence, a.number, (SELECT n.node FROM nodes n WHERE n.id = a.node), a.waiting_since, a.due, \
         a.started, a.ended, a.ending, a.failure, a.held_by"
    };
}

macro_rules! notification_columns {
    () => {
        "id, owner, operation, title, text, level, created, read"
    };
}

pub(super) use {attempt_columns, delivery_columns, event_columns, notification_columns, operation_columns};

/// An operation and how many ordinals after its own its root events and deliveries have.
pub(super) fn operation(row: &Row<'_>) -> Read<(Operation, i64)> {
    let operation = Operation {
        id: crate::OperationId::from_bytes(row.get(0)?),
        kind: row.get(1)?,
        owner: row.get(2)?,
        priority: row.get(3)?,
        created: instant(row, 4)?,
        started: instant_maybe(row, 5)?,
        updated: instant(row, 6)?,
        ended: match (row.get::<_, Option<i16>>(8)?, instant_maybe(row, 7)?) {
            (Some(_), Some(at)) => Some((word::<Status>(row, 8)?, at)),
            _ => None,
        },
        tracked: tally(row, 9)?,
        untracked: tally(row, 13)?,
        unrouted: row.get(17)?,
        inbox_live: row.get(18)?,
        told: row.get(19)?,
        failure: json_maybe(row, 20)?,
    };
    Ok((operation, row.get(21)?))
}

fn tally(row: &Row<'_>, at: usize) -> Read<Tally> {
    Ok(Tally { total: row.get(at)?, done: row.get(at + 1)?, dead: row.get(at + 2)?, canceled: row.get(at + 3)? })
}

pub(super) fn delivery(row: &Row<'_>) -> Read<Delivery> {
    Ok(Delivery {
        id: crate::DeliveryId::from_bytes(row.get(0)?),
        operation: crate::OperationId::from_bytes(row.get(1)?),
        event: crate::EventKey::from_bytes(row.get(2)?),
        consumer: row.get(3)?,
        weight: word(row, 4)?,
        priority: row.get(5)?,
        state: word(row, 6)?,
        attempts: row.get(7)?,
        max_attempts: row.get(8)?,
        fence: unsigned(row.get(9)?),
        since: instant(row, 10)?,
        due: instant(row, 11)?,
        waiting_since: instant(row, 12)?,
        node: row.get::<_, Option<[u8; 16]>>(13)?.map(crate::NodeId::from_bytes),
        lease: instant_maybe(row, 14)?,
        throttled_since: instant_maybe(row, 15)?,
        progress: json_maybe(row, 16)?,
        lane: Lane { group: row.get(17)?, turn: row.get(18)?, ordered: row.get(19)? },
        deadline: instant_maybe(row, 20)?,
        held_by: json_maybe(row, 21)?,
    })
}

pub(super) fn event(row: &Row<'_>) -> Read<StoredEvent> {
    let content_type: Option<Cow<'static, str>> = match row.get_ref(12)?.as_str_or_null() {
        Ok(Some(data::JSON)) => Some(Cow::Borrowed(data::JSON)),
        Ok(other) => other.map(|other| Cow::Owned(other.to_owned())),
        Err(error) => return Err(unreadable(12, Type::Text, error)),
    };
    let data = match content_type {
        Some(content_type) => Some(Data { content_type, bytes: row.get::<_, Vec<u8>>(13)?.into() }),
        None => None,
    };
    Ok(StoredEvent {
        key: crate::EventKey::from_bytes(row.get(0)?),
        operation: crate::OperationId::from_bytes(row.get(1)?),
        cause: row.get(2)?,
        depth: row.get(3)?,
        accepted: instant(row, 4)?,
        draft: Draft {
            kind: Cow::Owned(row.get(5)?),
            source: Cow::Owned(row.get(6)?),
            id: row.get(7)?,
            subject: row.get(8)?,
            time: instant_maybe(row, 9)?,
            dataschema: row.get(10)?,
            extensions: json_maybe::<BTreeMap<String, String>>(row, 11)?.unwrap_or_default(),
            data,
        },
    })
}

pub(super) fn attempt(row: &Row<'_>) -> Read<Attempt> {
    Ok(Attempt {
        delivery: crate::DeliveryId::from_bytes(row.get(0)?),
        fence: unsigned(row.get(1)?),
        number: row.get(2)?,
        node: row.get::<_, Option<[u8; 16]>>(3)?.map(crate::NodeId::from_bytes),
        waiting_since: instant(row, 4)?,
        due: instant(row, 5)?,
        started: instant(row, 6)?,
        ended: instant(row, 7)?,
        ending: word(row, 8)?,
        failure: json_maybe(row, 9)?,
        held_by: json_maybe(row, 10)?,
    })
}

pub(super) fn notification(row: &Row<'_>) -> Read<Notification> {
    Ok(Notification {
        id: crate::NotificationId::from_bytes(row.get(0)?),
        owner: row.get(1)?,
        operation: crate::OperationId::from_bytes(row.get(2)?),
        title: row.get(3)?,
        text: row.get(4)?,
        level: word(row, 5)?,
        created: instant(row, 6)?,
        read: instant_maybe(row, 7)?,
    })
}

/// Columns `gate, since, until, by, reason`, from `at` on.
pub(super) fn closure(row: &Row<'_>, at: usize) -> Read<Closure> {
    Ok(Closure {
        gate: word(row, at)?,
        from: instant(row, at + 1)?,
        until: instant_maybe(row, at + 2)?,
        by: row.get(at + 3)?,
        reason: row.get(at + 4)?,
    })
}

/// Columns `content_type, data`, from `at` on.
pub(super) fn data(row: &Row<'_>, at: usize) -> Read<Data> {
    let content_type: String = row.get(at)?;
    Ok(Data::new(&content_type, row.get::<_, Vec<u8>>(at + 1)?))
}

pub(super) fn instant(row: &Row<'_>, at: usize) -> Read<Timestamp> {
    row.get(at).map(Timestamp::from_micros)
}

pub(super) fn instant_maybe(row: &Row<'_>, at: usize) -> Read<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_micros))
}

/// A value as the JSON text that it is kept as.
pub(super) fn to_json<T: Serialize>(value: Option<&T>) -> rusqlite::Result<Option<String>> {
    let write = |value| serde_json::to_string(value).map_err(|error| Err::ToSqlConversionFailure(error.into()));
    value.map(write).transpose()
}

use rusqlite::Error as Err;

pub(super) fn json_maybe<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> Read<Option<T>> {
    let Some(text) = row.get_ref(at)?.as_str_or_null().map_err(|error| unreadable(at, Type::Text, error))? else {
        return Ok(None);
    };
    serde_json::from_str(text).map(Some).map_err(|error| unreadable(at, Type::Text, error))
}

fn unreadable(at: usize, kind: Type, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, kind, Box::new(error))
}

/// A word from its number.
fn word<T: Code>(row: &Row<'_>, at: usize) -> Read<T> {
    let code: i16 = row.get(at)?;
    T::of_code(code).ok_or_else(|| unreadable(at, Type::Integer, FromSqlError::OutOfRange(code.into())))
}

pub(super) fn signed(fence: u64) -> i64 {
    i64::try_from(fence).unwrap_or(i64::MAX)
}

fn unsigned(fence: i64) -> u64 {
    u64::try_from(fence).unwrap_or_default()
}
