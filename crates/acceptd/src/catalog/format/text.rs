//! The catalog as a tree for people.

use std::collections::BTreeSet;

use super::words::{allows, held_by, is_own, mark, policies, summary, target, unfed};
use crate::catalog::{Catalog, CatalogConsumer, Edge, EdgeKind, EdgeState};
use crate::safe::plain;

/// How deep a tree is drawn; what hangs below gets a tree of its own. Chains end at this depth, too, unless configured.
const DEPTH_MAX: usize = 32;

/// The catalog as a tree: event types that come from outside, who takes them, and what is emitted then. A part that
/// hangs on several branches is told once; below come loops, what nobody takes, and limits.
pub fn text(catalog: &Catalog) -> String {
    let mut tree =
        Tree { catalog, told: BTreeSet::new(), told_consumers: BTreeSet::new(), above: Vec::new(), lines: Vec::new() };
    for kind in roots(catalog) {
        tree.root(kind);
    }
    // What no way from outside leads to, such as loops, and what hangs too deep.
    for event in &catalog.events {
        tree.root(&event.kind);
    }
    let mut lines = tree.lines;
    if lines.is_empty() {
        lines.push("no event types are declared".to_owned());
    }
    for (heading, section) in sections(catalog) {
        if !section.is_empty() {
            lines.extend([String::new(), heading.to_owned()]);
            lines.extend(section.iter().map(|line| format!("  {}", plain(line))));
        }
    }
    if let Some(since) = catalog.observed_since {
        lines.extend([String::new(), format!("Seen since {since}.")]);
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The event types that the tree begins with: those from outside that no consumer emits, and acceptd's own.
fn roots(catalog: &Catalog) -> Vec<&str> {
    let is_emitted = |kind: &str| catalog.event(kind).is_some_and(|event| !event.emitted_by.is_empty());
    let accepted = catalog.edges.iter().filter(|edge| edge.kind == EdgeKind::Accepts);
    let accepted = accepted.map(|edge| edge.event.as_str()).filter(|kind| !is_emitted(kind));
    let own = catalog.events.iter().map(|event| event.kind.as_str()).filter(|kind| is_own(kind));
    accepted.chain(own).collect()
}

fn sections(catalog: &Catalog) -> Vec<(&'static str, Vec<String>)> {
    let of = |name: &str, words: &str| if words.is_empty() { name.to_owned() } else { format!("{name}  {words}") };
    let limits = catalog.limits.iter().map(|limit| {
        let held = held_by(catalog, &limit.name).join(", ");
        let held = if held.is_empty() { "holds nobody".to_owned() } else { format!("holds {held}") };
        format!("{}  {}; {held}", limit.name, allows(limit))
    });
    let unconsumed = catalog.events.iter().filter(|event| event.consumed_by.is_empty());
    let undeclared = catalog.edges.iter().filter(|edge| edge.state == EdgeState::Undeclared).map(|edge| {
        let way = match edge.kind {
            EdgeKind::Accepts => "from outside".to_owned(),
            EdgeKind::Takes => format!("taken by {}", edge.consumer.as_deref().unwrap_or_default()),
            EdgeKind::Emits => format!("emitted by {}", edge.consumer.as_deref().unwrap_or_default()),
        };
        format!("{}  {way}", edge.event)
    });
    vec![
        ("Undeclared", undeclared.collect()),
        ("Loops", catalog.loops.iter().map(ToString::to_string).collect()),
        ("Nobody takes", unconsumed.map(|event| event.kind.clone()).collect()),
        (
            "Nothing known comes to",
            unfed(catalog).into_iter().map(|consumer| of(&consumer.name, &consumer.on.join(", "))).collect(),
        ),
        ("Limits", limits.collect()),
    ]
}

struct Tree<'a> {
    catalog: &'a Catalog,
    /// What has its branches already.
    told: BTreeSet<&'a str>,
    told_consumers: BTreeSet<&'a str>,
    /// The event types on the way from the root.
    above: Vec<&'a str>,
    lines: Vec<String>,
}

impl<'a> Tree<'a> {
    fn root(&mut self, kind: &'a str) {
        if self.told.contains(kind) {
            return;
        }
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        let accepts = self.catalog.edges.iter().find(|edge| edge.kind == EdgeKind::Accepts && edge.event == kind);
        self.event(kind, accepts, "", "");
    }

    fn event(&mut self, kind: &'a str, edge: Option<&'a Edge>, lead: &str, below: &str) {
        let catalog = self.catalog;
        let mark = edge.and_then(mark).map(|mark| format!("  [{mark}]")).unwrap_or_default();
        if self.above.contains(&kind) {
            self.lines.push(format!("{lead}{}{mark}  (a loop: see above)", plain(kind)));
            return;
        }
        let takes = || catalog.edges.iter().filter(|edge| edge.kind == EdgeKind::Takes && edge.event == kind);
        if self.above.len() >= DEPTH_MAX && !self.told.contains(kind) {
            self.lines.push(format!("{lead}{}{mark}  (goes on below)", plain(kind)));
            return;
        }
        if !self.told.insert(kind) {
            let above = if takes().next().is_some() { "  (see above)" } else { "" };
            self.lines.push(format!("{lead}{}{mark}{above}", plain(kind)));
            return;
        }
        self.lines.push(format!("{lead}{}{mark}{}", plain(kind), self.about(kind)));
        self.above.push(kind);
        let count = takes().count();
        for (at, edge) in takes().enumerate() {
            let (lead, below) = branch(below, at + 1 == count);
            self.consumer(edge, &lead, &below);
        }
        self.above.pop();
    }

    /// What else is to be said of an event type.
    fn about(&self, kind: &str) -> String {
        let Some(event) = self.catalog.event(kind) else { return String::new() };
        let description = event.description.as_deref().map(phrase);
        let version = (event.version > 1).then(|| format!("version {}", event.version));
        let owner = event.owner_required.then(|| "needs an owner".to_owned());
        let team = event.team.as_ref().map(|team| format!("team {}", plain(team)));
        let nobody = event.consumed_by.is_empty().then(|| "nobody takes it".to_owned());
        let parts: Vec<_> = [description, version, team, owner, nobody].into_iter().flatten().collect();
        if parts.is_empty() { String::new() } else { format!("  {}", parts.join("; ")) }
    }

    fn consumer(&mut self, edge: &'a Edge, lead: &str, below: &str) {
        let Some(name) = edge.consumer.as_deref() else { return };
        let catalog = self.catalog;
        let mark = mark(edge).map(|mark| format!("  [{mark}]")).unwrap_or_default();
        let emits: Vec<&Edge> = catalog.edges_of(name, EdgeKind::Emits).collect();
        if !self.told_consumers.insert(name) {
            let above = if emits.is_empty() { "" } else { "  (see above)" };
            self.lines.push(format!("{lead}→ {}{mark}{above}", plain(name)));
            return;
        }
        let consumer = catalog.consumer(name);
        let about = consumer.map(about).unwrap_or_default();
        self.lines.push(format!("{lead}→ {}{mark}{about}", plain(name)));
        if let Some(consumer) = consumer {
            let line = if emits.is_empty() { "   " } else { "│  " };
            self.lines.push(format!("{below}{line}  {}", runs(catalog, consumer)));
        }
        for (at, emitted) in emits.iter().enumerate() {
            let (lead, below) = branch(below, at + 1 == emits.len());
            self.event(&emitted.event, Some(*emitted), &lead, &below);
        }
    }
}

/// A description as a part of a line.
fn phrase(description: &str) -> String {
    plain(summary(description).trim_end_matches('.'))
}

/// What a consumer is for, and who answers for it.
fn about(consumer: &CatalogConsumer) -> String {
    let description = consumer.description.as_deref().map(phrase);
    let team = consumer.team.as_ref().map(|team| format!("team {}", plain(team)));
    let parts: Vec<_> = description.into_iter().chain(team).collect();
    if parts.is_empty() { String::new() } else { format!("  {}", parts.join("; ")) }
}

/// Where a consumer's deliveries go, and what holds them.
fn runs(catalog: &Catalog, consumer: &CatalogConsumer) -> String {
    let policies = policies(catalog, consumer).join("; ");
    plain(&format!("{}; {policies}", target(consumer)))
}

/// What stands before a branch, and before what is below it.
fn branch(below: &str, is_last: bool) -> (String, String) {
    if is_last {
        (format!("{below}└─ "), format!("{below}   "))
    } else {
        (format!("{below}├─ "), format!("{below}│  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogConsumer;

    #[test]
    fn a_chain_of_any_length_is_told() {
        let name = |at: usize| format!("e{at:05}");
        let link = |at: usize| CatalogConsumer {
            name: format!("c{at:05}"),
            on: vec![name(at)],
            emits: vec![name(at + 1)],
            ..CatalogConsumer::default()
        };
        let catalog = Catalog::declared(&Default::default(), (0..200).map(link).collect(), Vec::new());
        let text = text(&catalog);
        assert_eq!(text.matches("(goes on below)").count(), 200 / DEPTH_MAX);
        assert!((0..200).all(|at| text.contains(&format!("→ c{at:05}\n"))));
        assert!(text.lines().all(|line| line.chars().count() < 400));
    }
}
