//! Claiming: waiting deliveries that are due and have their limits become running, in the order of their turnstile.
//!
//! The index `deliveries_ready` holds those in line by consumer, group, lane, priority, due time and age. The turnstile
//! says which group is worth a look, so a claim touches no row that it does not take.

use super::tables::Tables;
use super::{Book, Stop, Try, lock, moved_on};
use crate::delivery::transition;
use crate::store::turnstile::{Grant, Rows};
use crate::store::{Claim, Granted, plan};
use crate::{Delivery, Timestamp};

/// A delivery that was taken, before its event is read.
#[derive(Debug)]
pub(in crate::store) struct TakenOne {
    pub(in crate::store) delivery: Delivery,
    pub(in crate::store) owner: Option<String>,
    pub(in crate::store) start: Timestamp,
    pub(in crate::store) keys: Vec<Granted>,
}

/// What a claim gives.
#[derive(Debug, Default)]
pub(in crate::store) struct Taken {
    pub(in crate::store) deliveries: Vec<TakenOne>,
    pub(in crate::store) next: Option<Timestamp>,
    pub(in crate::store) paused: Vec<(String, Option<Timestamp>)>,
}

pub(in crate::store) fn claim<T: Tables>(book: &mut Book<T>, claim: &Claim) -> Try<Taken, T> {
    let mut taken = Taken::default();
    let mut wanted: Vec<(&str, usize)> = Vec::with_capacity(claim.wanted.len());
    for one in &claim.wanted {
        let Some(consumer) = book.names.known_consumer(&one.consumer) else { continue };
        let due = book.promote(consumer, &one.consumer, claim.now)?;
        taken.next = taken.next.into_iter().chain(due).min();
        match book.names.pause(consumer, claim.now) {
            Some(closure) => taken.paused.push((one.consumer.clone(), closure.until)),
            None => wanted.push((&one.consumer, one.max)),
        }
    }
    let shared = std::sync::Arc::clone(&book.turnstile);
    {
        let mut turnstile = lock(&shared);
        let served = turnstile.serve(&mut Claiming { book, claim, taken: &mut taken.deliveries }, &wanted, claim.now);
        served.map_err(half_way)?;
        taken.next = taken.next.into_iter().chain(turnstile.next(&wanted)).min();
    }
    book.write_keys()?;
    Ok(taken)
}

/// A claim that stops half way is rolled back in any case, so that the turnstile is rebuilt.
fn half_way<F>(stop: Stop<F>) -> Stop<F> {
    match stop {
        Stop::Refused(error) => Stop::HalfWay(error),
        broken => broken,
    }
}

/// The rows while a claim takes from them. The turnstile is locked meanwhile.
struct Claiming<'a, T> {
    book: &'a mut Book<T>,
    claim: &'a Claim,
    taken: &'a mut Vec<TakenOne>,
}

impl<T: Tables> Claiming<'_, T> {
    fn consumer(&self, name: &str) -> i64 {
        self.book.names.known_consumer(name).unwrap_or(-1)
    }
}

impl<T: Tables> Rows for Claiming<'_, T> {
    type Error = Stop<T::Failure>;

    fn next_lane(&mut self, consumer: &str, group: &str, after: Option<&str>) -> Try<Option<Delivery>, T> {
        self.book.tables.next_lane(self.consumer(consumer), group, after)
    }

    fn lane(&mut self, consumer: &str, group: &str, turn: &str, max: usize) -> Try<Vec<Delivery>, T> {
        self.book.tables.lane(self.consumer(consumer), group, turn, max)
    }

    fn head(&mut self, consumer: &str, group: &str) -> Try<Option<Delivery>, T> {
        self.book.tables.head(self.consumer(consumer), group)
    }

    fn take(&mut self, before: Delivery, grant: Grant) -> Try<Delivery, T> {
        let action = plan::claim(self.claim, &before, &grant);
        let next = transition(&before, &action, self.claim.now).map_err(|refusal| plan::refused(&before, refusal));
        let (next, _) = next?;
        let operation = self.book.operation(before.operation)?;
        if !self.book.claim_row(&before, &next)? {
            return Err(moved_on(before.id).into());
        }
        let owner = operation.owner.clone();
        self.book.remember(&next, operation);
        let Grant { start, keys, .. } = grant;
        self.taken.push(TakenOne { delivery: next.clone(), owner, start, keys });
        Ok(next)
    }
}
