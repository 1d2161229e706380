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
    let of = |kind: EdgeKind| edges.iter().filter(move |edge| edge.kind == kind);
    let mut emitted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (consumer, edge) in of(EdgeKind::Emits).filter_map(|edge| Some((edge.consumer.as_deref()?, edge))) {
        emitted.entry(consumer).or_default().push(&edge.event);
    }
    let mut steps: Steps<'_> = BTreeMap::new();
    for (consumer, edge) in of(EdgeKind::Takes).filter_map(|edge| Some((edge.consumer.as_deref()?, edge))) {
        let events = emitted.get(consumer).into_iter().flatten();
        steps.entry(&edge.event).or_default().extend(events.map(|event| (consumer, *event)));
    }
    steps
}

/// The shortest way from an event type back to itself: breadth first, each type with the step that led to it.
fn shortest(steps: &Steps<'_>, start: &str) -> Option<Vec<String>> {
    let mut came: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(from) = next.pop_front() {
        for (consumer, event) in steps.get(from).into_iter().flatten() {
            if *event == start {
                return Some(way_back(&came, start, (from, consumer)));
            }
            if !came.contains_key(event) {
                came.insert(event, (from, consumer));
                next.push_back(event);
            }
        }
    }
    None
}

fn way_back(came: &BTreeMap<&str, (&str, &str)>, start: &str, last: (&str, &str)) -> Vec<String> {
    let mut way = vec![last.1.to_owned(), last.0.to_owned()];
    let mut at = last.0;
    while let Some((from, consumer)) = came.get(at).filter(|_| at != start) {
        way.extend([(*consumer).to_owned(), (*from).to_owned()]);
        at = from;
    }
    way.reverse();
    way
}
