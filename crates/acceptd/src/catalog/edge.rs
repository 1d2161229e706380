//! Edges: what is accepted, who takes it and what is emitted then, with whether that was declared and seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{CatalogConsumer, Day, EventDeclaration, Observation, Times, any_matches};
use crate::Timestamp;

/// What an edge means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeKind {
    /// The event type is accepted from outside.
    Accepts,
    /// The consumer takes the event type.
    Takes,
    /// The consumer emits the event type.
    Emits,
}

/// What is declared of an edge, and what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EdgeState {
    /// It is declared, and nobody looked whether it is seen.
    Declared,
    /// It was seen as declared.
    Seen,
    /// It is declared, and was never seen in the days that were looked at.
    NeverSeen,
    /// It was seen, and is not declared.
    Undeclared,
}

impl EdgeState {
    /// The words used for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Seen => "seen as declared",
            Self::NeverSeen => "never seen",
            Self::Undeclared => "undeclared",
        }
    }

    /// Whether it is declared.
    pub fn is_declared(self) -> bool {
        self != Self::Undeclared
    }
}

/// An edge of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// What it means.
    pub kind: EdgeKind,
    /// The event type that is accepted, taken or emitted.
    pub event: String,
    /// Who takes or emits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// What is declared of it, and what was seen.
    pub state: EdgeState,
    /// What was seen of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
}

/// What was seen of an edge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// How often: events accepted, deliveries ended, events emitted.
    pub count: u64,
    /// How many of these deliveries gave up, or of these events were refused.
    pub failed: u64,
    /// How many attempts failed and were tried again.
    pub retried: u64,
    /// `failed` of `count`, from 0 to 1.
    pub failure_rate: f64,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// Half of them took longer than this from the acceptance of the event on, in milliseconds; exact to a tenth.
    pub median_ms: Option<f64>,
    /// The same day by day, oldest first.
    pub days: Vec<ObservedDay>,
}

/// What was seen of an edge on one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedDay {
    /// The day, by UTC.
    pub day: Day,
    /// How often.
    pub count: u64,
    /// How many gave up, or were refused.
    pub failed: u64,
    /// How many attempts failed and were tried again.
    pub retried: u64,
    /// The median, in milliseconds.
    pub median_ms: Option<f64>,
}

impl Observed {
    fn of(observations: &[&Observation]) -> Self {
        let mut days: BTreeMap<Day, Observation> = BTreeMap::new();
        for seen in observations {
            days.entry(seen.day).and_modify(|day| day.add(seen)).or_insert_with(|| (*seen).clone());
        }
        let mut times = Times::default();
        days.values().for_each(|day| times.add(&day.times));
        let sum = |of: fn(&Observation) -> u64| days.values().map(of).sum::<u64>();
        let (count, failed) = (sum(|day| day.count), sum(|day| day.failed));
        let day = |(day, seen): (&Day, &Observation)| ObservedDay {
            day: *day,
            count: seen.count,
            failed: seen.failed,
            retried: seen.retried,
            median_ms: seen.times.median_ms(),
        };
        Self {
            count,
            failed,
            retried: sum(|day| day.retried),
            failure_rate: if count == 0 { 0.0 } else { (failed as f64 / count as f64 * 1e4).round() / 1e4 },
            last_seen: days.values().map(|day| day.last).max().unwrap_or_default(),
            median_ms: times.median_ms(),
            days: days.iter().map(day).collect(),
        }
    }
}

/// Where an edge leads: what it is sorted and found by.
type Key = (EdgeKind, Option<String>, String);

/// Every edge that is declared or was seen. Without observations nobody looked.
pub(super) fn edges(
    kinds: &BTreeSet<String>,
    declared: &BTreeMap<String, EventDeclaration>,
    consumers: &[CatalogConsumer],
    observations: Option<&[Observation]>,
) -> Vec<Edge> {
    let mut seen: BTreeMap<Key, Vec<&Observation>> = BTreeMap::new();
    for observation in observations.unwrap_or_default() {
        seen.entry(key_of(observation)).or_default().push(observation);
    }
    let edges = declared_edges(kinds, declared, consumers);
    let keys: BTreeSet<&Key> = edges.iter().chain(seen.keys()).collect();
    let edge = |key: &Key| {
        let state = match (edges.contains(key) || is_allowed(key, declared, consumers), seen.contains_key(key)) {
            (true, _) if observations.is_none() => EdgeState::Declared,
            (true, true) => EdgeState::Seen,
            (true, false) => EdgeState::NeverSeen,
            (false, _) => EdgeState::Undeclared,
        };
        let (kind, consumer, event) = key.clone();
        Edge { kind, event, consumer, state, observed: seen.get(key).map(|seen| Observed::of(seen)) }
    };
    keys.into_iter().map(edge).collect()
}

fn key_of(seen: &Observation) -> Key {
    match (seen.consumer.as_str(), seen.emits.as_str()) {
        ("", _) => (EdgeKind::Accepts, None, seen.event.clone()),
        (consumer, "") => (EdgeKind::Takes, Some(consumer.to_owned()), seen.event.clone()),
        (consumer, emits) => (EdgeKind::Emits, Some(consumer.to_owned()), emits.to_owned()),
    }
}

/// What is declared, patterns with every type that they stand for. A type that someone declares or takes, and nobody
/// emits, can only come from outside.
fn declared_edges(
    kinds: &BTreeSet<String>,
    declared: &BTreeMap<String, EventDeclaration>,
    consumers: &[CatalogConsumer],
) -> BTreeSet<Key> {
    let mut edges = BTreeSet::new();
    for kind in kinds {
        let takers = consumers.iter().filter(|consumer| any_matches(&consumer.on, kind));
        let takers: Vec<_> = takers.map(|consumer| consumer.name.clone()).collect();
        let emitters = consumers.iter().filter(|consumer| any_matches(&consumer.emits, kind));
        let emitters: Vec<_> = emitters.map(|consumer| consumer.name.clone()).collect();
        let is_named = declared.contains_key(kind) || consumers.iter().any(|consumer| consumer.on.contains(kind));
        if is_named && emitters.is_empty() && !is_own(kind) {
            edges.insert((EdgeKind::Accepts, None, kind.clone()));
        }
        edges.extend(takers.into_iter().map(|name| (EdgeKind::Takes, Some(name), kind.clone())));
        edges.extend(emitters.into_iter().map(|name| (EdgeKind::Emits, Some(name), kind.clone())));
    }
    edges
}

/// Whether acceptd itself emits it.
fn is_own(kind: &str) -> bool {
    kind.starts_with("acceptd.")
}

/// Whether anybody may send it from outside: every type that is known is accepted, also one that consumers emit.
fn is_allowed(
    (kind, _, event): &Key,
    declared: &BTreeMap<String, EventDeclaration>,
    consumers: &[CatalogConsumer],
) -> bool {
    let is_known = || declared.contains_key(event) || consumers.iter().any(|taker| any_matches(&taker.on, event));
    *kind == EdgeKind::Accepts && is_known()
}
