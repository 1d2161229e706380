//! Tests of how a catalog is put together.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

fn consumer(name: &str, on: &[&str], emits: &[&str]) -> CatalogConsumer {
    let owned = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
    CatalogConsumer { name: name.to_owned(), on: owned(on), emits: owned(emits), ..CatalogConsumer::default() }
}

fn seen(event: &str, consumer: &str, emits: &str) -> Observation {
    let mut times = Times::default();
    times.note(Duration::from_millis(20));
    let (event, consumer, emits) = (event.to_owned(), consumer.to_owned(), emits.to_owned());
    let (day, last) = ("2026-11-23".parse().unwrap(), "2026-11-23T10:00:00Z".parse().unwrap());
    Observation { day, event, consumer, emits, count: 1, failed: 0, retried: 0, last, times }
}

fn catalog(consumers: Vec<CatalogConsumer>, observations: &[Observation]) -> Catalog {
    let since = "2026-11-01".parse().unwrap();
    Catalog::assemble(&BTreeMap::new(), consumers, Vec::new(), Some((since, observations)))
}

fn states(catalog: &Catalog) -> Vec<String> {
    let state = |edge: &Edge| {
        let consumer = edge.consumer.as_deref().unwrap_or("-");
        format!("{:?} {consumer} {}: {}", edge.kind, edge.event, edge.state.words())
    };
    catalog.edges.iter().map(state).collect()
}

#[test]
fn an_edge_says_whether_it_is_declared_and_whether_it_was_seen() {
    let consumers =
        vec![consumer("start", &["ec2.start"], &["ec2.started", "alarm.create"]), consumer("alarm", &["alarm.*"], &[])];
    let observations = [
        seen("ec2.start", "", ""),
        seen("ec2.start", "start", ""),
        seen("ec2.start", "start", "ec2.started"),
        seen("ec2.start", "start", "ec2.lost"),
        seen("alarm.other", "alarm", ""),
    ];
    let catalog = catalog(consumers, &observations);
    assert_eq!(
        states(&catalog),
        [
            "Accepts - ec2.start: seen as declared",
            "Takes alarm alarm.create: never seen",
            "Takes alarm alarm.other: seen as declared",
            "Takes start ec2.start: seen as declared",
            "Emits start alarm.create: never seen",
            "Emits start ec2.lost: undeclared",
            "Emits start ec2.started: seen as declared",
        ]
    );
    let event = |kind: &str| catalog.event(kind).unwrap();
    assert_eq!(event("ec2.lost").emitted_by, ["start"]);
    assert!(event("ec2.started").declared && !event("ec2.lost").declared);
    let drift = drift(&catalog);
    assert_eq!(drift.undeclared, ["start emits ec2.lost: once, last at 2026-11-23T10:00:00.000Z"]);
    assert_eq!(drift.never_seen, ["alarm takes alarm.create", "start emits alarm.create"]);
    assert_eq!(drift.unconsumed, ["ec2.lost", "ec2.started"]);
}

#[test]
fn without_observations_everything_is_declared_and_nothing_more() {
    let consumers = vec![consumer("start", &["ec2.start"], &["ec2.started"])];
    let catalog = Catalog::declared(&BTreeMap::new(), consumers, Vec::new());
    assert!(catalog.edges.iter().all(|edge| edge.state == EdgeState::Declared && edge.observed.is_none()));
    assert_eq!(drift(&catalog).undeclared, [] as [&str; 0]);
    let read: Catalog = serde_json::from_str(&catalog.to_json()).unwrap();
    assert_eq!(read, catalog);
}

#[test]
fn what_was_seen_is_added_up_over_days() {
    let mut other = seen("a", "c", "");
    (other.day, other.count, other.failed, other.retried) = ("2026-11-22".parse().unwrap(), 3, 1, 4);
    let catalog = catalog(vec![consumer("c", &["a"], &[])], &[seen("a", "c", ""), other]);
    let edge = catalog.edges.iter().find(|edge| edge.kind == EdgeKind::Takes).unwrap();
    let observed = edge.observed.as_ref().unwrap();
    assert_eq!((observed.count, observed.failed, observed.retried, observed.failure_rate), (4, 1, 4, 0.25));
    let days: Vec<_> = observed.days.iter().map(|day| (day.day.to_string(), day.count)).collect();
    assert_eq!(days, [("2026-11-22".to_owned(), 3), ("2026-11-23".to_owned(), 1)]);
}

#[test]
fn loops_are_named() {
    let consumers = vec![
        consumer("one", &["a"], &["b"]),
        consumer("two", &["b"], &["c", "d"]),
        consumer("three", &["c"], &["a"]),
        consumer("self", &["tick"], &["tick"]),
    ];
    let catalog = catalog(consumers, &[]);
    let loops: Vec<_> = catalog.loops.iter().map(ToString::to_string).collect();
    assert_eq!(loops, ["a → one → b → two → c → three → a", "tick → self → tick"]);
}
