//! The catalog as Markdown pages: an index, and a page for each event type and each consumer.

use std::fmt::Write as _;

use super::Exported;
use super::escape::{code, fenced_json, markdown as escape, paragraphs};
use super::slug::Slugs;
use super::words::{allows, failure_rate, held_by, mark, median, millis, policies, summary, target};
use crate::catalog::{Catalog, CatalogConsumer, CatalogEvent, Edge, EdgeKind, Observed};

/// The catalog as Markdown pages: `index.md`, `events/<name>.md` and `consumers/<name>.md`, with links between them.
pub fn markdown(catalog: &Catalog) -> Vec<Exported> {
    let pages = Pages::of(catalog);
    let mut files = vec![Exported::new("index.md", pages.index())];
    for event in &catalog.events {
        files.push(Exported::new(format!("events/{}.md", pages.events.get(&event.kind)), pages.event(event)));
    }
    for consumer in &catalog.consumers {
        files.push(Exported::new(
            format!("consumers/{}.md", pages.consumers.get(&consumer.name)),
            pages.consumer(consumer),
        ));
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

struct Pages<'a> {
    catalog: &'a Catalog,
    events: Slugs,
    consumers: Slugs,
}

impl<'a> Pages<'a> {
    fn of(catalog: &'a Catalog) -> Self {
        let events = Slugs::of(catalog.events.iter().map(|event| event.kind.as_str()));
        let consumers = Slugs::of(catalog.consumers.iter().map(|consumer| consumer.name.as_str()));
        Self { catalog, events, consumers }
    }

    /// A link to an event type's page; `up` is the way from the page to the index.
    fn event_link(&self, up: &str, kind: &str) -> String {
        match self.catalog.event(kind) {
            Some(_) => format!("[{}]({up}events/{}.md)", code(kind), self.events.get(kind)),
            None => code(kind),
        }
    }

    /// A link to a consumer's page. What was only seen, and is no longer there, has none.
    fn consumer_link(&self, up: &str, name: &str) -> String {
        match self.catalog.consumer(name) {
            Some(_) => format!("[{}]({up}consumers/{}.md)", code(name), self.consumers.get(name)),
            None => code(name),
        }
    }

    fn index(&self) -> String {
        let catalog = self.catalog;
        let mut out = "# Catalog of events\n\n## Event types\n\n".to_owned();
        out.push_str("| event type | meaning | emitted by | taken by |\n|---|---|---|---|\n");
        for event in &catalog.events {
            let consumers =
                |names: &[String]| names.iter().map(|name| self.consumer_link("", name)).collect::<Vec<_>>().join(", ");
            let meaning = event.description.as_deref().map(|said| escape(&summary(said))).unwrap_or_default();
            let (link, emitted) = (self.event_link("", &event.kind), consumers(&event.emitted_by));
            let outside = catalog.edges.iter().any(|edge| edge.kind == EdgeKind::Accepts && edge.event == event.kind);
            let outside = if outside && !emitted.is_empty() {
                "outside, "
            } else if outside {
                "outside"
            } else {
                ""
            };
            let _ = writeln!(out, "| {link} | {meaning} | {outside}{emitted} | {} |", consumers(&event.consumed_by));
        }
        out.push_str("\n## Consumers\n\n| consumer | meaning | target | emits |\n|---|---|---|---|\n");
        for consumer in &catalog.consumers {
            let emits = catalog.edges_of(&consumer.name, EdgeKind::Emits).map(|edge| self.event_link("", &edge.event));
            let emits = emits.collect::<Vec<_>>().join(", ");
            let meaning = consumer.description.as_deref().map(|said| escape(&summary(said))).unwrap_or_default();
            let (link, target) = (self.consumer_link("", &consumer.name), escape(&target(consumer)));
            let _ = writeln!(out, "| {link} | {meaning} | {target} | {emits} |");
        }
        self.index_end(&mut out);
        out
    }

    fn index_end(&self, out: &mut String) {
        let catalog = self.catalog;
        if !catalog.limits.is_empty() {
            out.push_str("\n## Limits\n\n| limit | allows | holds |\n|---|---|---|\n");
        }
        for limit in &catalog.limits {
            let held = held_by(catalog, &limit.name);
            let held: Vec<_> = held.into_iter().map(|name| self.consumer_link("", name)).collect();
            let _ = writeln!(out, "| {} | {} | {} |", code(&limit.name), escape(&allows(limit)), held.join(", "));
        }
        if !catalog.loops.is_empty() {
            out.push_str("\n## Loops\n\n");
        }
        for way in &catalog.loops {
            let steps = way.0.iter().chain(way.0.first()).map(|step| code(step));
            let _ = writeln!(out, "- {}", steps.collect::<Vec<_>>().join(" → "));
        }
        if let Some(since) = catalog.observed_since {
            let _ = writeln!(out, "\nWhat was seen was seen since {since}.");
        }
    }

    fn event(&self, event: &CatalogEvent) -> String {
        let catalog = self.catalog;
        let mut out = format!("# {}\n\n", code(&event.kind));
        describe(&mut out, event.description.as_deref(), event.team.as_deref(), None);
        let _ = writeln!(out, "- Version of its data: {}", event.version);
        if let Some(key) = &event.key {
            let _ = writeln!(out, "- Its `partitionkey` is the value at {}", code(key));
        }
        if event.owner_required {
            out.push_str("- From outside it needs an owner\n");
        }
        if !event.declared {
            out.push_str("- Nobody declared it; it was seen\n");
        }
        let of =
            |kind: EdgeKind| catalog.edges.iter().filter(move |edge| edge.kind == kind && edge.event == event.kind);
        let who = |edge: &Edge| match &edge.consumer {
            Some(name) => self.consumer_link("../", name),
            None => "outside".to_owned(),
        };
        edges(&mut out, "Comes from", of(EdgeKind::Accepts).chain(of(EdgeKind::Emits)), who);
        edges(&mut out, "Taken by", of(EdgeKind::Takes), who);
        if event.consumed_by.is_empty() {
            out.push_str("\nNobody takes it.\n");
        }
        let name = |edge: &Edge| match (&edge.consumer, edge.kind) {
            (None, _) => "accepted from outside".to_owned(),
            (Some(name), EdgeKind::Takes) => format!("taken by {}", self.consumer_link("../", name)),
            (Some(name), _) => format!("emitted by {}", self.consumer_link("../", name)),
        };
        observed(&mut out, catalog.edges.iter().filter(|edge| edge.event == event.kind), name);
        schemas(&mut out, event);
        out.push_str("\n[All event types](../index.md)\n");
        out
    }

    fn consumer(&self, consumer: &CatalogConsumer) -> String {
        let catalog = self.catalog;
        let mut out = format!("# {}\n\n", code(&consumer.name));
        describe(&mut out, consumer.description.as_deref(), consumer.team.as_deref(), consumer.place.as_deref());
        let _ = writeln!(out, "- Target: {}", escape(&target(consumer)));
        for policy in policies(catalog, consumer) {
            let _ = writeln!(out, "- {}", escape(&policy));
        }
        if consumer.max_attempts > 1 {
            let give_up = millis(consumer.retry.give_up_after_ms);
            let _ = writeln!(out, "- Gives up when its target throttles for longer than {give_up}");
        }
        if consumer.notifies {
            out.push_str("- Tells the owner something itself\n");
        }
        for part in &consumer.uses {
            let _ = writeln!(out, "- Works with {}", code(part));
        }
        let names = |names: &[String]| names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "- Takes {}", names(&consumer.on));
        let link = |edge: &Edge| self.event_link("../", &edge.event);
        edges(&mut out, "Takes", catalog.edges_of(&consumer.name, EdgeKind::Takes), link);
        edges(&mut out, "Emits", catalog.edges_of(&consumer.name, EdgeKind::Emits), link);
        let word = |edge: &Edge| if edge.kind == EdgeKind::Takes { "takes" } else { "emits" };
        let own = catalog.edges.iter().filter(|edge| edge.consumer.as_deref() == Some(consumer.name.as_str()));
        observed(&mut out, own, |edge| format!("{} {}", word(edge), link(edge)));
        out.push_str("\n[All consumers](../index.md)\n");
        out
    }
}

fn describe(out: &mut String, description: Option<&str>, team: Option<&str>, place: Option<&str>) {
    if let Some(description) = description {
        let _ = writeln!(out, "{}\n", paragraphs(description));
    }
    if let Some(team) = team {
        let _ = writeln!(out, "- Team: {}", escape(team));
    }
    if let Some(place) = place {
        let _ = writeln!(out, "- Written at {}", code(place));
    }
}

fn edges<'a>(out: &mut String, heading: &str, edges: impl Iterator<Item = &'a Edge>, name: impl Fn(&Edge) -> String) {
    for (at, edge) in edges.enumerate() {
        if at == 0 {
            let _ = writeln!(out, "\n## {heading}\n");
        }
        let mark = mark(edge).map(|mark| format!(": {}", escape(&mark))).unwrap_or_default();
        let _ = writeln!(out, "- {}{mark}", name(edge));
    }
}

/// A table of what was seen of these edges.
fn observed<'a>(out: &mut String, edges: impl Iterator<Item = &'a Edge>, name: impl Fn(&Edge) -> String) {
    let seen: Vec<(&Edge, &Observed)> = edges.filter_map(|edge| Some((edge, edge.observed.as_ref()?))).collect();
    if seen.is_empty() {
        return;
    }
    out.push_str("\n## Seen\n\n| edge | state | seen | failed | tried again | median | last |\n");
    out.push_str("|---|---|---|---|---|---|---|\n");
    for (edge, seen) in seen {
        let (rate, median) = (failure_rate(seen).unwrap_or_else(|| "0 %".to_owned()), median(seen).unwrap_or_default());
        let (state, count, retried, last) = (edge.state.words(), seen.count, seen.retried, seen.last_seen);
        let _ = writeln!(out, "| {} | {state} | {count} | {rate} | {retried} | {median} | {last} |", name(edge));
    }
}

fn schemas(out: &mut String, event: &CatalogEvent) {
    if let Some(schema) = &event.schema {
        let _ = write!(out, "\n## Schema\n\n{}", fenced_json(schema));
    }
    for (at, example) in event.examples().iter().enumerate() {
        let heading = if at == 0 { "\n## Examples\n" } else { "" };
        let _ = write!(out, "{heading}\n{}", fenced_json(example));
    }
    for (version, schema) in event.older_schemas.iter().rev() {
        let _ = write!(out, "\n## Schema of version {version}\n\n{}", fenced_json(schema));
    }
}

/// What the pages of others say of an event type's data.
pub(super) fn schema_sections(event: &CatalogEvent) -> String {
    let mut out = String::new();
    schemas(&mut out, event);
    out
}
