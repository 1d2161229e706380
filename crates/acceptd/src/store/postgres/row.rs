//! Rows to structs and back: the lists of columns and the decoding.
//!
//! The order of a list of columns and of the decoder below it belong together.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::error::{Try, unreadable};
use crate::delivery::Attempt;
use crate::limit::Lane;
use crate::operation::{Status, Tally};
use crate::store::codes::Code;
use crate::{
    Closure, Data, Delivery, DeliveryId, Draft, Error, ErrorKind, Notification, Operation, StoredEvent, Timestamp,
};

macro_rules! operation_columns {
    () => {
        "o.id, o.kind, o.owner, o.priority, o.created, o.started, o.updated, o.ended, o.ending, \
         o.tracked_total, o.tracked_done, o.tracked_dead, o.tracked_canceled, o.untracked_total, o.untracked_done, \
         o.untracked_dead, o.untracked_canceled, o.unrouted, o.inbox_live, o.told, o.failure, o.span"
    };
}

/// `d` must be `deliveries`, `ended` or `every_delivery`.
macro_rules! delivery_columns {
    () => {
        "d.id, d.operation, d.event, (SELECT c.name FROM consumers c WHERE c.id = d.consumer), d.weight, d.priority, \
         d.state, d.attempts, d.max_attempts, d.fence, d.since, d.due, d.waiting_since, \
         (SELECT n.node FROM nodes n WHERE n.id = d.node), d.lease, d.throttled_since, d.progress, \
         d.grp, d.turn, d.ordered, d.deadline, d.held_by"
    };
}

/// The same of `deliveries` that wait: no node runs them, and whoever asks knows the consumer's name.
macro_rules! waiting_columns {
    () => {
        "d.id, d.operation, d.event, ''::text, d.weight, d.priority, d.state, d.attempts, d.max_attempts, d.fence, \
         d.since, d.due, d.waiting_since, NULL::uuid, d.lease, d.throttled_since, d.progress, d.grp, d.turn, \
         d.ordered, d.deadline, d.held_by"
    };
}

macro_rules! event_columns {
    () => {
        "e.id, e.operation, e.cause, e.depth, e.accepted, e.kind, e.source, e.given_id, e.subject, e.time, \
         e.dataschema, e.extensions, e.content_type, e.data"
    };
}

/// The same without its extensions and data.
macro_rules! event_head_columns {
    () => {
        "e.id, e.operation, e.cause, e.depth, e.accepted, e.kind, e.source, e.given_id, e.subject, e.time, \
         e.dataschema, NULL::text, NULL::text, NULL::bytea"
    };
}

/// The delivery's ordinal comes first: who asks knows the ids of the deliveries.
macro_rules! attempt_columns {
    () => {
        "a.delivery, a.fence, a.number, (SELECT n.node FROM nodes n WHERE n.id = a.node), a.waiting_since, a.due, \
         a.started, a.ended, a.ending, a.failure, a.held_by"
    };
}

macro_rules! notification_columns {
    () => {
        "id, owner, operation, title, text, level, created, read"
    };
}

pub(super) use {
    attempt_columns, delivery_columns, event_columns, event_head_columns, notification_columns, operation_columns,
    waiting_columns,
};

/// An operation and how many ordinals after its own its root events and deliveries have.
pub(super) fn operation(row: &Row) -> Try<(Operation, i64)> {
    let operation = Operation {
        id: id(row, 0)?,
        kind: get(row, 1)?,
        owner: get(row, 2)?,
        priority: priority(row, 3)?,
        created: instant(row, 4)?,
        started: instant_maybe(row, 5)?,
        updated: instant(row, 6)?,
        ended: match (get::<Option<i16>>(row, 8)?, instant_maybe(row, 7)?) {
            (Some(_), Some(at)) => Some((word::<Status>(row, 8)?, at)),
            _ => None,
        },
        tracked: tally(row, 9)?,
        untracked: tally(row, 13)?,
        unrouted: count(row, 17)?,
        inbox_live: count(row, 18)?,
        told: get(row, 19)?,
        failure: json_maybe(row, 20)?,
    };
    Ok((operation, get(row, 21)?))
}

fn tally(row: &Row, at: usize) -> Try<Tally> {
    let [total, done, dead, canceled] =
        [count(row, at)?, count(row, at + 1)?, count(row, at + 2)?, count(row, at + 3)?];
    Ok(Tally { total, done, dead, canceled })
}

pub(super) fn delivery(row: &Row) -> Try<Delivery> {
    Ok(Delivery {
        id: id(row, 0)?,
        operation: id(row, 1)?,
        event: id(row, 2)?,
        consumer: get(row, 3)?,
        weight: word(row, 4)?,
        priority: priority(row, 5)?,
        state: word(row, 6)?,
        attempts: count(row, 7)?,
        max_attempts: count(row, 8)?,
        fence: unsigned(get(row, 9)?),
        since: instant(row, 10)?,
        due: instant(row, 11)?,
        waiting_since: instant(row, 12)?,
        node: get::<Option<Uuid>>(row, 13)?.map(Into::into),
        lease: instant_maybe(row, 14)?,
        throttled_since: instant_maybe(row, 15)?,
        progress: json_maybe(row, 16)?,
        lane: Lane { group: get(row, 17)?, turn: get(row, 18)?, ordered: get(row, 19)? },
        deadline: instant_maybe(row, 20)?,
        held_by: json_maybe(row, 21)?,
    })
}

pub(super) fn event(row: &Row) -> Try<StoredEvent> {
    let data = match get::<Option<&str>>(row, 12)? {
        Some(content_type) => Some(Data::new(content_type, get::<Vec<u8>>(row, 13)?)),
        None => None,
    };
    Ok(StoredEvent {
        key: id(row, 0)?,
        operation: id(row, 1)?,
        cause: get(row, 2)?,
        depth: count(row, 3)?,
        accepted: instant(row, 4)?,
        draft: Draft {
            kind: Cow::Owned(get(row, 5)?),
            source: Cow::Owned(get(row, 6)?),
            id: get(row, 7)?,
            subject: get(row, 8)?,
            time: instant_maybe(row, 9)?,
            dataschema: get(row, 10)?,
            extensions: json_maybe::<BTreeMap<String, String>>(row, 11)?.unwrap_or_default(),
            data,
        },
    })
}

/// An attempt of this delivery.
pub(super) fn attempt(row: &Row, delivery: DeliveryId) -> Try<Attempt> {
    Ok(Attempt {
        delivery,
        fence: unsigned(get(row, 1)?),
        number: count(row, 2)?,
        node: get::<Option<Uuid>>(row, 3)?.map(Into::into),
        waiting_since: instant(row, 4)?,
        due: instant(row, 5)?,
        started: instant(row, 6)?,
        ended: instant(row, 7)?,
        ending: word(row, 8)?,
        failure: json_maybe(row, 9)?,
        held_by: json_maybe(row, 10)?,
    })
}

pub(super) fn notification(row: &Row) -> Try<Notification> {
    Ok(Notification {
        id: id(row, 0)?,
        owner: get(row, 1)?,
        operation: id(row, 2)?,
        title: get(row, 3)?,
        text: get(row, 4)?,
        level: word(row, 5)?,
        created: instant(row, 6)?,
        read: instant_maybe(row, 7)?,
    })
}

/// Columns `gate, since, until, by, reason`, from `at` on.
pub(super) fn closure(row: &Row, at: usize) -> Try<Closure> {
    Ok(Closure {
        gate: word(row, at)?,
        from: instant(row, at + 1)?,
        until: instant_maybe(row, at + 2)?,
        by: get(row, at + 3)?,
        reason: get(row, at + 4)?,
    })
}

/// Columns `content_type, data`, from `at` on.
pub(super) fn data(row: &Row, at: usize) -> Try<Data> {
    Ok(Data::new(get(row, at)?, get::<Vec<u8>>(row, at + 1)?))
}

/// A column of the type that the schema gives it.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Try<T> {
    row.try_get(at).map_err(unreadable)
}

/// Every row, decoded.
pub(super) fn every<T>(rows: &[Row], decode: impl FnMut(&Row) -> Try<T>) -> Try<Vec<T>> {
    rows.iter().map(decode).collect()
}

pub(super) fn id<T: From<Uuid>>(row: &Row, at: usize) -> Try<T> {
    get::<Uuid>(row, at).map(T::from)
}

pub(super) fn instant(row: &Row, at: usize) -> Try<Timestamp> {
    get(row, at).map(Timestamp::from_micros)
}

pub(super) fn instant_maybe(row: &Row, at: usize) -> Try<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, at)?.map(Timestamp::from_micros))
}

/// A count of 32 bits.
fn count(row: &Row, at: usize) -> Try<u32> {
    u32::try_from(get::<i32>(row, at)?).map_err(unreadable)
}

fn priority(row: &Row, at: usize) -> Try<i8> {
    i8::try_from(get::<i16>(row, at)?).map_err(unreadable)
}

/// A word from its number.
fn word<T: Code>(row: &Row, at: usize) -> Try<T> {
    let code = get(row, at)?;
    T::of_code(code).ok_or_else(|| unreadable(format!("{code} is no word's number")))
}

/// A value as the JSON text that it is kept as.
pub(super) fn to_json<T: Serialize>(value: Option<&T>) -> crate::Result<Option<String>> {
    let write = |value| {
        serde_json::to_string(value).map_err(|error| {
            Error::new(ErrorKind::Internal, "the store was given a value that is no JSON").caused_by(error)
        })
    };
    value.map(write).transpose()
}

pub(super) fn json_maybe<T: DeserializeOwned>(row: &Row, at: usize) -> Try<Option<T>> {
    get::<Option<&str>>(row, at)?.map(|text| serde_json::from_str(text).map_err(unreadable)).transpose()
}

/// Text as a column can hold it: PostgreSQL refuses the character NUL, so each becomes `U+2400`, its picture, and
/// is read as that. What a column is compared with goes through here, too.
pub(in crate::store) fn text(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{2400}")),
        false => Cow::Borrowed(text),
    }
}

pub(super) fn signed(fence: u64) -> i64 {
    i64::try_from(fence).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(fence: i64) -> u64 {
    u64::try_from(fence).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn text_that_a_column_can_hold_stays_as_it_is() {
        assert!(matches!(text("a\u{1}ü␀"), std::borrow::Cow::Borrowed("a\u{1}ü␀")));
        assert_eq!(text("\0a\0"), "␀a␀");
    }
}
