//! The catalog as the files of an EventCatalog: events, services and teams.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Exported;
use super::escape::{code, markdown, paragraphs, yaml};
use super::markdown::schema_sections;
use super::slug::Slugs;
use super::words::{is_own, mark, policies, summary, target};
use crate::catalog::{Catalog, CatalogConsumer, CatalogEvent, Edge, EdgeKind};

/// Who sends what is accepted from outside, and who sends acceptd's own events. No consumer's slug has two dashes.
const OUTSIDE: &str = "from--outside";
const ACCEPTD: &str = "acceptd--itself";
/// The team of what no team answers for.
const NOBODY: &str = "nobody--yet";

/// The files of an EventCatalog: `events/<name>/index.mdx` with its schema, `services/<consumer>/index.mdx`, and
/// `teams/<team>.mdx`.
pub fn eventcatalog(catalog: &Catalog) -> Vec<Exported> {
    let files = Files::of(catalog);
    let mut out = Vec::new();
    for event in &catalog.events {
        let folder = format!("events/{}", files.events.get(&event.kind));
        out.push(Exported::new(format!("{folder}/index.mdx"), files.event(event)));
        if let Some(schema) = &event.schema {
            let text = serde_json::to_string_pretty(schema).unwrap_or_default();
            out.push(Exported::new(format!("{folder}/schema.json"), text + "\n"));
        }
    }
    out.extend(files.services());
    out.extend(files.teams());
    out.sort_by(|one, other| one.path.cmp(&other.path));
    out
}

struct Files<'a> {
    catalog: &'a Catalog,
    events: Slugs,
    consumers: Slugs,
    teams: Slugs,
}

/// Front matter: an id, a name, a version, a summary and owners, and what else a file says.
struct Head<'a> {
    id: &'a str,
    name: &'a str,
    version: u32,
    summary: String,
    team: Option<&'a str>,
}

impl<'a> Files<'a> {
    fn of(catalog: &'a Catalog) -> Self {
        let teams = catalog.events.iter().map(|event| event.team.as_deref());
        let teams = teams.chain(catalog.consumers.iter().map(|consumer| consumer.team.as_deref()));
        // A team of several things is one team, not several of one name.
        let teams: std::collections::BTreeSet<&str> = teams.flatten().collect();
        Self {
            catalog,
            events: Slugs::of(catalog.events.iter().map(|event| event.kind.as_str())),
            consumers: Slugs::of(service_names(catalog)),
            teams: Slugs::of(teams),
        }
    }

    fn head(&self, head: &Head<'_>) -> String {
        let Head { id, name, version, summary, team } = head;
        let owner = team.map_or(NOBODY.to_owned(), |team| self.teams.get(team));
        format!(
            "---\nid: {}\nname: {}\nversion: \"{version}.0.0\"\nsummary: {}\nowners:\n  - {}\n",
            yaml(id),
            yaml(name),
            yaml(summary),
            yaml(&owner)
        )
    }

    fn event(&self, event: &CatalogEvent) -> String {
        let said = event.description.as_deref();
        let summary = said.map_or_else(|| format!("The event type {}", event.kind), summary);
        let (id, team) = (self.events.get(&event.kind), event.team.as_deref());
        let mut out = self.head(&Head { id: &id, name: &event.kind, version: event.version, summary, team });
        if event.schema.is_some() {
            out.push_str("schemaPath: \"schema.json\"\n");
        }
        out.push_str("---\n\n");
        let _ = writeln!(out, "{}\n", paragraphs(said.unwrap_or("Nobody has described it yet.")));
        out.push_str("<NodeGraph />\n");
        let about = |edge: &Edge| {
            let who = edge.consumer.as_deref().map_or("from outside".to_owned(), code);
            let verb = match edge.kind {
                EdgeKind::Accepts => "accepted",
                EdgeKind::Takes => "taken by",
                EdgeKind::Emits => "emitted by",
            };
            format!("{verb} {who}")
        };
        observed(&mut out, self.catalog.edges.iter().filter(|edge| edge.event == event.kind), about);
        out.push_str(&schema_sections(event));
        out
    }

    fn services(&self) -> Vec<Exported> {
        let catalog = self.catalog;
        let mut services = Vec::new();
        for name in service_names(catalog) {
            let id = self.consumers.get(name);
            let text = match catalog.consumer(name) {
                Some(consumer) => self.consumer(&id, consumer),
                None => {
                    let said = "It was seen to take or emit events, and nobody declares it now.";
                    self.service(&id, name, said, None, self.sent(name), self.received(name))
                }
            };
            services.push((id, text));
        }
        let accepted = catalog.edges.iter().filter(|edge| edge.kind == EdgeKind::Accepts);
        let accepted: Vec<&str> = accepted.map(|edge| edge.event.as_str()).collect();
        let own: Vec<&str> =
            catalog.events.iter().map(|event| event.kind.as_str()).filter(|kind| is_own(kind)).collect();
        for (id, name, said, sent) in [
            (OUTSIDE, "From outside", "Whoever sends events to acceptd.", accepted),
            (ACCEPTD, "acceptd", "acceptd itself, which says how operations ended.", own),
        ] {
            if !sent.is_empty() {
                services.push((id.to_owned(), self.service(id, name, said, None, sent, Vec::new())));
            }
        }
        let file = |(id, text): (String, String)| Exported::new(format!("services/{id}/index.mdx"), text);
        services.into_iter().map(file).collect()
    }

    fn sent(&self, consumer: &'a str) -> Vec<&'a str> {
        self.catalog.edges_of(consumer, EdgeKind::Emits).map(|edge| edge.event.as_str()).collect()
    }

    fn received(&self, consumer: &'a str) -> Vec<&'a str> {
        self.catalog.edges_of(consumer, EdgeKind::Takes).map(|edge| edge.event.as_str()).collect()
    }

    fn service(
        &self,
        id: &str,
        name: &str,
        said: &str,
        team: Option<&str>,
        sent: Vec<&str>,
        received: Vec<&str>,
    ) -> String {
        let mut out = self.head(&Head { id, name, version: 1, summary: summary(said), team });
        for (key, kinds) in [("sends", sent), ("receives", received)] {
            if !kinds.is_empty() {
                let _ = writeln!(out, "{key}:");
            }
            for kind in kinds {
                let version = self.catalog.event(kind).map_or(1, |event| event.version);
                let _ = writeln!(out, "  - id: {}\n    version: \"{version}.0.0\"", yaml(&self.events.get(kind)));
            }
        }
        let _ = write!(out, "---\n\n{}\n\n<NodeGraph />\n", paragraphs(said));
        out
    }

    fn consumer(&self, id: &str, consumer: &'a CatalogConsumer) -> String {
        let (name, team) = (&consumer.name, consumer.team.as_deref());
        let said = consumer.description.clone().unwrap_or_else(|| format!("The consumer {name}"));
        let mut out = self.service(id, name, &said, team, self.sent(name), self.received(name));
        out.push_str("\n## How it runs\n\n");
        let place = consumer.place.iter().map(|place| format!("Written at {}", code(place)));
        let lines = [format!("Target: {}", markdown(&target(consumer)))];
        let policies = policies(self.catalog, consumer).into_iter().map(|policy| markdown(&policy));
        for line in lines.into_iter().chain(policies).chain(place) {
            let _ = writeln!(out, "- {line}");
        }
        let own = self.catalog.edges.iter().filter(|edge| edge.consumer.as_deref() == Some(name));
        let about = |edge: &Edge| {
            let verb = if edge.kind == EdgeKind::Takes { "takes" } else { "emits" };
            format!("{verb} {}", code(&edge.event))
        };
        observed(&mut out, own, about);
        out
    }

    fn teams(&self) -> Vec<Exported> {
        let mut teams: BTreeMap<String, String> = BTreeMap::new();
        let catalog = self.catalog;
        let of_events = catalog.events.iter().map(|event| event.team.as_deref());
        let of_consumers = catalog.consumers.iter().map(|consumer| consumer.team.as_deref());
        for team in of_events.chain(of_consumers) {
            let (id, name) = match team {
                Some(team) => (self.teams.get(team), team),
                None => (NOBODY.to_owned(), "Nobody yet"),
            };
            teams.insert(id, name.to_owned());
        }
        if catalog.edges.iter().any(|edge| edge.kind == EdgeKind::Accepts) {
            teams.insert(NOBODY.to_owned(), "Nobody yet".to_owned());
        }
        let file = |(id, name): (String, String)| {
            let said = if id == NOBODY { "No team is named for these." } else { "Answers for these." };
            let head = format!("---\nid: {}\nname: {}\nsummary: {}\n---\n\n", yaml(&id), yaml(&name), yaml(said));
            Exported::new(format!("teams/{id}.mdx"), format!("{head}{said}\n"))
        };
        teams.into_iter().map(file).collect()
    }
}

/// The consumers, and who was only seen to be one.
fn service_names(catalog: &Catalog) -> Vec<&str> {
    let mut names: Vec<&str> = catalog.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
    names.extend(catalog.edges.iter().filter_map(|edge| edge.consumer.as_deref()));
    names.sort_unstable();
    names.dedup();
    names
}

/// What is to be said of edges, where there is something.
fn observed<'a>(out: &mut String, edges: impl Iterator<Item = &'a Edge>, about: impl Fn(&Edge) -> String) {
    let marked: Vec<(&Edge, String)> = edges.filter_map(|edge| Some((edge, mark(edge)?))).collect();
    if !marked.is_empty() {
        out.push_str("\n## Seen\n\n");
    }
    for (edge, mark) in marked {
        let _ = writeln!(out, "- {}: {}", about(edge), markdown(&mark));
    }
}
