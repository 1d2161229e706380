//! A story as a tree: events, the deliveries of each, and the events that these emitted. What is alike is one node.

use std::collections::HashMap;

use super::{Story, StoryDelivery, StoryEvent};
use crate::{DeliveryId, EventKey};

/// Links of a chain that are drawn; what hangs deeper is only counted. A chain is this deep only when it loops.
const DEPTH_MAX: usize = 64;

/// Events of one type that follow from the same: one event, or more than could be told one by one.
pub(super) struct EventNode<'a> {
    pub(super) events: Vec<&'a StoryEvent>,
    /// Their deliveries by consumer.
    pub(super) deliveries: Vec<DeliveryNode<'a>>,
    /// Events that follow from them, where nobody can tell from which delivery.
    pub(super) next: Vec<EventNode<'a>>,
    /// Events that hang deeper than is drawn.
    pub(super) deeper: usize,
}

/// The deliveries of a node's events to one consumer.
pub(super) struct DeliveryNode<'a> {
    pub(super) consumer: &'a str,
    pub(super) deliveries: Vec<&'a StoryDelivery>,
    /// What they emitted.
    pub(super) next: Vec<EventNode<'a>>,
}

/// The root events. More than `fold` siblings of one type are one node.
pub(super) fn tree(story: &Story, fold: usize) -> Vec<EventNode<'_>> {
    let mut links = Links { fold, of_delivery: HashMap::new(), of_event: HashMap::new() };
    let roots = links.hang(story);
    links.branch(roots, 0)
}

struct Links<'a> {
    fold: usize,
    of_delivery: HashMap<DeliveryId, Vec<&'a StoryEvent>>,
    of_event: HashMap<EventKey, Vec<&'a StoryEvent>>,
}

impl<'a> Links<'a> {
    /// Hangs each event to what it follows from, one link higher, and answers those that hang nowhere.
    fn hang(&mut self, story: &'a Story) -> Vec<&'a StoryEvent> {
        let mut events: HashMap<(&str, u32), EventKey> = HashMap::new();
        for event in &story.events {
            events.entry((event.id.as_str(), event.depth)).or_insert(event.key);
        }
        let depths: HashMap<DeliveryId, u32> =
            story.deliveries().map(|(event, delivery)| (delivery.id, event.depth)).collect();
        let mut roots = Vec::new();
        for event in &story.events {
            let above = event.depth.checked_sub(1);
            let delivery = event.caused_by.as_ref().map(|cause| cause.delivery);
            let delivery = delivery.filter(|delivery| above.is_some() && depths.get(delivery).copied() == above);
            let before = || events.get(&(event.causation_id.as_deref()?, above?));
            match delivery {
                Some(delivery) => self.of_delivery.entry(delivery).or_default().push(event),
                None => match before() {
                    Some(before) => self.of_event.entry(*before).or_default().push(event),
                    None => roots.push(event),
                },
            }
        }
        roots
    }

    fn branch(&self, siblings: Vec<&'a StoryEvent>, depth: usize) -> Vec<EventNode<'a>> {
        let mut nodes = Vec::new();
        for events in grouped(siblings, |event| event.kind.as_str()) {
            if events.len() > self.fold {
                nodes.push(self.node(events, depth));
            } else {
                nodes.extend(events.into_iter().map(|event| self.node(vec![event], depth)));
            }
        }
        nodes
    }

    fn node(&self, events: Vec<&'a StoryEvent>, depth: usize) -> EventNode<'a> {
        let of_consumer = grouped(events.iter().flat_map(|event| &event.deliveries), |one| one.consumer.as_str());
        if depth >= DEPTH_MAX {
            let deliveries = of_consumer.into_iter().map(|deliveries| DeliveryNode::of(deliveries, Vec::new()));
            let (deliveries, deeper) = (deliveries.collect(), self.below(&events));
            return EventNode { events, deliveries, next: Vec::new(), deeper };
        }
        let delivery_node = |deliveries: Vec<&'a StoryDelivery>| {
            let next = deliveries.iter().filter_map(|delivery| self.of_delivery.get(&delivery.id)).flatten();
            let next = self.branch(next.copied().collect(), depth + 1);
            DeliveryNode::of(deliveries, next)
        };
        let deliveries = of_consumer.into_iter().map(delivery_node).collect();
        let next = events.iter().filter_map(|event| self.of_event.get(&event.key)).flatten().copied().collect();
        EventNode { next: self.branch(next, depth + 1), events, deliveries, deeper: 0 }
    }

    /// How many events follow from these, over any number of links.
    fn below(&self, events: &[&'a StoryEvent]) -> usize {
        let (mut left, mut count) = (events.to_vec(), 0);
        while let Some(event) = left.pop() {
            let emitted = event.deliveries.iter().filter_map(|delivery| self.of_delivery.get(&delivery.id));
            let next = emitted.chain(self.of_event.get(&event.key)).flatten();
            let before = left.len();
            left.extend(next.copied());
            count += left.len() - before;
        }
        count
    }
}

impl<'a> DeliveryNode<'a> {
    fn of(deliveries: Vec<&'a StoryDelivery>, next: Vec<EventNode<'a>>) -> Self {
        Self { consumer: deliveries.first().map_or("", |delivery| &delivery.consumer), deliveries, next }
    }
}

/// Items with the same key together, in the order of their first appearance.
fn grouped<'a, T>(items: impl IntoIterator<Item = &'a T>, key: impl Fn(&'a T) -> &'a str) -> Vec<Vec<&'a T>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for item in items {
        let at = *places.entry(key(item)).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }
    groups
}
