//! The catalog for Backstage: an API with its AsyncAPI document, and a component for each team's consumers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape::yaml;
use super::slug::Slugs;
use super::{Exported, asyncapi};
use crate::catalog::{Catalog, CatalogConsumer};
use crate::safe::plain;

/// The owner of what no team answers for.
const NOBODY: &str = "unknown";
const API: &str = "acceptd-events";

/// `catalog-info.yaml`, and the `asyncapi.json` that it names.
pub fn backstage(catalog: &Catalog) -> Vec<Exported> {
    let entities = [vec![api(catalog)], components(catalog)].concat();
    vec![Exported::new("asyncapi.json", asyncapi(catalog)), Exported::new("catalog-info.yaml", entities.join("---\n"))]
}

/// The team of every event type, if that is one.
fn api(catalog: &Catalog) -> String {
    let mut teams: Vec<_> = catalog.events.iter().filter_map(|event| event.team.as_deref()).collect();
    teams.sort_unstable();
    teams.dedup();
    let slugs = Slugs::of(teams.iter().copied());
    let owner = if let [team] = teams[..] { slugs.get(team) } else { NOBODY.to_owned() };
    let count = catalog.events.len();
    let about = format!("{count} event types that acceptd takes or emits, and the consumers between them");
    let mut out = head("API", API, "Events", &about);
    let _ = write!(out, "  type: asyncapi\n  lifecycle: production\n  owner: {}\n", yaml(&owner));
    out.push_str("  definition:\n    $text: ./asyncapi.json\n");
    out
}

fn components(catalog: &Catalog) -> Vec<String> {
    let mut teams: BTreeMap<&str, Vec<&CatalogConsumer>> = BTreeMap::new();
    for consumer in &catalog.consumers {
        teams.entry(consumer.team.as_deref().unwrap_or_default()).or_default().push(consumer);
    }
    let slugs = Slugs::of(teams.keys().copied().filter(|team| !team.is_empty()));
    let component = |(team, consumers): (&&str, &Vec<&CatalogConsumer>)| {
        let owner = if team.is_empty() { NOBODY.to_owned() } else { slugs.get(team) };
        let title = if team.is_empty() { "Consumers".to_owned() } else { format!("Consumers of {team}") };
        let names: Vec<_> = consumers.iter().map(|consumer| consumer.name.as_str()).collect();
        let mut out = head("Component", &component_name(team), &title, &names.join(", "));
        let _ = write!(out, "  type: service\n  lifecycle: production\n  owner: {}\n", yaml(&owner));
        let takes = consumers.iter().any(|consumer| !consumer.on.is_empty());
        let emits = consumers.iter().any(|consumer| !consumer.emits.is_empty());
        for (does, key) in [(takes, "consumesApis"), (emits, "providesApis")] {
            if does {
                let _ = write!(out, "  {key}:\n    - {API}\n");
            }
        }
        out
    };
    teams.iter().map(component).collect()
}

/// The consumers' component: no team's is named as that of nobody.
fn component_name(team: &str) -> String {
    if team.is_empty() { "consumers".to_owned() } else { Slugs::default().get(&format!("{team}-consumers")) }
}

fn head(kind: &str, name: &str, title: &str, description: &str) -> String {
    let (name, title, description) = (yaml(name), yaml(&plain(title)), yaml(&plain(description)));
    format!(
        "apiVersion: backstage.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n  title: {title}\n  \
         description: {description}\nspec:\n"
    )
}
