//! The catalog: every event type, consumer and limit, and the edges between them, as they are declared and as they were
//! seen.
//!
//! It is made of what consumers declare ([`EventDeclaration`], [`CatalogConsumer`]) and of what happened
//! ([`Observation`]); where the two differ, an [`Edge`] says so by its state. All of it is pure: [`Catalog::assemble`]
//! takes everything as arguments, and the engine, a configuration file and a program that only wants to document
//! itself use the same function.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub mod check;
mod command;
pub mod compat;
mod declaration;
mod drift;
mod edge;
mod entry;
pub mod format;
mod loops;
mod observation;
mod save;
pub mod schema;

pub use command::command;
pub use declaration::EventDeclaration;
pub use drift::{Drift, drift};
pub use edge::{Edge, EdgeKind, EdgeState, Observed, ObservedDay};
pub use entry::{CatalogConsumer, CatalogEvent, CatalogLimit, CatalogRetry};
pub use loops::Loop;
pub use observation::{Day, Observation, Times};
pub use save::save;

use crate::event::matches;

/// Everything declared, and everything seen in the days that were looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// Every event type that is declared, taken, emitted or was seen, by name.
    pub events: Vec<CatalogEvent>,
    /// Every consumer, by name.
    pub consumers: Vec<CatalogConsumer>,
    /// Every limit that someone declared, by name. Locks are told with their consumers.
    pub limits: Vec<CatalogLimit>,
    /// What is accepted, who takes it, and what is emitted then; by kind, consumer and event type.
    pub edges: Vec<Edge>,
    /// Ways from an event type back to itself.
    pub loops: Vec<Loop>,
    /// The first day that was looked at; None when only what is declared is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_since: Option<Day>,
}

impl Catalog {
    /// Puts together what is declared.
    pub fn declared(
        declared: &BTreeMap<String, EventDeclaration>,
        consumers: Vec<CatalogConsumer>,
        limits: Vec<CatalogLimit>,
    ) -> Self {
        Self::assemble(declared, consumers, limits, None)
    }

    /// Puts together what is declared and what was seen from a day on.
    pub fn assemble(
        declared: &BTreeMap<String, EventDeclaration>,
        mut consumers: Vec<CatalogConsumer>,
        mut limits: Vec<CatalogLimit>,
        seen: Option<(Day, &[Observation])>,
    ) -> Self {
        consumers.sort_by(|one, other| one.name.cmp(&other.name));
        limits.sort_by(|one, other| one.name.cmp(&other.name));
        let observations = seen.map(|(_, observations)| observations);
        let kinds = kinds(declared, &consumers, observations.unwrap_or_default());
        let edges = edge::edges(&kinds, declared, &consumers, observations);
        let describe = |kind: &String| CatalogEvent::of(kind, declared.get(kind), &edges);
        let events = kinds.iter().map(describe).collect();
        let loops = loops::find(&edges);
        Self { events, consumers, limits, edges, loops, observed_since: seen.map(|(since, _)| since) }
    }

    /// An event type by name.
    pub fn event(&self, kind: &str) -> Option<&CatalogEvent> {
        self.events.iter().find(|event| event.kind == kind)
    }

    /// A consumer by name.
    pub fn consumer(&self, name: &str) -> Option<&CatalogConsumer> {
        self.consumers.iter().find(|consumer| consumer.name == name)
    }

    /// The edges of a consumer of one kind.
    pub fn edges_of<'a>(&'a self, consumer: &'a str, kind: EdgeKind) -> impl Iterator<Item = &'a Edge> {
        self.edges.iter().filter(move |edge| edge.kind == kind && edge.consumer.as_deref() == Some(consumer))
    }

    /// The same with the files of consumers and without the lines, which move with every edit: to keep and to compare.
    #[must_use]
    pub fn without_lines(mut self) -> Self {
        for place in self.consumers.iter_mut().filter_map(|consumer| consumer.place.as_mut()) {
            if let Some(end) = place.rfind(':') {
                place.truncate(end);
            }
        }
        self
    }

    /// The same as text that is equal for equal catalogs: to keep in a repository and to compare.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Every event type that has a name of its own: patterns name none.
fn kinds(
    declared: &BTreeMap<String, EventDeclaration>,
    consumers: &[CatalogConsumer],
    observations: &[Observation],
) -> BTreeSet<String> {
    let named = consumers.iter().flat_map(|consumer| consumer.on.iter().chain(&consumer.emits));
    let seen = observations.iter().flat_map(|seen| [&seen.event, &seen.emits]);
    let named = named.chain(declared.keys()).filter(|kind| !kind.ends_with('*'));
    named.chain(seen).filter(|kind| !kind.is_empty()).cloned().collect()
}

/// Whether one of these patterns takes an event type.
fn any_matches(patterns: &[String], kind: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, kind))
}

#[cfg(test)]
mod tests;
