//! Claiming: waiting deliveries that are due and have their limits become running, in the order of their turnstile.

use std::cmp::Reverse;

use super::Tables;
use crate::delivery::{State, transition};
use crate::store::turnstile::{Grant, Head, Rows};
use crate::store::{Claim, Claimed, Claims, plan};
use crate::{Delivery, DeliveryId, Error, Result, Timestamp};

/// Where a delivery stands in its lane: priority, then due time, then age.
pub(super) fn place(delivery: &Delivery) -> (Reverse<i8>, Timestamp, DeliveryId) {
    (Reverse(delivery.priority), delivery.due, delivery.id)
}

impl Tables {
    pub(super) fn claim(&mut self, claim: &Claim) -> Result<Claims> {
        let (mut wanted, mut paused, mut next) = (Vec::new(), Vec::new(), None);
        for one in &claim.wanted {
            next = next.into_iter().chain(self.promote(&one.consumer, claim.now)).min();
            match self.shut_by(&one.consumer, claim.now) {
                Some(closure) => paused.push((one.consumer.clone(), closure.until)),
                None => wanted.push((one.consumer.as_str(), one.max)),
            }
        }
        let mut turnstile = std::mem::take(&mut self.turnstile);
        let mut rows = Claiming { tables: self, claim, claimed: Vec::new() };
        let served = turnstile.serve(&mut rows, &wanted, claim.now);
        let claimed = rows.claimed;
        next = next.into_iter().chain(turnstile.next(&wanted)).min();
        self.turnstile = turnstile;
        served.map(|_| Claims { claimed, next, paused })
    }

    /// Lets what is due now get in line. Answers when the next will be due.
    fn promote(&mut self, consumer: &str, now: Timestamp) -> Option<Timestamp> {
        let ready = &self.ready;
        let mut later: Vec<_> =
            self.waiting(consumer).filter(|one| !ready.contains(&one.id)).map(|one| (one.due, one.id)).collect();
        later.sort_unstable();
        let due = later.partition_point(|(due, _)| *due <= now);
        for (_, id) in &later[..due] {
            self.ready.insert(*id);
            if let Some(delivery) = self.deliveries.get(id) {
                self.turnstile.offer(consumer, &delivery.lane.group, Head::of(delivery));
                self.turnstile.look_again(consumer, &delivery.lane.group);
            }
        }
        later.get(due).map(|(due, _)| *due)
    }

    /// The waiting deliveries of a consumer, oldest first.
    pub(super) fn waiting(&self, consumer: &str) -> impl Iterator<Item = &Delivery> {
        self.live().filter(move |delivery| delivery.state == State::Waiting && delivery.consumer == consumer)
    }

    /// The deliveries of a group that are in line.
    pub(super) fn in_line(&self, consumer: &str, group: &str) -> impl Iterator<Item = &Delivery> {
        let ready = self.ready.iter().filter_map(|id| self.deliveries.get(id));
        ready.filter(move |delivery| delivery.consumer == consumer && delivery.lane.group == group)
    }
}

/// The tables while a claim takes from them; the turnstile is elsewhere.
struct Claiming<'a> {
    tables: &'a mut Tables,
    claim: &'a Claim,
    claimed: Vec<Claimed>,
}

impl Rows for Claiming<'_> {
    type Error = Error;

    fn next_lane(&mut self, consumer: &str, group: &str, after: Option<&str>) -> Result<Option<Delivery>> {
        let later =
            self.tables.in_line(consumer, group).filter(|one| after.is_none_or(|after| &one.lane.turn[..] > after));
        Ok(later.min_by_key(|one| (one.lane.turn.clone(), place(one))).cloned())
    }

    fn lane(&mut self, consumer: &str, group: &str, turn: &str, max: usize) -> Result<Vec<Delivery>> {
        let mut lane: Vec<_> =
            self.tables.in_line(consumer, group).filter(|one| one.lane.turn == turn).cloned().collect();
        lane.sort_by_key(place);
        lane.truncate(max);
        Ok(lane)
    }

    fn head(&mut self, consumer: &str, group: &str) -> Result<Option<Delivery>> {
        let of_group = |one: &&Delivery| one.consumer == consumer && one.lane.group == group && one.lane.ordered;
        let live = self.tables.live().filter(of_group);
        Ok(live.min_by_key(|one| (one.state != State::Running, one.id)).cloned())
    }

    fn take(&mut self, delivery: Delivery, grant: Grant) -> Result<Delivery> {
        let action = plan::claim(self.claim, &delivery, &grant);
        let claimed = transition(&delivery, &action, self.claim.now);
        let (delivery, _) = claimed.map_err(|refusal| plan::refused(&delivery, refusal))?;
        let event = self.tables.event(delivery.event)?.clone();
        let owner = self.tables.operation(delivery.operation)?.owner.clone();
        self.tables.ready.remove(&delivery.id);
        self.tables.keep(delivery.clone());
        let Grant { start, keys, .. } = grant;
        self.claimed.push(Claimed { delivery: delivery.clone(), event, owner, start, keys });
        Ok(delivery)
    }
}
