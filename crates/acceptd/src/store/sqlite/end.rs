//! What people do to operations and dead letters: cancel, retry, discard.

use rusqlite::params;

use super::book::{Book, consumers_of};
use super::error::Try;
use super::query;
use crate::delivery::{Action, State};
use crate::store::{DeadLetters, KEPT_OUTCOME, Stopped, plan};
use crate::{Data, Delivery, DeliveryId, Error, ErrorKind, NotificationId, OperationId, Timestamp};

pub(super) fn cancel(book: &mut Book<'_>, id: OperationId, now: Timestamp) -> Try<Stopped> {
    let operation = book.operation(id)?;
    if let Some((status, _)) = operation.ended {
        return Err(Error::new(ErrorKind::Conflict, format!("operation {id} has ended: {}", status.as_str())).into());
    }
    let live = query::deliveries_of(book.conn, id, query::Which::Live)?;
    let running = live.iter().filter(|delivery| delivery.state == State::Running).map(|one| one.id).collect();
    let (mut notified, mut woken) = act_on(book, &live, &Action::Cancel, now)?;
    let operation = book.operation(id)?;
    if operation.unrouted > 0 {
        book.backlog -= i64::from(operation.unrouted);
        let (operation, notifications) = plan::abandon(operation, now, &mut book.ids);
        if operation.ended.is_some() {
            woken.extend(book.announce(&operation, now)?);
        }
        book.change_operation(operation)?;
        for notification in &notifications {
            book.add_notification(notification)?;
        }
        notified.extend(notifications.iter().map(|notification| notification.id));
        let sql = "UPDATE events SET unrouted = NULL WHERE ordinal > ?1 AND ordinal <= ?1 + \
            (SELECT span FROM operations WHERE ordinal = ?1) AND unrouted IS NOT NULL";
        book.conn.prepare_cached(sql)?.execute([id.ordinal()])?;
    }
    stopped(book, id, running, woken, notified)
}

pub(super) fn retry(book: &mut Book<'_>, what: DeadLetters, now: Timestamp) -> Try<Stopped> {
    let (operation, dead) = match what {
        DeadLetters::Delivery(id) | DeadLetters::Outcome(id) => {
            let delivery = book.delivery(id)?;
            (delivery.operation, vec![delivery])
        }
        DeadLetters::Operation(id) => {
            book.operation(id)?;
            (id, query::deliveries_of(book.conn, id, query::Which::Dead)?)
        }
    };
    if dead.is_empty() {
        let message = format!("operation {operation} has no dead letter");
        return Err(Error::new(ErrorKind::Conflict, message).into());
    }
    let kept = match what {
        DeadLetters::Outcome(id) => Some(query::result_of(book.conn, id)?.ok_or_else(|| plan::no_outcome(id))?),
        DeadLetters::Delivery(_) | DeadLetters::Operation(_) => None,
    };
    let (notified, mut woken) = act_on(book, &dead, &Action::Revive, now)?;
    for delivery in &dead {
        keep_outcome(book, delivery.id, kept.as_ref())?;
    }
    woken.extend(consumers_of(&dead));
    stopped(book, operation, Vec::new(), woken, notified)
}

/// Lets the next attempt end with this outcome, or else run.
fn keep_outcome(book: &Book<'_>, id: DeliveryId, outcome: Option<&Data>) -> Try<()> {
    let forget = "DELETE FROM steps WHERE delivery = ?1 AND name = ?2";
    book.conn.prepare_cached(forget)?.execute(params![id.ordinal(), KEPT_OUTCOME])?;
    if let Some(outcome) = outcome {
        let keep = "INSERT INTO steps (delivery, name, value) VALUES (?1, ?2, ?3)";
        book.conn.prepare_cached(keep)?.execute(params![id.ordinal(), KEPT_OUTCOME, &outcome.bytes[..]])?;
    }
    Ok(())
}

pub(super) fn discard(book: &mut Book<'_>, id: DeliveryId, now: Timestamp) -> Try<Stopped> {
    let dead = book.delivery(id)?;
    let (notified, woken) = act_on(book, std::slice::from_ref(&dead), &Action::Discard, now)?;
    stopped(book, dead.operation, Vec::new(), woken, notified)
}

/// Does the same to each of the deliveries. Callers pass only deliveries that allow it, or just one.
pub(super) fn act_on(
    book: &mut Book<'_>,
    deliveries: &[Delivery],
    action: &Action,
    now: Timestamp,
) -> Try<(Vec<NotificationId>, Vec<String>)> {
    let (mut notified, mut woken) = (Vec::new(), Vec::new());
    for delivery in deliveries {
        let operation = book.operation(delivery.operation)?;
        let change = plan::act(action, delivery, operation, now, &mut book.ids)?;
        let applied = book.apply(delivery.fence, delivery, change)?;
        notified.extend(applied.notified);
        woken.extend(applied.woken);
    }
    Ok((notified, woken))
}

fn stopped(
    book: &mut Book<'_>,
    id: OperationId,
    running: Vec<DeliveryId>,
    mut woken: Vec<String>,
    notified: Vec<NotificationId>,
) -> Try<Stopped> {
    woken.sort_unstable();
    woken.dedup();
    Ok(Stopped { operation: query::operation(book.conn, id)?, running, woken, notified })
}

/// Marks a notification as read.
pub(super) fn read(book: &mut Book<'_>, id: NotificationId, now: Timestamp) -> Try<crate::Notification> {
    let mut notification = query::notification(book.conn, id)?;
    if notification.read.is_none() {
        notification.read = Some(now);
        let sql = "UPDATE notifications SET read = ?2 WHERE ordinal = ?1";
        book.conn.prepare_cached(sql)?.execute(params![id.ordinal(), now.as_micros()])?;
    }
    Ok(notification)
}
