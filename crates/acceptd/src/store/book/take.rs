//! Taking what was submitted within the transactions of others: it becomes an operation like every other.

use super::tables::Tables;
use super::{Applied, Book, Try, consumers_of};
use crate::store::{Accepted, IdempotencyKey, Replay, Take, Taken, plan};
use crate::{NodeId, Timestamp};

/// Takes one that no other node took. None when its event was accepted in another way meanwhile.
pub(in crate::store) fn take<T: Tables>(
    book: &mut Book<T>,
    take: &Take,
    (node, now): (NodeId, Timestamp),
) -> Try<Option<Taken>, T> {
    let submitted = &take.submitted;
    if let Some(id) = &submitted.draft.id
        && let Some(known) = book.tables.given(id, &submitted.draft.source)?
    {
        tracing::warn!(operation = %submitted.id, %known, event = id, "the event of a submitted operation is known");
        keep_key(book, submitted.idempotency.as_ref(), known)?;
        return Ok(None);
    }
    let new = plan::take(take, now, &mut book.ids);
    let due = new.deliveries.first().map_or(submitted.due.unwrap_or(now), |delivery| delivery.due);
    book.tables.add_operation(&new.operation, 1)?;
    for (event, is_unrouted) in &new.events {
        book.add_event(event, is_unrouted.then_some(due))?;
    }
    new.deliveries.iter().try_for_each(|delivery| book.add_delivery(delivery, true))?;
    keep_key(book, submitted.idempotency.as_ref(), submitted.id)?;
    let (mut operation, mut woken, mut notified) = (new.operation, consumers_of(&new.deliveries), Vec::new());
    if let Some(failure) = &take.refused {
        for delivery in &new.deliveries {
            let change = plan::refuse(failure, delivery, operation, (node, now), &mut book.ids)?;
            operation = change.operation.clone();
            let Applied { woken: more, notified: told, .. } = book.apply(delivery.fence, delivery, change)?;
            woken.extend(more);
            notified.extend(told);
        }
    }
    let events = new.events.iter().map(|(event, _)| event.key).collect();
    let accepted = Accepted { operation, replay: Replay::New, known: Vec::new(), events, woken, due };
    Ok(Some(Taken { accepted, notified }))
}

fn keep_key<T: Tables>(book: &mut Book<T>, key: Option<&IdempotencyKey>, id: crate::OperationId) -> Try<(), T> {
    key.map_or(Ok(()), |key| book.tables.keep_key(key, id))
}
