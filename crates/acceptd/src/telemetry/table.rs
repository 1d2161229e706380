//! The tables of `docs/telemetry.md`.

use std::fmt::Write as _;

use super::{ATTRIBUTES, LOG_FIELDS, METRICS, Metric, SPANS, SpanDefinition};

/// Every metric.
pub fn metrics_table() -> String {
    let mut table = "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n".to_owned();
    for Metric { name, kind, labels, unit, meaning } in METRICS {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (kind.as_str(), labels.join(", "));
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {unit} | {meaning} |");
    }
    table
}

/// Every span, then every attribute.
pub fn spans_table() -> String {
    let mut table = "| name | kind | when | parent | links | attributes |\n|---|---|---|---|---|---|\n".to_owned();
    for SpanDefinition { name, when, kind, parent, links, attributes } in SPANS {
        let attributes: Vec<_> = attributes.iter().map(|name| format!("`{name}`")).collect();
        let (kind, attributes) = (kind.as_str(), attributes.join(", "));
        let _ = writeln!(table, "| `{name}` | {kind} | {when} | {parent} | {links} | {attributes} |");
    }
    table.push_str("\n| attribute | what it says |\n|---|---|\n");
    for attribute in ATTRIBUTES {
        let _ = writeln!(table, "| `{}` | {} |", attribute.name, attribute.meaning);
    }
    table
}

/// The fields of an attempt's log lines.
pub fn log_table() -> String {
    let rows = LOG_FIELDS.iter().map(|(name, meaning)| format!("| `{name}` | {meaning} |\n"));
    "| field | what it is |\n|---|---|\n".to_owned() + &rows.collect::<String>()
}
