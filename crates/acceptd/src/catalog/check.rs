//! What changed between two catalogs, and what of it breaks somebody: made to be asked before a deployment.
//!
//! What is only seen, and not declared, is not compared. What somebody relies on is an event type, its data, a consumer,
//! and an edge: to lose one is breaking. Limits and policies are named, and break nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compat::{Mode, Verdict};
use super::{Catalog, CatalogConsumer, CatalogEvent, EdgeKind};

mod data;
#[cfg(test)]
mod tests;

/// Members of a consumer that are told by edges, or that nobody relies on.
const UNTOLD: [&str; 8] = ["name", "description", "team", "place", "uses", "on", "emits", "notifies"];

/// One difference between two catalogs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it means.
    pub verdict: Verdict,
    /// What it is about: `event ec2.start`, `consumer start-ec2`, `limit cloud-api`.
    pub about: String,
    /// What changed, in one sentence.
    pub sentence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, about, sentence } = self;
        write!(f, "{:<10}  {about}: {sentence}", verdict.to_string())
    }
}

/// Every difference between two catalogs: event types first, then consumers, then limits. Schemas are compared by the
/// mode.
pub fn check(old: &Catalog, new: &Catalog, mode: Mode) -> Vec<Finding> {
    let mut findings = events(old, new, mode);
    findings.extend(consumers(old, new));
    findings.extend(limits(old, new));
    findings
}

/// One line for each finding, the worst first, and one that counts them.
pub fn render(findings: &[Finding]) -> String {
    let mut sorted: Vec<_> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    let mut text = String::new();
    for finding in &sorted {
        let _ = writeln!(text, "{finding}");
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (breaking, unknown, rest) = (count(Verdict::Breaking), count(Verdict::Unknown), count(Verdict::Compatible));
    let _ = match findings {
        [] => writeln!(text, "nothing changed"),
        _ => writeln!(text, "{breaking} breaking, {unknown} unknown, {rest} compatible"),
    };
    text
}

/// The worst that was found; compatible when nothing was.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Compatible)
}

fn finding(verdict: Verdict, about: &str, sentence: impl Into<String>) -> Finding {
    Finding { verdict, about: about.to_owned(), sentence: sentence.into() }
}

fn events(old: &Catalog, new: &Catalog, mode: Mode) -> Vec<Finding> {
    let declared = |catalog: &'_ Catalog| -> BTreeMap<String, CatalogEvent> {
        let events = catalog.events.iter().filter(|event| event.declared);
        events.map(|event| (event.kind.clone(), event.clone())).collect()
    };
    let (old, new) = (declared(old), declared(new));
    let kinds: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut findings = Vec::new();
    for kind in kinds {
        let about = format!("event {kind}");
        match (old.get(kind), new.get(kind)) {
            (Some(_), None) => findings.push(finding(Verdict::Breaking, &about, "it is gone")),
            (None, _) => findings.push(finding(Verdict::Compatible, &about, "it is new")),
            (Some(old), Some(new)) => {
                findings.extend(terms(&about, old, new));
                findings.extend(data::compare(&about, old, new, mode));
            }
        }
    }
    findings
}

/// What callers must keep to besides the data.
fn terms(about: &str, old: &CatalogEvent, new: &CatalogEvent) -> Vec<Finding> {
    let owner = match (old.owner_required, new.owner_required) {
        (false, true) => Some(finding(Verdict::Breaking, about, "an owner is required now")),
        (true, false) => Some(finding(Verdict::Compatible, about, "an owner is no longer required")),
        _ => None,
    };
    let batch = match (old.batch, new.batch) {
        (true, false) => Some(finding(Verdict::Breaking, about, "batches of it are no longer taken")),
        (false, true) => {
            let sentence = "a body that has only `items` was the data of one event, and is a batch now";
            Some(finding(Verdict::Unknown, about, sentence))
        }
        _ => None,
    };
    let key = (old.key != new.key).then(|| {
        let text = |key: &Option<String>| key.clone().unwrap_or_else(|| "none".to_owned());
        let sentence = format!("its key {} became {}", text(&old.key), text(&new.key));
        finding(Verdict::Compatible, about, sentence)
    });
    owner.into_iter().chain(batch).chain(key).collect()
}

fn consumers(old: &Catalog, new: &Catalog) -> Vec<Finding> {
    let names = old.consumers.iter().chain(&new.consumers).map(|consumer| &consumer.name);
    let names: BTreeSet<&String> = names.collect();
    let mut findings = Vec::new();
    for name in names {
        let about = format!("consumer {name}");
        match (old.consumer(name), new.consumer(name)) {
            (Some(_), None) => findings.push(finding(Verdict::Breaking, &about, "it is gone")),
            (None, _) => findings.push(finding(Verdict::Compatible, &about, "it is new")),
            (Some(before), Some(after)) => {
                findings.extend(edges(&about, name, old, new));
                findings.extend(policies(&about, before, after));
            }
        }
    }
    findings
}

/// Edges that a consumer lost or gained. Those of event types that are gone are told with these.
fn edges(about: &str, name: &str, old: &Catalog, new: &Catalog) -> Vec<Finding> {
    let declared = |catalog: &Catalog, kind: EdgeKind| -> BTreeSet<String> {
        let edges = catalog.edges_of(name, kind).filter(|edge| edge.state.is_declared());
        edges.map(|edge| edge.event.clone()).collect()
    };
    let mut findings = Vec::new();
    for (kind, verb) in [(EdgeKind::Takes, "takes"), (EdgeKind::Emits, "emits")] {
        let (before, after) = (declared(old, kind), declared(new, kind));
        let is_there = |event: &&String| new.event(event).is_some_and(|event| event.declared);
        for event in before.difference(&after).filter(is_there) {
            // What nobody took is missed by nobody.
            let is_missed = kind == EdgeKind::Takes || old.event(event).is_some_and(|old| !old.consumed_by.is_empty());
            let verdict = if is_missed { Verdict::Breaking } else { Verdict::Compatible };
            findings.push(finding(verdict, about, format!("it no longer {verb} {event}")));
        }
        for event in after.difference(&before) {
            findings.push(finding(Verdict::Compatible, about, format!("it {verb} {event} now")));
        }
    }
    findings
}

fn policies(about: &str, old: &CatalogConsumer, new: &CatalogConsumer) -> Vec<Finding> {
    changed(about, &members(old), &members(new))
}

fn limits(old: &Catalog, new: &Catalog) -> Vec<Finding> {
    let all = |catalog: &Catalog| -> BTreeMap<String, BTreeMap<String, Value>> {
        catalog.limits.iter().map(|limit| (limit.name.clone(), members(limit))).collect()
    };
    let (old, new) = (all(old), all(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut findings = Vec::new();
    for name in names {
        let about = format!("limit {name}");
        match (old.get(name), new.get(name)) {
            (Some(_), None) => findings.push(finding(Verdict::Compatible, &about, "it is gone")),
            (None, _) => findings.push(finding(Verdict::Compatible, &about, "it is new")),
            (Some(old), Some(new)) => findings.extend(changed(&about, old, new)),
        }
    }
    findings
}

/// The members of something by name, without those that are told elsewhere.
fn members(of: &impl Serialize) -> BTreeMap<String, Value> {
    let Ok(Value::Object(members)) = serde_json::to_value(of) else { return BTreeMap::new() };
    members.into_iter().filter(|(name, _)| !UNTOLD.contains(&name.as_str())).collect()
}

fn changed(about: &str, old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> Vec<Finding> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |members: &BTreeMap<String, Value>, name: &str| members.get(name).cloned().unwrap_or_default();
    let differing = names.into_iter().filter(|name| value(old, name) != value(new, name));
    let tell = |name: &String| {
        let sentence = format!("{name} {} became {}", value(old, name), value(new, name));
        finding(Verdict::Compatible, about, sentence)
    };
    differing.map(tell).collect()
}
