//! What is known by heart: the numbers of consumers and nodes, nodes' heartbeats, and pauses. Small tables, read once
//! at open and again after a rollback; every write goes to the table and to the memory.

use std::collections::HashMap;

use super::tables::Tables;
use super::{Book, Try};
use crate::{Closure, Gate, NodeId, Timestamp};

/// The numbers of consumers and nodes, and the pauses that are not over.
#[derive(Debug, Default)]
pub(in crate::store) struct Names {
    pub(in crate::store) consumers: HashMap<String, i64>,
    /// The number and the last heartbeat of each node.
    pub(in crate::store) nodes: HashMap<NodeId, (i64, Timestamp)>,
    /// Pauses by consumer, each with its number, oldest first.
    pub(in crate::store) pauses: HashMap<i64, Vec<(i64, Closure)>>,
    /// When the next delivery of each consumer is due that is not in line; not later than it really is.
    pub(in crate::store) due: HashMap<i64, Timestamp>,
}

impl Names {
    /// When the next delivery that is not in line is due.
    pub(super) fn next_due(&self, consumer: i64) -> Option<Timestamp> {
        self.due.get(&consumer).copied()
    }

    /// A delivery will be due then.
    pub(in crate::store) fn note_due(&mut self, consumer: i64, due: Timestamp) {
        let next = self.due.entry(consumer).or_insert(due);
        *next = due.min(*next);
    }

    /// The next delivery that is not in line is due then.
    pub(super) fn set_due(&mut self, consumer: i64, due: Option<Timestamp>) {
        match due {
            Some(due) => self.due.insert(consumer, due),
            None => self.due.remove(&consumer),
        };
    }

    /// The number of a consumer that was named before.
    pub(in crate::store) fn known_consumer(&self, name: &str) -> Option<i64> {
        self.consumers.get(name).copied()
    }

    /// The numbers of nodes that have been silent since before `since`, but for `me`.
    pub(super) fn silent(&self, me: NodeId, since: Timestamp) -> Vec<i64> {
        let nodes = self.nodes.iter().filter(|(node, (_, heartbeat))| **node != me && *heartbeat < since);
        nodes.map(|(_, (id, _))| *id).collect()
    }

    /// The pause that holds for a consumer now.
    pub(super) fn pause(&self, consumer: i64, now: Timestamp) -> Option<&Closure> {
        let pauses = self.pauses.get(&consumer)?;
        pauses.iter().map(|(_, closure)| closure).find(|closure| closure.holds_at(now))
    }

    /// Every gate that is shut now, by consumer.
    pub(super) fn shut_gates(&self, now: Timestamp) -> Vec<(String, Closure)> {
        let shut = |(name, id): (&String, &i64)| Some((name.clone(), self.pause(*id, now)?.clone()));
        let mut gates: Vec<_> = self.consumers.iter().filter_map(shut).collect();
        gates.sort_by(|one, other| one.0.cmp(&other.0));
        gates
    }
}

impl<T: Tables> Book<T> {
    /// The number of a consumer, new when it was never named before.
    pub(super) fn consumer(&mut self, name: &str) -> Try<i64, T> {
        if let Some(id) = self.names.known_consumer(name) {
            return Ok(id);
        }
        let id = self.tables.add_consumer(name)?;
        self.names.consumers.insert(name.to_owned(), id);
        Ok(id)
    }

    /// The number of a node, new when it was never seen before.
    pub(super) fn node(&mut self, node: NodeId) -> Try<i64, T> {
        if let Some((id, _)) = self.names.nodes.get(&node) {
            return Ok(*id);
        }
        let id = self.tables.add_node(node)?;
        self.names.nodes.insert(node, (id, Timestamp::from_micros(0)));
        Ok(id)
    }

    /// The number of the node that something says, if it says one.
    pub(super) fn node_maybe(&mut self, node: Option<NodeId>) -> Try<Option<i64>, T> {
        node.map(|node| self.node(node)).transpose()
    }

    /// Keeps that a node lives at `now`.
    pub(super) fn beat(&mut self, node: NodeId, now: Timestamp) -> Try<(), T> {
        let id = self.node(node)?;
        self.tables.beat(id, now)?;
        self.names.nodes.insert(node, (id, now));
        Ok(())
    }

    /// Shuts a consumer's gate. Of two closures the one that ends later holds; without an end is latest.
    pub(super) fn shut(&mut self, consumer: i64, closure: &Closure) -> Try<(), T> {
        let now = closure.from;
        if !closure.holds_at(now) {
            return Ok(());
        }
        if let Some(current) = self.names.pause(consumer, now) {
            let ends = |closure: &Closure| closure.until.unwrap_or(Timestamp::MAX);
            if current.until.is_none() || closure.until.is_some() && ends(current) >= ends(closure) {
                return Ok(());
            }
        }
        self.open_gate(consumer, now)?;
        let closure = Closure { gate: Gate::Pause, ..closure.clone() };
        let id = self.tables.add_closure(consumer, &closure)?;
        let pauses = self.names.pauses.entry(consumer).or_default();
        pauses.retain(|(_, closure)| closure.until.is_none_or(|until| until > now));
        pauses.push((id, closure));
        Ok(())
    }

    /// Opens a consumer's gate; how long it was shut stays known. False when it was not shut.
    pub(super) fn open_gate(&mut self, consumer: i64, now: Timestamp) -> Try<bool, T> {
        let Some(pauses) = self.names.pauses.get_mut(&consumer) else { return Ok(false) };
        let mut was_shut = false;
        for (id, closure) in pauses.iter_mut().filter(|(_, closure)| closure.holds_at(now)) {
            closure.until = Some(now);
            was_shut = true;
            match closure.from == now {
                true => self.tables.forget_closure(*id)?,
                false => self.tables.end_closure(*id, now)?,
            }
        }
        pauses.retain(|(_, closure)| closure.until.is_none_or(|until| until > now));
        Ok(was_shut)
    }
}
