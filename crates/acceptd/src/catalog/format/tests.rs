//! Tests of the formats with one catalog that holds what is hard to write: names of any characters, loops, wildcards,
//! schemas with references, and every state of an edge. The files it becomes are kept in `tests/catalog`, where
//! programs of others read them, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::EventDeclaration;
use crate::catalog::{CatalogConsumer, CatalogLimit, CatalogRetry, Observation, Times};

/// What every markup takes for its own, and what Mermaid does with `style` and `end`.
const NASTY: &str = "style:a#35;\"<b>{x}</b>`|[y](z)\\n$&amp;-->]]>--é";
const NASTY_TEXT: &str = "<script>alert(\"1\")</script> `code` | a ]]> b {mdx} ${x} -->\n\n\
    export const x = 1\n# not a heading\n    not code\n---\n1. not a list\nend \\ & &amp; \u{7}";

fn consumer(name: &str, on: &[&str], emits: &[&str], target: &str) -> CatalogConsumer {
    let owned = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let address = match target {
        "http" => format!("http://127.0.0.1:9000/{}", name.len()),
        "inbox" => "inbox".to_owned(),
        _ => format!("shop::{}", name.replace('-', "_")),
    };
    CatalogConsumer {
        name: name.to_owned(),
        on: owned(on),
        emits: owned(emits),
        undeclared: "refuse".to_owned(),
        notifies: target == "inbox",
        target: target.to_owned(),
        address,
        max_attempts: 8,
        retry: CatalogRetry { base_ms: 1_000, max_ms: 300_000, give_up_after_ms: 86_400_000 },
        timeout_ms: 300_000,
        concurrency: 16,
        fair_by: "owner".to_owned(),
        ..CatalogConsumer::default()
    }
}

fn seen(event: &str, consumer: &str, emits: &str, counts: (u64, u64, u64)) -> Observation {
    let mut times = Times::default();
    times.note(Duration::from_millis(30_000));
    let (event, consumer, emits) = (event.to_owned(), consumer.to_owned(), emits.to_owned());
    let (day, last) = ("2026-11-23".parse().unwrap(), "2026-11-23T10:00:00Z".parse().unwrap());
    let (count, failed, retried) = counts;
    Observation { day, event, consumer, emits, count, failed, retried, last, times }
}

fn declarations() -> BTreeMap<String, EventDeclaration> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "OrderPlaced",
        "type": "object",
        "required": ["id", "lines"],
        "properties": {
            "id": { "type": "string", "minLength": 1 },
            "state": { "$ref": "#/$defs/State", "description": "How it \"stands\"" },
            "lines": { "type": "array", "items": { "$ref": "#/$defs/Line" } },
            "point": { "prefixItems": [{ "type": "number" }, { "type": "number" }], "items": false },
        },
        "dependentRequired": { "state": ["id"] },
        "unevaluatedProperties": false,
        "$defs": {
            "State": { "enum": ["new", "paid", null] },
            "Line": {
                "type": "object",
                "required": ["sku"],
                "properties": {
                    "sku": { "type": "string" },
                    "parts": { "type": "array", "items": { "$ref": "#/$defs/Line" } },
                    "of": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] },
                },
            },
        },
        "examples": [
            {
                "id": "a",
                "lines": [{ "sku": "1", "parts": [{ "sku": "2" }], "of": null }],
                "state": "new",
                "point": [1, 2],
            },
        ],
    });
    let placed = EventDeclaration {
        description: Some("A customer pressed \"Buy\".\n\nEvery order begins with it.".to_owned()),
        version: 2,
        schema: Some(schema),
        older: [(1, json!({ "type": "object", "$defs": { "A": {} }, "properties": { "a": { "$ref": "#/$defs/A" } } }))]
            .into(),
        team: Some("Orders & Co".to_owned()),
        key: Some("/id".to_owned()),
        owner_required: true,
        ..EventDeclaration::default()
    };
    let nasty = EventDeclaration {
        description: Some(NASTY_TEXT.to_owned()),
        team: Some(NASTY_TEXT.to_owned()),
        schema: Some(json!({ "description": NASTY_TEXT, "const": NASTY, "examples": [NASTY] })),
        ..EventDeclaration::default()
    };
    let lonely = EventDeclaration { team: Some("orders".to_owned()), ..EventDeclaration::default() };
    let all =
        [("order.placed", placed), (NASTY, nasty), ("Order.Placed", lonely), ("../../etc/passwd", <_>::default())];
    all.into_iter().map(|(kind, declaration)| (kind.to_owned(), declaration)).collect()
}

fn consumers() -> Vec<CatalogConsumer> {
    let charge = CatalogConsumer {
        description: Some("Charges the card.".to_owned()),
        team: Some("payments".to_owned()),
        place: Some("src/charge.rs:12".to_owned()),
        uses: vec!["shop::Stripe".to_owned()],
        limits: vec!["stripe".to_owned(), "charge".to_owned()],
        lock: Some("/customer".to_owned()),
        ordered: true,
        ..consumer("charge", &["order.placed", "charge.retry"], &["card.charged", "charge.retry"], "function")
    };
    let nasty = CatalogConsumer {
        description: Some(NASTY_TEXT.to_owned()),
        team: Some(NASTY_TEXT.to_owned()),
        permits: vec!["stripe".to_owned()],
        undeclared: "record".to_owned(),
        max_attempts: 1,
        ..consumer(NASTY, &[NASTY], &["end", "alarm.create"], "http")
    };
    vec![
        charge,
        nasty,
        consumer("ship", &["card.charged"], &["parcel.sent", "alarm.create"], "http"),
        consumer("alarm", &["alarm.*"], &[], "inbox"),
        consumer("tell", &["acceptd.operation.ended", "card.charged"], &["alarm.create"], "function"),
        consumer("tick", &["tick"], &["tick"], "function"),
        consumer("waits", &["nothing.*"], &[], "http"),
    ]
}

fn observations() -> Vec<Observation> {
    vec![
        seen("order.placed", "", "", (1_200, 12, 0)),
        seen("order.placed", "charge", "", (1_188, 50, 7)),
        seen("order.placed", "charge", "card.charged", (1_138, 0, 0)),
        seen("order.placed", "charge", "card.refused<i>", (3, 0, 0)),
        seen("card.charged", "ship", "", (1_138, 1, 0)),
        seen("card.charged", "gone", "", (5, 0, 0)),
        seen("card.charged", "ship", "parcel.sent", (1_137, 0, 0)),
        seen(NASTY, "", "", (1, 0, 0)),
        seen(NASTY, NASTY, "", (1, 0, 0)),
        seen("alarm.tea", "", "", (1, 0, 0)),
        seen("alarm.tea", "alarm", "", (1, 0, 0)),
    ]
}

fn limits() -> Vec<CatalogLimit> {
    let stripe = CatalogLimit {
        name: "stripe".to_owned(),
        rate: Some("2/s".to_owned()),
        concurrency: Some(4),
        key: Some("/region".to_owned()),
        adapt: true,
    };
    vec![stripe, CatalogLimit { name: "a | limit".to_owned(), concurrency: Some(1), ..CatalogLimit::default() }]
}

fn sample() -> Catalog {
    let since = "2026-11-01".parse().unwrap();
    Catalog::assemble(&declarations(), consumers(), limits(), Some((since, &observations())))
}

/// A format's files as one text.
fn joined(files: &[Exported]) -> String {
    match files {
        [file] => file.text.clone(),
        files => files.iter().map(|file| format!("=== {}\n{}", file.path, file.text)).collect(),
    }
}

#[test]
fn the_sample_is_written_as_it_is_kept() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/catalog");
    let mut differ = Vec::new();
    for format in Format::ALL {
        let files = format.export(&sample());
        let name = match format {
            Format::Markdown | Format::EventCatalog | Format::Backstage => format!("{format}.txt"),
            _ => files[0].path.clone(),
        };
        let (path, text) = (folder.join(&name), joined(&files));
        if std::env::var_os("ACCEPTD_WRITE_DOCS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            differ.push(name);
        }
    }
    assert!(differ.is_empty(), "{differ:?} differ: set ACCEPTD_WRITE_DOCS=1, run this test, and read what changed");
}

#[test]
fn equal_catalogs_give_equal_files() {
    let (mut consumers, mut limits, mut observations) = (consumers(), limits(), observations());
    consumers.reverse();
    limits.reverse();
    observations.reverse();
    let since = "2026-11-01".parse().unwrap();
    let other = Catalog::assemble(&declarations(), consumers, limits, Some((since, &observations)));
    let read: Catalog = serde_json::from_str(&other.to_json()).unwrap();
    for format in Format::ALL {
        assert_eq!(format.export(&sample()), format.export(&read), "{format}");
    }
}

#[test]
fn a_catalog_without_anything_is_written_too() {
    for format in Format::ALL {
        let files = format.export(&Catalog::default());
        assert!(format == Format::EventCatalog || !joined(&files).is_empty(), "{format}");
    }
}

#[test]
fn files_stay_in_their_folder_and_each_has_its_own_name() {
    for format in Format::ALL {
        let files = format.export(&sample());
        let paths: BTreeSet<String> = files.iter().map(|file| file.path.to_lowercase()).collect();
        assert_eq!(paths.len(), files.len(), "{format}");
        for path in paths {
            assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{path}");
            assert!(path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)), "{path}");
        }
    }
}

#[test]
fn every_state_is_told_in_words() {
    for format in [Format::Text, Format::Mermaid, Format::Dot, Format::Svg] {
        let text = joined(&format.export(&sample()));
        assert!(text.contains("never seen"), "{format}");
        assert!(text.to_lowercase().contains("undeclared · 3") || text.contains("UNDECLARED, 3 seen"), "{format}");
        assert!(text.contains("4.2 % failed"), "{format}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let files = markdown(&sample());
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut links = 0;
    for file in &files {
        let folder = Path::new(&file.path).parent().unwrap();
        for link in file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            // Text in parentheses after an escaped bracket is no link.
            let Some(page) = link.strip_suffix(".md") else { continue };
            let path = match page.strip_prefix("../") {
                Some(page) => format!("{page}.md"),
                None => folder.join(format!("{page}.md")).to_string_lossy().into_owned(),
            };
            assert!(paths.contains(path.as_str()), "{}: {link}", file.path);
            links += 1;
        }
    }
    assert!(links > 30, "{links}");
}

#[test]
fn every_reference_of_the_asyncapi_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&asyncapi(&sample())).unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 40, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_default();
        assert!(!pointer.is_empty() && document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(document: &Value, references: &mut Vec<String>) {
    match document {
        Value::Array(list) => list.iter().for_each(|item| collect(item, references)),
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect(member, references));
        }
        _ => {}
    }
}

#[test]
fn formats_are_read_by_name() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    assert!("pdf".parse::<Format>().unwrap_err().to_string().contains("asyncapi"));
}
