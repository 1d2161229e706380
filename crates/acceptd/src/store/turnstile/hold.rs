//! Who holds a slot: an attempt that runs, an attempt whose end nobody knows, or a permit within a handler.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Fact, Grant, Granted, KeyRef, Turnstile};
use crate::{Delivery, DeliveryId, OperationId, Timestamp};

/// Which hold: the attempt, and which of its permits; 0 is the attempt itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HoldId {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The attempt's fence.
    pub fence: u64,
    /// The number of the permit within the attempt; 0 is the attempt itself.
    pub permit: u32,
}

/// A slot that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which.
    pub id: HoldId,
    /// For which operation.
    pub operation: OperationId,
    /// By which consumer.
    pub consumer: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when its target may be working on it, once nobody hears of the attempt any more.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// The slot of a running delivery.
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            id: HoldId::of(delivery),
            operation: delivery.operation,
            consumer: delivery.consumer.clone(),
            since: delivery.since,
            until: None,
        }
    }

    /// Whether it is held at that instant.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl HoldId {
    /// The attempt that runs of a delivery.
    pub fn of(delivery: &Delivery) -> Self {
        Self { delivery: delivery.id, fence: delivery.fence, permit: 0 }
    }
}

impl Turnstile {
    /// A running delivery holds its keys.
    pub fn hold(&mut self, delivery: &Delivery) {
        let Some(line) = self.lines.get(delivery.consumer.as_str()) else { return };
        if line.policy.limits.is_empty() {
            return;
        }
        let keys: Vec<_> =
            line.policy.keys(&delivery.lane.group).map(|(limit, key)| super::key_ref(limit, key)).collect();
        self.hold_keys(&keys, &Hold::of(delivery));
    }

    /// A hold on these keys.
    pub fn hold_keys(&mut self, keys: &[KeyRef], hold: &Hold) {
        self.note(|| Fact::Held { keys: keys.to_vec(), hold: hold.clone() });
        for key in keys {
            self.keys.entry(key.clone()).or_default().holds.insert(hold.id, hold.clone());
        }
        self.held.entry(hold.id).or_default().extend_from_slice(keys);
    }

    /// The keys of a hold.
    pub fn keys_of(&self, id: HoldId) -> &[KeyRef] {
        self.held.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Which permits an attempt holds.
    pub fn permits(&self, id: HoldId) -> Vec<HoldId> {
        let permit = |permit: u32| HoldId { permit, ..id };
        self.held.range(permit(1)..=permit(u32::MAX)).map(|(id, _)| *id).collect()
    }

    /// The keys of an attempt's permits.
    pub fn keys_of_permits(&self, id: HoldId) -> Vec<KeyRef> {
        self.permits(id).into_iter().flat_map(|permit| self.keys_of(permit)).cloned().collect()
    }

    /// Whether an attempt's slots are held only because nobody has heard of its end.
    pub fn lingers(&self, id: HoldId) -> bool {
        let hold = |key: &KeyRef| self.keys.get(key)?.holds.get(&id);
        self.keys_of(id).iter().filter_map(hold).any(|hold| hold.until.is_some())
    }

    /// An attempt left: its slots are free, or stay held until then. Answers the consumers that may go on.
    pub fn left(&mut self, id: HoldId, until: Option<Timestamp>) -> Vec<String> {
        let Some(keys) = self.held.remove(&id) else { return Vec::new() };
        self.note(|| Fact::Left { id, until });
        let mut woken = BTreeSet::new();
        for key in &keys {
            let Some(state) = self.keys.get_mut(key) else { continue };
            match (until, state.holds.get_mut(&id)) {
                (Some(until), Some(hold)) => hold.until = Some(until),
                _ => drop(state.holds.remove(&id)),
            }
            if !state.waiters.is_empty() {
                // Who waits in front may not be able to go on: its consumer may be paused, or have no room.
                let waits = |line: &super::Line| !line.groups.is_empty() && line.policy.uses(&key.limit);
                woken.extend(self.lines.iter().filter(|(_, line)| waits(line)).map(|(consumer, _)| consumer));
                self.opened.push_back(key.clone());
            } else if state.is_empty() {
                self.keys.remove(key);
            }
        }
        if until.is_some() {
            self.held.insert(id, keys);
        }
        woken.into_iter().map(|consumer| consumer.to_string()).collect()
    }

    /// Takes a slot and a start of one key for a call within an attempt.
    ///
    /// # Errors
    /// When to ask again, where that is known.
    pub fn permit(
        &mut self,
        delivery: &Delivery,
        key: &KeyRef,
        now: Timestamp,
    ) -> Result<(Hold, Grant), Option<Timestamp>> {
        self.catch_up(key, now);
        if let Some(governor) = self.limits.get(&key.limit) {
            let state = self.keys.entry(key.clone()).or_default();
            if let Err(block) = state.room(governor, now, super::nanoseconds(crate::limit::AHEAD)) {
                state.saturated = super::nanos(now);
                return Err(block.opens().map(super::instant));
            }
        }
        let attempt = HoldId::of(delivery);
        let permit = self.permits(attempt).iter().map(|one| one.permit).max().unwrap_or(0) + 1;
        let hold = Hold { id: HoldId { permit, ..attempt }, since: now, ..Hold::of(delivery) };
        let start = self.start(std::slice::from_ref(key), now);
        self.hold_keys(std::slice::from_ref(key), &hold);
        let keys = vec![Granted { key: key.clone(), pace: self.exact_pace(key) }];
        Ok((hold, Grant { start, keys, held_by: None }))
    }

    /// Brings a key to the present: holds that are over go, and so does what nothing waits for any more.
    pub(super) fn catch_up(&mut self, key: &KeyRef, now: Timestamp) {
        self.expire(key, now);
        if let (Some(governor), Some(state)) = (self.limits.get(&key.limit), self.keys.get_mut(key))
            && state.catch_up(governor, now)
        {
            self.dirty.insert(key.clone());
        }
    }

    /// Drops holds of a key that are over.
    pub(super) fn expire(&mut self, key: &KeyRef, now: Timestamp) {
        let Some(state) = self.keys.get_mut(key) else { return };
        if state.holds.values().all(|hold| hold.until.is_none()) {
            return;
        }
        for id in state.expire(now) {
            forget(&mut self.held, id, key);
        }
    }
}

fn forget(held: &mut BTreeMap<HoldId, Vec<KeyRef>>, id: HoldId, key: &KeyRef) {
    if let Some(keys) = held.get_mut(&id) {
        keys.retain(|one| one != key);
        if keys.is_empty() {
            held.remove(&id);
        }
    }
}
