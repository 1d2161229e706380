//! Gates and nodes: pause, resume, register, heartbeat, rescue.

use std::collections::BTreeSet;
use std::time::Duration;

use super::settle::Applied;
use super::{Node, Tables};
use crate::delivery::{Action, State};
use crate::store::{Register, Registered, Rescued, Serving, plan};
use crate::{Closure, Delivery, Draft, EventKey, Gate, NodeId, Result, Route, Timestamp};

impl Tables {
    /// What keeps a consumer from claiming at that instant.
    pub(super) fn shut_by(&self, consumer: &str, now: Timestamp) -> Option<&Closure> {
        let closures = self.closures.get(consumer)?;
        closures.iter().find(|closure| closure.gate == Gate::Pause && closure.holds_at(now))
    }

    /// Every gate that is shut at that instant, by consumer.
    pub(super) fn shut_gates(&self, now: Timestamp) -> Vec<(String, Closure)> {
        let shut = |name: &String| Some((name.clone(), self.shut_by(name, now)?.clone()));
        self.closures.keys().filter_map(shut).collect()
    }

    /// Shuts a consumer's gate. Of two closures the one that ends later holds; without an end is latest.
    pub(super) fn shut(&mut self, consumer: &str, closure: Closure) {
        let now = closure.from;
        if !closure.holds_at(now) {
            return;
        }
        if let Some(current) = self.shut_by(consumer, now) {
            let ends = |closure: &Closure| closure.until.unwrap_or(Timestamp::MAX);
            if current.until.is_none() || closure.until.is_some() && ends(current) >= ends(&closure) {
                return;
            }
        }
        self.open(consumer, now);
        self.closures.entry(consumer.to_owned()).or_default().push(closure);
    }

    /// Opens a consumer's gate; how long it was shut stays known.
    pub(super) fn open(&mut self, consumer: &str, now: Timestamp) -> bool {
        let Some(closures) = self.closures.get_mut(consumer) else { return false };
        let mut was_shut = false;
        for closure in closures.iter_mut().filter(|closure| closure.gate == Gate::Pause && closure.holds_at(now)) {
            closure.until = Some(now);
            was_shut = true;
        }
        closures.retain(|closure| closure.until != Some(closure.from));
        was_shut
    }

    pub(super) fn register(&mut self, register: &Register) -> Result<Registered> {
        self.declare(register)?;
        let routed = self.route_waiting(register)?;
        let names: BTreeSet<_> = register.consumers.iter().map(|serving| serving.consumer.clone()).collect();
        for name in &names {
            self.note_absence(name, register);
        }
        let node = Node { heartbeat: register.now, consumers: names.iter().cloned().collect() };
        self.nodes.insert(register.node, node);
        self.heartbeat(register.node, register.now);
        let woken = names.into_iter().filter(|name| self.waiting(name).next().is_some()).collect();
        Ok(Registered { woken, routed })
    }

    pub(super) fn heartbeat(&mut self, node: NodeId, now: Timestamp) {
        let node = self.nodes.entry(node).or_default();
        node.heartbeat = now;
        self.served.extend(node.consumers.iter().map(|consumer| (consumer.clone(), now)));
    }

    pub(super) fn rescue(&mut self, me: NodeId, lease: Duration, now: Timestamp) -> Result<Vec<Rescued>> {
        let lost: Vec<_> = self.live().filter(|delivery| self.is_lost(delivery, me, lease, now)).cloned().collect();
        let mut rescued = Vec::new();
        for delivery in lost {
            let operation = self.operation(delivery.operation)?.clone();
            let change = plan::act(&Action::Rescue, &delivery, operation, now, &mut self.ids)?;
            let (delivery, attempt) = (change.delivery.clone(), change.attempt.clone());
            let Applied { ended, kind, woken, notified } = self.apply(change, now);
            rescued.push(Rescued { delivery, attempt, ended, kind, notified, woken });
        }
        Ok(rescued)
    }

    /// Whether whoever runs a delivery is gone: its target's lease is over, or its node is silent.
    fn is_lost(&self, delivery: &Delivery, me: NodeId, lease: Duration, now: Timestamp) -> bool {
        if delivery.state != State::Running {
            return false;
        }
        if let Some(own) = delivery.lease {
            return own <= now;
        }
        let is_silent = |node: NodeId| self.nodes.get(&node).is_none_or(|node| node.heartbeat < now - lease);
        delivery.node.is_none_or(|node| node != me && is_silent(node))
    }

    /// Notes since when nobody served a consumer, when that is longer than a lease.
    fn note_absence(&mut self, consumer: &str, register: &Register) {
        let never = self.waiting(consumer).map(|delivery| delivery.since).min();
        let Some(from) = self.served.get(consumer).copied().or(never) else { return };
        if from >= register.now - register.lease {
            return;
        }
        let (gate, until) = (Gate::NoConsumer, Some(register.now));
        let reason = "no node served the consumer".to_owned();
        let closure = Closure { gate, from, until, by: "acceptd".to_owned(), reason };
        self.closures.entry(consumer.to_owned()).or_default().push(closure);
    }

    /// Takes over the limits and how each consumer's deliveries wait by now. Those that stand elsewhere by that move.
    fn declare(&mut self, register: &Register) -> Result<()> {
        for limit in &register.limits {
            let change = self.turnstile.change(&limit.name).cloned();
            let pause = self.turnstile.limit_pause(&limit.name).cloned();
            self.turnstile.declare(limit.clone(), change, pause);
        }
        self.takers.clear();
        let (mut moved, mut is_changed) = (Vec::new(), false);
        for serving in &register.consumers {
            let before = self.turnstile.policy(&serving.consumer).cloned().unwrap_or_default();
            is_changed |= before != serving.policy;
            if before.moves(&serving.policy) {
                moved.push(serving);
            }
            self.turnstile.set_policy(&serving.consumer, serving.policy.clone());
            if serving.takes(plan::OPERATION_ENDED) {
                self.takers.push(serving.clone());
            }
        }
        for serving in moved {
            self.replace(serving)?;
        }
        if is_changed {
            self.recall();
        }
        Ok(())
    }

    /// Finds the new places of a consumer's deliveries.
    fn replace(&mut self, serving: &Serving) -> Result<()> {
        let live: Vec<_> = self.live().filter(|one| one.consumer == serving.consumer).cloned().collect();
        for delivery in live {
            let owner = self.operation(delivery.operation)?.owner.clone();
            let lane = serving.route_anyway(&self.event(delivery.event)?.draft, owner.as_deref()).lane;
            self.keep(Delivery { lane, ..delivery });
        }
        Ok(())
    }

    /// Gives root events that no consumer took to those that match now.
    fn route_waiting(&mut self, register: &Register) -> Result<usize> {
        let mut unrouted: Vec<(EventKey, Timestamp)> = self.unrouted.iter().map(|(key, due)| (*key, *due)).collect();
        // Type by type, and within a type by age, as a store does that finds them by an index.
        unrouted.sort_by_cached_key(|(key, _)| (self.events.get(key).map(|event| event.draft.kind.clone()), *key));
        let mut routed = 0;
        for (key, due) in unrouted {
            let event = self.event(key)?;
            let owner = self.operation(event.operation)?.owner.clone();
            let routes = routes_for(&event.draft, owner.as_deref(), register);
            if routes.is_empty() {
                continue;
            }
            let mut operation = self.operation(event.operation)?.clone();
            operation.unrouted -= 1;
            let mut deliveries = Vec::new();
            let times = (due.max(register.now), register.now);
            plan::route(&key, &routes, &mut operation, times, &mut self.ids, &mut deliveries);
            let (notifications, concluded) = plan::routed(&mut operation, register.now, &mut self.ids);
            self.notifications.extend(notifications.into_iter().map(|message| (message.id, message)));
            self.operations.insert(operation.id, operation.clone());
            for delivery in deliveries {
                self.put(delivery);
            }
            self.unrouted.remove(&key);
            if concluded {
                self.announce(&operation, register.now);
            }
            routed += 1;
        }
        Ok(routed)
    }
}

fn routes_for(draft: &Draft, owner: Option<&str>, register: &Register) -> Vec<Route> {
    let takers = register.consumers.iter().filter(|serving| serving.takes(&draft.kind));
    takers.map(|serving| serving.route_anyway(draft, owner)).collect()
}
