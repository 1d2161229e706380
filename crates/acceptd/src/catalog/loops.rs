//! Loops: ways from an event type back to itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Edge, EdgeKind};

/// A way from an event type back to itself: event types and consumers in turns, without the return to the first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Loop(pub Vec<String>);

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = self.0.first().map_or("", String::as_str);
        write!(f, "{} → {back}", self.0.join(" → "))
    }
}

/// The steps from one event type to the next: who takes it, and what that consumer emits.
type Steps<'a> = BTreeMap<&'a str, Vec<(&'a str, &'a str)>>;

/// A shortest loop through every event type that is in one, each loop once.
pub(super) fn find(edges: &[Edge]) -> Vec<Loop> {
    let steps = steps(edges);
    let mut named: BTreeSet<String> = BTreeSet::new();
    let mut loops = Vec::new();
    for start in steps.keys() {
        if named.contains(*start) {
            continue;
        }
        if let Some(way) = shortest(&steps, start) {
            named.extend(way.iter().step_by(2).cloned());
            loops.push(Loop(way));
        }
    }
    loops
}

fn steps(edges: &[Edge]) -> Steps<'_> {
    let emitted = |consumer: &str| {
        let of = edges.iter().filter(|edge| edge.kind == EdgeKind::Emits);
        let consumer = consumer.to_owned();
        of.filter(move |edge| edge.consumer.as_deref() == Some(consumer.as_str())).map(|edge| edge.event.as_str())
    };
    let mut steps: Steps<'_> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.kind == EdgeKind::Takes) {
        let Some(consumer) = edge.consumer.as_deref() else { continue };
        steps.entry(&edge.event).or_default().extend(emitted(consumer).map(|event| (consumer, event)));
    }
    steps
}

fn shortest(steps: &Steps<'_>, start: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![start.to_owned()]]);
    let mut reached = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let last = way.last()?;
        for (consumer, event) in steps.get(last.as_str()).into_iter().flatten() {
            let mut longer = way.clone();
            longer.push((*consumer).to_owned());
            if *event == start {
                return Some(longer);
            }
            if reached.insert(*event) {
                longer.push((*event).to_owned());
                ways.push_back(longer);
            }
        }
    }
    None
}
