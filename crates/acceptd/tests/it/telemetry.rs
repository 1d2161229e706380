//! The contract of telemetry: its document says what the code says, both ways.

use std::collections::BTreeSet;
use std::path::Path;

use acceptd::telemetry::{ATTRIBUTES, LOG_SPAN, METRICS, SPANS, log_table, metrics_table, spans_table};

/// A table of the document stands between this line and the next empty comment.
fn begin(name: &str) -> String {
    format!("<!-- {name}: written by its test -->\n")
}

const END: &str = "<!-- end -->";

fn place<'a>(text: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let (before, rest) = text.split_once(&begin(name)).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    (before, table, after)
}

#[test]
fn the_document_is_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/telemetry.md");
    let tables = [("metrics", metrics_table()), ("spans", spans_table()), ("log fields", log_table())];
    let mut text = std::fs::read_to_string(&path).unwrap();
    if std::env::var_os("ACCEPTD_WRITE_DOCS").is_some() {
        for (name, table) in &tables {
            let (before, _, after) = place(&text, name);
            text = format!("{before}{}{table}{END}{after}", begin(name));
        }
        std::fs::write(&path, &text).unwrap();
    }
    for (name, table) in &tables {
        let written = place(&text, name).1;
        assert!(written == table, "write {name} in docs/telemetry.md anew: set ACCEPTD_WRITE_DOCS=1 and run this test");
    }
    assert!(text.contains(&format!("`{LOG_SPAN}`")), "the document names the span of log lines");
}

#[test]
fn the_document_names_no_metric_that_is_not_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/telemetry.md");
    let text = std::fs::read_to_string(path).unwrap();
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| word.starts_with("acceptd_"));
    let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    for word in words {
        let word = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        assert!(known.contains(word), "{word}");
    }
}

#[test]
fn names_are_well_formed_and_their_own() {
    let mut seen = BTreeSet::new();
    for metric in METRICS {
        assert!(metric.name.starts_with("acceptd_") && seen.insert(metric.name), "{}", metric.name);
        let ends_well = match metric.unit {
            "seconds" => metric.name.ends_with("_seconds"),
            _ => !metric.name.ends_with("_seconds"),
        };
        assert!(ends_well && !metric.meaning.ends_with('.'), "{}", metric.name);
        let is_counter = metric.kind.as_str() == "counter";
        assert_eq!(metric.name.ends_with("_total"), is_counter, "{}", metric.name);
    }
    let known: BTreeSet<_> = ATTRIBUTES.iter().map(|attribute| attribute.name).collect();
    let used: BTreeSet<_> = SPANS.iter().flat_map(|span| span.attributes).copied().collect();
    assert_eq!((known.len(), known), (ATTRIBUTES.len(), used), "every attribute is of some span");
}
