//! Drift: where what is declared and what was seen differ, and what leads nowhere.

use serde::{Deserialize, Serialize};

use super::{Catalog, EdgeKind, EdgeState, Loop};

/// Where a catalog's declarations and observations differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Edges that were seen and are not declared, each in a sentence.
    pub undeclared: Vec<String>,
    /// Edges that are declared and were never seen.
    pub never_seen: Vec<String>,
    /// Event types that nobody takes.
    pub unconsumed: Vec<String>,
    /// Ways from an event type back to itself.
    pub loops: Vec<Loop>,
}

impl Drift {
    /// Whether something happened that nobody declared.
    pub fn is_breach(&self) -> bool {
        !self.undeclared.is_empty()
    }
}

/// Compares what a catalog declares with what was seen.
pub fn drift(catalog: &Catalog) -> Drift {
    let edges = |state: EdgeState| {
        let edges = catalog.edges.iter().filter(move |edge| edge.state == state);
        edges.map(sentence).collect::<Vec<_>>()
    };
    let unconsumed = catalog.events.iter().filter(|event| event.consumed_by.is_empty());
    Drift {
        undeclared: edges(EdgeState::Undeclared),
        never_seen: edges(EdgeState::NeverSeen),
        unconsumed: unconsumed.map(|event| event.kind.clone()).collect(),
        loops: catalog.loops.clone(),
    }
}

fn sentence(edge: &super::Edge) -> String {
    let (consumer, event) = (edge.consumer.as_deref().unwrap_or_default(), &edge.event);
    let what = match edge.kind {
        EdgeKind::Accepts => format!("{event} is accepted from outside"),
        EdgeKind::Takes => format!("{consumer} takes {event}"),
        EdgeKind::Emits => format!("{consumer} emits {event}"),
    };
    match &edge.observed {
        Some(seen) if edge.state == EdgeState::Undeclared => {
            format!("{what}: {}, last at {}", times(seen.count.max(seen.failed)), seen.last_seen)
        }
        _ => what,
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
