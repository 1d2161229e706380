//! Limits: declare, pause, resume and change them, permits within attempts, and the clock being set.

use super::tables::Tables;
use super::{Book, Try, lock, settle};
use crate::limit::{Limit, LimitChange};
use crate::store::turnstile::HoldId;
use crate::store::{LimitView, Pausable, Permit, Permitted};
use crate::{Closure, Error, Timestamp};

pub(in crate::store) fn pause<T: Tables>(book: &mut Book<T>, what: &Pausable, closure: &Closure) -> Try<(), T> {
    match what {
        Pausable::Consumer(name) => {
            let consumer = book.consumer(name)?;
            book.shut(consumer, closure)
        }
        Pausable::Limit { limit, key } => {
            declared(book, limit)?;
            lock(&book.turnstile).pause(limit, key.as_deref(), closure.clone());
            book.write_limit(limit)?;
            book.write_keys()
        }
    }
}

pub(in crate::store) fn resume<T: Tables>(book: &mut Book<T>, what: &Pausable, now: Timestamp) -> Try<bool, T> {
    match what {
        Pausable::Consumer(name) => {
            let Some(consumer) = book.names.known_consumer(name) else { return Ok(false) };
            book.open_gate(consumer, now)
        }
        Pausable::Limit { limit, key } => {
            declared(book, limit)?;
            let resumed = lock(&book.turnstile).resume(limit, key.as_deref(), now);
            book.write_limit(limit)?;
            book.write_keys()?;
            Ok(resumed)
        }
    }
}

pub(in crate::store) fn change<T: Tables>(
    book: &mut Book<T>,
    limit: &str,
    change: Option<LimitChange>,
) -> Try<LimitView, T> {
    declared(book, limit)?;
    let now = change.as_ref().map_or(Timestamp::default(), |change| change.at);
    lock(&book.turnstile).set_change(limit, change);
    book.write_limit(limit)?;
    lock(&book.turnstile).limit(limit, now).ok_or_else(|| Error::not_found("limit", limit).into())
}

pub(in crate::store) fn permit<T: Tables>(book: &mut Book<T>, permit: &Permit) -> Try<Permitted, T> {
    declared(book, &permit.key.limit)?;
    let delivery = settle::running(book, permit.delivery, permit.fence, permit.now)?;
    let permitted = lock(&book.turnstile).permit(&delivery, &permit.key, permit.now);
    match permitted {
        Ok((hold, grant)) => {
            book.tables.put_hold(&permit.key, &hold)?;
            book.write_keys()?;
            Ok(Permitted::Held { id: hold.id, grant })
        }
        Err(again) => Ok(Permitted::Busy(again)),
    }
}

pub(in crate::store) fn give_back<T: Tables>(book: &mut Book<T>, hold: HoldId) -> Try<Vec<String>, T> {
    if hold.permit == 0 && !lock(&book.turnstile).lingers(hold) {
        return Ok(Vec::new());
    }
    book.tables.forget_hold(hold)?;
    Ok(lock(&book.turnstile).left(hold, None))
}

pub(in crate::store) fn shift<T: Tables>(book: &mut Book<T>, micros: i64, now: Timestamp) -> Try<(), T> {
    book.tables.shift(micros, now)?;
    book.names = book.tables.names()?;
    let paused = lock(&book.turnstile).shift(micros);
    paused.iter().try_for_each(|limit| book.write_limit(limit))?;
    book.forget_rows();
    book.write_keys()
}

fn declared<T: Tables>(book: &Book<T>, limit: &str) -> Try<(), T> {
    lock(&book.turnstile).declared(limit).map(drop).ok_or_else(|| Error::not_found("limit", limit).into())
}

impl<T: Tables> Book<T> {
    /// Takes over a limit as it is declared now; what was changed and paused of it stays.
    pub(super) fn declare(&mut self, limit: &Limit) -> Try<(), T> {
        {
            let mut turnstile = lock(&self.turnstile);
            let (change, pause) = (turnstile.change(&limit.name).cloned(), turnstile.limit_pause(&limit.name).cloned());
            turnstile.declare(limit.clone(), change, pause);
        }
        self.write_limit(&limit.name)
    }

    /// Writes what is known of a limit.
    pub(super) fn write_limit(&mut self, limit: &str) -> Try<(), T> {
        let turnstile = lock(&self.turnstile);
        let Some(declared) = turnstile.declared(limit) else { return Ok(()) };
        self.tables.put_limit(declared, turnstile.change(limit), turnstile.limit_pause(limit))
    }
}
