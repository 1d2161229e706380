//! Settling an attempt, and what may happen while it runs: extend, report, remember.

use super::tables::Tables;
use super::{Applied, Book, Stop, Try, lock};
use crate::delivery::{Action, transition};
use crate::store::turnstile::Wish;
use crate::store::{HoldId, KeyRef, Settle, Settled, Step, plan};
use crate::{Closure, Delivery, DeliveryId, ErrorKind, ProgressReport, Timestamp, fault};

pub(in crate::store) fn settle<T: Tables>(book: &mut Book<T>, settle: &Settle) -> Try<Settled, T> {
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

fn settle_one<T: Tables>(book: &mut Book<T>, settle: &Settle, before: &Delivery) -> Try<Settled, T> {
    let operation = book.operation(before.operation)?;
    let emits = matches!(&settle.verdict, crate::store::Verdict::Done { emit, .. } if !emit.is_empty());
    let cause = emits.then(|| book.event(before.event, false)).transpose()?;
    let cause = || cause.ok_or_else(|| crate::Error::not_found("event", before.event));
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
fn learn<T: Tables>(
    book: &mut Book<T>,
    (before, permits): (&Delivery, Vec<KeyRef>),
    limit: Option<&str>,
    throttled: Option<(Closure, Wish)>,
    now: Timestamp,
) -> Try<(), T> {
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
            book.write_limit(limit)?;
        }
        return book.write_keys();
    }
    if let Some((closure, _)) = throttled {
        let consumer = book.consumer(&before.consumer)?;
        book.shut(consumer, &closure)?;
    }
    Ok(())
}

pub(in crate::store) fn extend<T: Tables>(
    book: &mut Book<T>,
    id: DeliveryId,
    fence: u64,
    lease: Timestamp,
    now: Timestamp,
) -> Try<(), T> {
    let (before, after) = extended(book, id, fence, lease, now)?;
    book.change_delivery(before.fence, &before, &after)?;
    Ok(())
}

pub(in crate::store) fn report<T: Tables>(
    book: &mut Book<T>,
    id: DeliveryId,
    fence: u64,
    progress: &ProgressReport,
    now: Timestamp,
) -> Try<(), T> {
    let (before, _) = extended(book, id, fence, now, now)?;
    let mut operation = book.operation(before.operation)?;
    let after = Delivery { progress: Some(progress.clone()), ..before.clone() };
    book.change_delivery(before.fence, &before, &after)?;
    operation.updated = now;
    book.change_operation(operation)
}

pub(in crate::store) fn remember<T: Tables>(book: &mut Book<T>, step: &Step) -> Try<(), T> {
    extended(book, step.delivery, step.fence, Timestamp::MAX, Timestamp::MAX)?;
    book.tables.add_step(step.delivery, &step.name, &step.value)
}

/// A delivery whose attempt of this fence runs.
pub(super) fn running<T: Tables>(book: &mut Book<T>, id: DeliveryId, fence: u64, now: Timestamp) -> Try<Delivery, T> {
    extended(book, id, fence, now, now).map(|(before, _)| before)
}

/// The delivery before and with a lease of its own; asked also just to check the fence of a running attempt.
fn extended<T: Tables>(
    book: &mut Book<T>,
    id: DeliveryId,
    fence: u64,
    lease: Timestamp,
    now: Timestamp,
) -> Try<(Delivery, Delivery), T> {
    let before = book.delivery(id)?;
    let extended = transition(&before, &Action::Extend { fence, lease }, now);
    let (after, _) = extended.map_err(|refusal| plan::refused(&before, refusal))?;
    Ok((before, after))
}
