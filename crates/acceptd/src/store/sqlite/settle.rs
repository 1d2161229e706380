//! Settling an attempt, and what may happen while it runs: extend, report, remember.

use rusqlite::params;

use super::book::{self, Book};
use super::error::{Stop, Try};
use crate::delivery::{Action, transition};
use crate::store::{Settle, Settled, Step, Verdict, plan};
use crate::{Closure, Delivery, DeliveryId, ErrorKind, Gate, ProgressReport, Timestamp, fault};

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
    let applied = book.apply(fence, before, change)?;
    if let Verdict::Throttled { due, failure } = &settle.verdict {
        let (by, reason) = ("target".to_owned(), failure.message.clone());
        let closure = Closure { gate: Gate::Pause, from: settle.now, until: Some(*due), by, reason };
        let consumer = book.names.consumer(conn, &before.consumer)?;
        book.names.shut(conn, consumer, &closure)?;
    }
    Ok(Settled { delivery: applied.delivery, ended: applied.ended, woken: applied.woken, notified: applied.notified })
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
