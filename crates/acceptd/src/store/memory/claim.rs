//! Claiming: waiting deliveries that are due become running, in the order of their queue.

use std::cmp::Reverse;

use super::Tables;
use crate::delivery::{Action, State, transition};
use crate::store::{Claim, Claimed, Claims, plan};
use crate::{Delivery, DeliveryId, Result, Timestamp};

/// Where a delivery stands in its consumer's queue: priority, then due time, then age.
pub(super) fn place(delivery: &Delivery) -> (Reverse<i8>, Timestamp, DeliveryId) {
    (Reverse(delivery.priority), delivery.due, delivery.id)
}

impl Tables {
    pub(super) fn claim(&mut self, claim: &Claim) -> Result<Claims> {
        let paused = self.shut_by(&claim.consumer, claim.now).map(|closure| closure.until);
        let mut claimed = Vec::new();
        if paused.is_none() {
            let mut due: Vec<_> =
                self.waiting(&claim.consumer).filter(|delivery| delivery.due <= claim.now).cloned().collect();
            due.sort_by_key(place);
            for delivery in due.into_iter().take(claim.max) {
                claimed.push(self.claim_one(&delivery, claim)?);
            }
        }
        let next_due = self.waiting(&claim.consumer).map(|delivery| delivery.due).filter(|due| *due > claim.now).min();
        Ok(Claims { claimed, next_due, paused })
    }

    fn claim_one(&mut self, delivery: &Delivery, claim: &Claim) -> Result<Claimed> {
        let action = Action::Claim { node: claim.node, max_attempts: claim.max_attempts };
        let (delivery, _) =
            transition(delivery, &action, claim.now).map_err(|refusal| plan::refused(delivery, refusal))?;
        let event = self.event(delivery.event)?.clone();
        let owner = self.operation(delivery.operation)?.owner.clone();
        self.put(delivery.clone());
        Ok(Claimed { delivery, event, owner })
    }

    /// The waiting deliveries of a consumer, oldest first.
    pub(super) fn waiting(&self, consumer: &str) -> impl Iterator<Item = &Delivery> {
        self.live().filter(move |delivery| delivery.state == State::Waiting && delivery.consumer == consumer)
    }
}
