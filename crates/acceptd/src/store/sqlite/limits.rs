//! Limits: declare, pause, resume and change them, permits within attempts, and the clock being set.

use rusqlite::params;

use super::book::Book;
use super::error::Try;
use super::names::Names;
use super::row::to_json;
use super::settle;
use super::turnstile::lock;
use crate::limit::{Limit, LimitChange};
use crate::store::turnstile::HoldId;
use crate::store::{LimitView, Pausable, Permit, Permitted, plan};
use crate::{Closure, Error, Timestamp};

pub(super) fn pause(book: &mut Book<'_>, what: &Pausable, closure: &Closure) -> Try<()> {
    match what {
        Pausable::Consumer(name) => {
            let consumer = book.names.consumer(book.conn, name)?;
            Ok(book.names.shut(book.conn, consumer, closure)?)
        }
        Pausable::Limit { limit, key } => {
            declared(book, limit)?;
            lock(&book.turnstile).pause(limit, key.as_deref(), closure.clone());
            write_limit(book, limit)?;
            book.write_keys()
        }
    }
}

pub(super) fn resume(book: &mut Book<'_>, what: &Pausable, now: Timestamp) -> Try<bool> {
    match what {
        Pausable::Consumer(name) => {
            let Some(consumer) = book.names.known_consumer(name) else { return Ok(false) };
            Ok(book.names.open(book.conn, consumer, now)?)
        }
        Pausable::Limit { limit, key } => {
            declared(book, limit)?;
            let resumed = lock(&book.turnstile).resume(limit, key.as_deref(), now);
            write_limit(book, limit)?;
            book.write_keys()?;
            Ok(resumed)
        }
    }
}

pub(super) fn change(book: &mut Book<'_>, limit: &str, change: Option<LimitChange>) -> Try<LimitView> {
    declared(book, limit)?;
    let now = change.as_ref().map_or(Timestamp::default(), |change| change.at);
    lock(&book.turnstile).set_change(limit, change);
    write_limit(book, limit)?;
    lock(&book.turnstile).limit(limit, now).ok_or_else(|| Error::not_found("limit", limit).into())
}

/// Takes over a limit as it is declared now; what was changed and paused of it stays.
pub(super) fn declare(book: &mut Book<'_>, limit: &Limit) -> Try<()> {
    {
        let mut turnstile = lock(&book.turnstile);
        let (change, pause) = (turnstile.change(&limit.name).cloned(), turnstile.limit_pause(&limit.name).cloned());
        turnstile.declare(limit.clone(), change, pause);
    }
    write_limit(book, &limit.name)
}

/// Writes what is known of a limit.
pub(super) fn write_limit(book: &Book<'_>, limit: &str) -> Try<()> {
    let turnstile = lock(&book.turnstile);
    let sql = "INSERT OR REPLACE INTO limits (name, declared, change, pause) VALUES (?1, ?2, ?3, ?4)";
    let declared = to_json(turnstile.declared(limit))?;
    let (change, pause) = (to_json(turnstile.change(limit))?, to_json(turnstile.limit_pause(limit))?);
    book.conn.prepare_cached(sql)?.execute(params![limit, declared, change, pause])?;
    Ok(())
}

pub(super) fn permit(book: &mut Book<'_>, permit: &Permit) -> Try<Permitted> {
    declared(book, &permit.key.limit)?;
    let delivery = settle::running(book, permit.delivery, permit.fence, permit.now)?;
    let permitted = lock(&book.turnstile).permit(&delivery, &permit.key, permit.now);
    match permitted {
        Ok((hold, grant)) => {
            book.keep_hold(&permit.key, &hold)?;
            book.write_keys()?;
            Ok(Permitted::Held { id: hold.id, grant })
        }
        Err(again) => Ok(Permitted::Busy(again)),
    }
}

pub(super) fn give_back(book: &mut Book<'_>, hold: HoldId) -> Try<Vec<String>> {
    if hold.permit == 0 && !lock(&book.turnstile).lingers(hold) {
        return Ok(Vec::new());
    }
    book.forget_hold(hold)?;
    Ok(lock(&book.turnstile).left(hold, None))
}

pub(super) fn shift(book: &mut Book<'_>, micros: i64, now: Timestamp) -> Try<()> {
    let sql = "UPDATE deliveries SET lease = lease + ?1, deadline = deadline + ?1 WHERE state = 1";
    book.conn.prepare_cached(sql)?.execute([micros])?;
    let sql = "UPDATE deliveries SET throttled_since = throttled_since + ?1 WHERE throttled_since IS NOT NULL";
    book.conn.prepare_cached(sql)?.execute([micros])?;
    book.conn.prepare_cached("UPDATE holds SET until = until + ?1")?.execute([micros])?;
    // The due time of what was tried before is a wait from then on; that of the rest may be one that a caller named.
    let sql =
        "UPDATE deliveries INDEXED BY deliveries_due SET due = due + ?1 WHERE state = 0 AND ready = 0 AND fence > 0";
    book.conn.prepare_cached(sql)?.execute([micros])?;
    // What a target asked for is a wait from then on, and what is over stays over; a person named an instant.
    let moves = "until IS NOT NULL AND (by = ?2 OR until <= ?3)";
    let sql = format!(
        "UPDATE closures SET since = iif({moves}, since + ?1, min(since, since + ?1)), \
         until = iif({moves}, until + ?1, until) WHERE gate = 0"
    );
    book.conn.execute(&sql, params![micros, plan::TARGET, now.as_micros()])?;
    book.names = Names::load(book.conn)?;
    // So that a crash from here on does not move it all again.
    book.conn.prepare_cached("UPDATE uptime SET at = at + ?1")?.execute([micros])?;
    let paused = lock(&book.turnstile).shift(micros);
    paused.iter().try_for_each(|limit| write_limit(book, limit))?;
    book.forget_running();
    book.write_keys()
}

fn declared(book: &Book<'_>, limit: &str) -> Try<()> {
    lock(&book.turnstile).declared(limit).map(drop).ok_or_else(|| Error::not_found("limit", limit).into())
}
