//! What people do to operations and dead letters: cancel, retry, discard.

use super::tables::{Tables, Which};
use super::{Book, Try, consumers_of};
use crate::delivery::{Action, State};
use crate::store::{DeadLetters, KEPT_OUTCOME, Stopped, plan};
use crate::{Data, Delivery, DeliveryId, Error, ErrorKind, NotificationId, OperationId, Timestamp};

pub(in crate::store) fn cancel<T: Tables>(book: &mut Book<T>, id: OperationId, now: Timestamp) -> Try<Stopped, T> {
    let operation = book.operation(id)?;
    if let Some((status, _)) = operation.ended {
        return Err(Error::new(ErrorKind::Conflict, format!("operation {id} has ended: {}", status.as_str())).into());
    }
    let live = book.tables.deliveries_of(id, Which::Live)?;
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
            book.tables.add_notification(notification)?;
        }
        notified.extend(notifications.iter().map(|notification| notification.id));
        book.tables.abandon(id)?;
    }
    stopped(book, id, running, woken, notified)
}

pub(in crate::store) fn retry<T: Tables>(book: &mut Book<T>, what: DeadLetters, now: Timestamp) -> Try<Stopped, T> {
    let (operation, dead) = match what {
        DeadLetters::Delivery(id) | DeadLetters::Outcome(id) => {
            let delivery = book.delivery(id)?;
            (delivery.operation, vec![delivery])
        }
        DeadLetters::Operation(id) => {
            book.operation(id)?;
            (id, book.tables.deliveries_of(id, Which::Dead)?)
        }
    };
    if dead.is_empty() {
        let message = format!("operation {operation} has no dead letter");
        return Err(Error::new(ErrorKind::Conflict, message).into());
    }
    let kept = match what {
        DeadLetters::Outcome(id) => Some(book.tables.result(id)?.ok_or_else(|| plan::no_outcome(id))?),
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
fn keep_outcome<T: Tables>(book: &mut Book<T>, id: DeliveryId, outcome: Option<&Data>) -> Try<(), T> {
    book.tables.forget_step(id, KEPT_OUTCOME)?;
    match outcome {
        Some(outcome) => book.tables.add_step(id, KEPT_OUTCOME, &outcome.bytes),
        None => Ok(()),
    }
}

pub(in crate::store) fn discard<T: Tables>(book: &mut Book<T>, id: DeliveryId, now: Timestamp) -> Try<Stopped, T> {
    let dead = book.delivery(id)?;
    let (notified, woken) = act_on(book, std::slice::from_ref(&dead), &Action::Discard, now)?;
    stopped(book, dead.operation, Vec::new(), woken, notified)
}

/// Does the same to each of the deliveries. Callers pass only deliveries that allow it, or just one.
fn act_on<T: Tables>(
    book: &mut Book<T>,
    deliveries: &[Delivery],
    action: &Action,
    now: Timestamp,
) -> Try<(Vec<NotificationId>, Vec<String>), T> {
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

fn stopped<T: Tables>(
    book: &mut Book<T>,
    id: OperationId,
    running: Vec<DeliveryId>,
    mut woken: Vec<String>,
    notified: Vec<NotificationId>,
) -> Try<Stopped, T> {
    woken.sort_unstable();
    woken.dedup();
    Ok(Stopped { operation: book.tables.view(id)?, running, woken, notified })
}

/// Marks a notification as read.
pub(in crate::store) fn read<T: Tables>(
    book: &mut Book<T>,
    id: NotificationId,
    now: Timestamp,
) -> Try<crate::Notification, T> {
    let mut notification = book.tables.notification(id)?;
    if notification.read.is_none() {
        notification.read = Some(now);
        book.tables.mark_read(id, now)?;
    }
    Ok(notification)
}
