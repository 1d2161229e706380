//! The catalog as nodes and arrows: what Mermaid, Graphviz and the drawing show.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{is_own, limits_of, short_mark};
use crate::catalog::{Catalog, EdgeKind, EdgeState};

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NodeKind {
    /// Where events come from.
    Source,
    /// An event type.
    Event,
    /// A consumer.
    Consumer,
    /// Where a consumer's deliveries go.
    Target,
}

/// A node with its text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Its text; the first line is its name.
    pub(super) lines: Vec<String>,
}

/// An arrow between two nodes, by their positions in the list.
#[derive(Debug, Clone)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) state: EdgeState,
    pub(super) label: Option<String>,
}

/// Nodes and arrows, in a stable order.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) arrows: Vec<Arrow>,
}

/// The key of a node: its kind and its name.
type Key = (NodeKind, String);

impl Graph {
    /// The graph of a catalog.
    pub(super) fn of(catalog: &Catalog) -> Self {
        let mut links: Vec<(Key, Key, EdgeState, Option<String>)> = Vec::new();
        for edge in &catalog.edges {
            let event = (NodeKind::Event, edge.event.clone());
            let consumer = (NodeKind::Consumer, edge.consumer.clone().unwrap_or_default());
            let (from, to) = match edge.kind {
                EdgeKind::Accepts => ((NodeKind::Source, "outside".to_owned()), event),
                EdgeKind::Takes => (event, consumer),
                EdgeKind::Emits => (consumer, event),
            };
            links.push((from, to, edge.state, short_mark(edge)));
        }
        for event in catalog.events.iter().filter(|event| is_own(&event.kind)) {
            let (from, to) = ((NodeKind::Source, "acceptd".to_owned()), (NodeKind::Event, event.kind.clone()));
            links.push((from, to, EdgeState::Declared, None));
        }
        for consumer in catalog.consumers.iter().filter(|consumer| consumer.target != "function") {
            let name = if consumer.target == "inbox" { "inbox" } else { &consumer.address };
            let (from, to) = ((NodeKind::Consumer, consumer.name.clone()), (NodeKind::Target, name.to_owned()));
            links.push((from, to, EdgeState::Declared, None));
        }
        let keys = keys(catalog, &links);
        let places: BTreeMap<&Key, usize> = keys.iter().enumerate().map(|(at, key)| (key, at)).collect();
        let nodes = keys.iter().map(|(kind, name)| Node { kind: *kind, lines: lines(catalog, *kind, name) }).collect();
        let arrow = |(from, to, state, label): &(Key, Key, EdgeState, Option<String>)| {
            let (from, to) = (*places.get(from)?, *places.get(to)?);
            Some(Arrow { from, to, state: *state, label: label.clone() })
        };
        let arrows = links.iter().filter_map(arrow).collect();
        Self { nodes, arrows }
    }
}

fn keys(catalog: &Catalog, links: &[(Key, Key, EdgeState, Option<String>)]) -> BTreeSet<Key> {
    let events = catalog.events.iter().map(|event| (NodeKind::Event, event.kind.clone()));
    let consumers = catalog.consumers.iter().map(|consumer| (NodeKind::Consumer, consumer.name.clone()));
    let linked = links.iter().flat_map(|(from, to, ..)| [from.clone(), to.clone()]);
    events.chain(consumers).chain(linked).collect()
}

/// A node's name, and what holds it.
fn lines(catalog: &Catalog, kind: NodeKind, name: &str) -> Vec<String> {
    let mut lines = vec![name.to_owned()];
    match kind {
        NodeKind::Event if catalog.event(name).is_some_and(|event| event.consumed_by.is_empty()) => {
            lines.push("nobody takes it".to_owned());
        }
        NodeKind::Consumer => {
            let Some(consumer) = catalog.consumer(name) else {
                lines.push("undeclared".to_owned());
                return lines;
            };
            let limits = limits_of(catalog, consumer);
            lines.extend((!limits.is_empty()).then(|| format!("limit {}", limits.join(", "))));
            lines.extend(consumer.lock.as_ref().map(|key| format!("lock {key}")));
        }
        _ => {}
    }
    lines
}
