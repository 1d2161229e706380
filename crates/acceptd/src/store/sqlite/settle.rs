//! Settling an attempt, and what may happen while it runs: extend, report, remember.

use rusqlite::params;

use super::book::{self, Applied, Book};
use super::error::{Stop, Try};
use super::turnstile::lock;
use crate::delivery::{Action, transition};
use crate::store::turnstile::Wish;
use crate::store::{HoldId, KeyRef, Settle, Settled, Step, plan};
use crate::{Closure, Delivery, DeliveryId, ErrorKind, ProgressReport, Timestamp, fault};

pub(super) fn settle(book: &mut Book<'_>, settle: &Settle) -> Try<Settled> {
    let was_remembered = book.is_remembered(settle.delivery);
    let before = book.delivery(settle.delivery)?;
    match settle_one(book, settle, &before) {
        Err(Stop::Refused(error)) if was_remembered && error.kind() == ErrorKind::StaleFence => {
            // The row decides, not the memory of it.
            book.unremember(before.id, before.operation);
            let before = book.delivery(settle.delivery)?;
            settle_one(book, settle, &before)
        }
        settled => settled,
    }
}

fn settle_one(book: &mut Book<'_>, settle: &Settle, before: &Delivery) -> Try<Settled> {
    let operation = book.operation(before.operation)?;
    let conn = book.conn;
    let cause = || book::event(conn, before.event, false);
    let change = plan::settle(settle, before, operation, cause, &mut book.ids)?;
    let fence = if fault::planted("settle-without-fence") { before.fence } else { settle.fence };
    let permits = lock(&book.turnstile).keys_of_permits(HoldId::of(before));
    let applied = book.apply(fence, before, change)?;
    if let Some((limit, throttled)) = plan::lesson(settle) {
        learn(book, (before, permits), limit, throttled, settle.now)?;
    }
    let Applied { delivery, ended, kind, woken, notified, .. } = applied;
    Ok(Settled { delivery, ended, kind, woken, notified })
}

/// What a target said of its limits: those that the delivery took, or else its consumer, are left alone.
fn learn(
    book: &mut Book<'_>,
    (before, permits): (&Delivery, Vec<KeyRef>),
    limit: Option<&str>,
    throttled: Option<(Closure, Wish)>,
    now: Timestamp,
) -> Try<()> {
    let (takes_limits, is_declared) = {
        let turnstile = lock(&book.turnstile);
        let takes_limits = turnstile.policy(&before.consumer).is_some_and(|policy| !policy.limits.is_empty());
        (takes_limits, limit.is_some_and(|limit| turnstile.declared(limit).is_some()))
    };
    if takes_limits || is_declared {
        let limit = limit.filter(|_| is_declared);
        lock(&book.turnstile).learn(
            (before, permits),
            limit,
            throttled.as_ref().map(|(closure, wish)| (closure, *wish)),
            now,
        );
        if let (Some(limit), Some(_)) = (limit, &throttled) {
            super::limits::write_limit(book, limit)?;
        }
        return book.write_keys();
    }
    if let Some((closure, _)) = throttled {
        let consumer = book.names.consumer(book.conn, &before.consumer)?;
        book.names.shut(book.conn, consumer, &closure)?;
    }
    Ok(())
}

pub(super) fn extend(book: &mut Book<'_>, id: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Try<()> {
    let (before, after) = extended(book, id, fence, lease, now)?;
    book.change_delivery(before.fence, &before, &after)?;
    Ok(())
}

pub(super) fn report(
    book: &mut Book<'_>,
    id: DeliveryId,
    fence: u64,
    progress: &ProgressReport,
    now: Timestamp,
) -> Try<()> {
    let (before, _) = extended(book, id, fence, now, now)?;
    let mut operation = book.operation(before.operation)?;
    let after = Delivery { progress: Some(progress.clone()), ..before.clone() };
    book.change_delivery(before.fence, &before, &after)?;
    operation.updated = now;
    book.change_operation(operation)
}

pub(super) fn remember(book: &mut Book<'_>, step: &Step) -> Try<()> {
    extended(book, step.delivery, step.fence, Timestamp::MAX, Timestamp::MAX)?;
    let sql = "INSERT OR IGNORE INTO steps (delivery, name, value) VALUES (?1, ?2, ?3)";
    book.conn.prepare_cached(sql)?.execute(params![step.delivery.ordinal(), step.name, step.value])?;
    Ok(())
}

/// A delivery whose attempt of this fence runs.
pub(super) fn running(book: &mut Book<'_>, id: DeliveryId, fence: u64, now: Timestamp) -> Try<Delivery> {
    extended(book, id, fence, now, now).map(|(before, _)| before)
}

/// The delivery before and with a lease of its own; asked also just to check the fence of a running attempt.
fn extended(
    book: &mut Book<'_>,
    id: DeliveryId,
    fence: u64,
    lease: Timestamp,
    now: Timestamp,
) -> Try<(Delivery, Delivery)> {
    let before = book.delivery(id)?;
    let extended = transition(&before, &Action::Extend { fence, lease }, now);
    let (after, _) = extended.map_err(|refusal| plan::refused(&before, refusal))?;
    Ok((before, after))
}
