//! Tests of what changed between two catalogs.

use serde_json::json;

use super::*;
use crate::catalog::{CatalogLimit, EventDeclaration, Observation};

fn consumer(name: &str, on: &[&str], emits: &[&str]) -> CatalogConsumer {
    let owned = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
    CatalogConsumer { name: name.to_owned(), on: owned(on), emits: owned(emits), ..CatalogConsumer::default() }
}

fn schema(required: &[&str], kind: &str) -> Value {
    json!({"type": "object", "required": required, "properties": {"a": {"type": kind}, "b": {"type": "string"}}})
}

fn event(version: u32, schema: Option<Value>, older: &[(u32, Value)]) -> EventDeclaration {
    EventDeclaration { version, schema, older: older.iter().cloned().collect(), ..EventDeclaration::default() }
}

fn of_event(event: EventDeclaration) -> Catalog {
    Catalog::declared(&[("e".to_owned(), event)].into(), Vec::new(), Vec::new())
}

fn of_consumers(consumers: Vec<CatalogConsumer>) -> Catalog {
    Catalog::declared(&BTreeMap::new(), consumers, Vec::new())
}

fn lines(old: &Catalog, new: &Catalog, mode: Mode) -> Vec<String> {
    let words = |finding: &Finding| finding.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    check(old, new, mode).iter().map(words).collect()
}

fn data(old: EventDeclaration, new: EventDeclaration, mode: Mode) -> Vec<String> {
    let lines = lines(&of_event(old), &of_event(new), mode);
    lines.into_iter().map(|line| line.replace("event e: ", "")).collect()
}

#[test]
fn nothing_changed() {
    let catalog = of_consumers(vec![consumer("one", &["a"], &["b"]), consumer("two", &["b"], &[])]);
    assert_eq!(check(&catalog, &catalog, Mode::Full), []);
    assert_eq!(render(&[]), "nothing changed\n");
}

#[test]
fn what_somebody_relied_on_is_missed() {
    let old = of_consumers(vec![
        consumer("one", &["a", "x"], &["b", "unheard"]),
        consumer("two", &["b"], &[]),
        consumer("three", &["x"], &[]),
    ]);
    let new = of_consumers(vec![
        consumer("one", &["a", "c"], &["d"]),
        consumer("two", &["b"], &[]),
        consumer("four", &["x", "unheard"], &[]),
    ]);
    let findings = check(&old, &new, Mode::Full);
    assert_eq!(
        render(&findings),
        "breaking    consumer one: it no longer takes x\n\
         breaking    consumer one: it no longer emits b\n\
         breaking    consumer three: it is gone\n\
         compatible  event c: it is new\n\
         compatible  event d: it is new\n\
         compatible  consumer four: it is new\n\
         compatible  consumer one: it takes c now\n\
         compatible  consumer one: it no longer emits unheard\n\
         compatible  consumer one: it emits d now\n\
         3 breaking, 0 unknown, 6 compatible\n"
    );
    assert_eq!(worst(&findings), Verdict::Breaking);
}

#[test]
fn an_event_type_that_is_gone_is_told_once() {
    let old = of_consumers(vec![consumer("one", &["a", "b"], &["c"])]);
    let new = of_consumers(vec![consumer("one", &["a"], &[])]);
    assert_eq!(lines(&old, &new, Mode::Full), ["breaking event b: it is gone", "breaking event c: it is gone"]);
}

#[test]
fn terms_of_an_event_type() {
    let plain = EventDeclaration::default();
    let strict = EventDeclaration { owner_required: true, batch: false, key: Some("/a".into()), ..plain.clone() };
    assert_eq!(
        data(plain.clone(), strict.clone(), Mode::Full),
        [
            "breaking an owner is required now",
            "breaking batches of it are no longer taken",
            "compatible its key none became /a"
        ]
    );
    assert_eq!(
        data(strict, plain, Mode::Full)[..2],
        [
            "compatible an owner is no longer required",
            "unknown a body that has only `items` was the data of one event, and is a batch now"
        ]
    );
}

#[test]
fn data_is_compared_by_the_mode() {
    let old = || event(1, Some(schema(&[], "integer")), &[]);
    let new = || event(2, Some(schema(&["b"], "number")), &[(1, schema(&[], "integer"))]);
    assert_eq!(
        data(old(), new(), Mode::Full),
        [
            "compatible version 2 is new",
            "breaking /properties/a/type: type integer became type number (forward)",
            "breaking /properties/b: required now (backward)",
        ]
    );
    assert_eq!(data(old(), new(), Mode::Forward)[2], "compatible /properties/b: required now");
    assert_eq!(data(old(), new(), Mode::Backward)[1], "compatible /properties/a/type: type integer became type number");
}

#[test]
fn each_older_version_that_is_still_listed_counts() {
    let of = |kind: &str| schema(&[], kind);
    let old = || event(2, Some(of("number")), &[(1, of("string"))]);
    let both = event(3, Some(of("number")), &[(1, of("string")), (2, of("number"))]);
    assert_eq!(
        data(old(), both, Mode::Backward),
        [
            "compatible version 3 is new",
            "breaking since version 1: /properties/a/type: type string became type number (backward)"
        ]
    );
    let dropped = event(3, Some(of("number")), &[(2, of("number"))]);
    assert_eq!(
        data(old(), dropped, Mode::Backward),
        ["unknown version 1 is no longer listed: does nobody name it any more?", "compatible version 3 is new"]
    );
    let lost = event(3, Some(of("number")), &[]);
    assert_eq!(
        data(old(), lost, Mode::Backward)[1],
        "breaking version 2 is no longer listed: events that name it are refused"
    );
    let other = event(3, Some(of("number")), &[(1, of("null")), (2, of("number"))]);
    assert_eq!(data(old(), other, Mode::Backward)[0], "breaking version 1 is another schema than before");
    let back = event(1, Some(of("number")), &[]);
    assert_eq!(data(old(), back, Mode::Backward)[0], "breaking its version went back from 2 to 1");
    let silent = event(2, Some(schema(&["b"], "number")), &[(1, of("string"))]);
    assert_eq!(data(old(), silent, Mode::Forward)[0], "compatible its schema changed, and the version is still 2");
}

#[test]
fn schemas_come_and_go() {
    let (none, some) = (event(1, None, &[]), event(1, Some(schema(&[], "string")), &[]));
    assert_eq!(
        data(none.clone(), some.clone(), Mode::Full),
        ["unknown it has a schema now; data from before may not fit"]
    );
    let gone = |verdict: &str| [format!("{verdict} it has no schema any more; its data may be anything")];
    assert_eq!(data(some.clone(), none.clone(), Mode::Backward), gone("compatible"));
    assert_eq!(data(some, none, Mode::Full), gone("unknown"));
}

#[test]
fn policies_and_limits_are_named_and_break_nobody() {
    let limit = |rate: &str| CatalogLimit { name: "l".into(), rate: Some(rate.into()), ..CatalogLimit::default() };
    let with = |timeout_ms, limits: Vec<CatalogLimit>| {
        let consumer = CatalogConsumer { timeout_ms, ..consumer("one", &["a"], &[]) };
        Catalog::declared(&BTreeMap::new(), vec![consumer], limits)
    };
    assert_eq!(
        lines(&with(5, vec![limit("1/s")]), &with(7, vec![limit("2/s")]), Mode::Full),
        ["compatible consumer one: timeoutMs 5 became 7", "compatible limit l: rate \"1/s\" became \"2/s\""]
    );
}

#[test]
fn what_was_only_seen_is_not_compared() {
    let consumers = || vec![consumer("one", &["a"], &[])];
    let seen = Observation {
        day: "2026-11-23".parse().unwrap(),
        event: "a".into(),
        consumer: "one".into(),
        emits: "undeclared".into(),
        count: 1,
        failed: 0,
        retried: 0,
        last: "2026-11-23T10:00:00Z".parse().unwrap(),
        times: Default::default(),
    };
    let observed = Catalog::assemble(&BTreeMap::new(), consumers(), Vec::new(), Some((seen.day, &[seen])));
    assert_eq!(check(&observed, &of_consumers(consumers()), Mode::Full), []);
}
