//! A limit of the API in words and tables.

use acceptd::Limit;
use acceptd::limit::Rate;
use serde::Deserialize as _;
use serde_json::Value;

use crate::cli::output::{Column, age, field, plain, table};

/// The columns of the list.
pub(super) const COLUMNS: [Column; 7] = [
    ("NAME", |limit| field(limit, "/name")),
    ("ALLOWS", allows),
    ("KEY", |limit| field(limit, "/key")),
    ("IN USE", |limit| field(limit, "/inUse")),
    ("WAITING", |limit| field(limit, "/waiting")),
    ("FOUND", found),
    ("STATE", state),
];

/// The columns of a limit's keys. The first is left out for a limit without a key.
const KEYS: [Column; 6] = [
    ("KEY", key),
    ("IN USE", |key| field(key, "/inUse")),
    ("WAITING", |key| field(key, "/waiting")),
    ("FOUND", |key| key["foundRate"].as_f64().map(Rate::words).unwrap_or_default()),
    ("NEXT START", |key| age(key, "/nextStart")),
    ("STATE", |key| match &key["pause"] {
        Value::Null => "open".to_owned(),
        pause => paused(pause),
    }),
];

/// The columns of those who hold slots. The first is left out for a limit without a key.
const HOLDERS: [Column; 5] = [
    ("KEY", key),
    ("HELD BY", |holder| field(holder, "/operation")),
    ("CONSUMER", |holder| field(holder, "/consumer")),
    ("SINCE", |holder| age(holder, "/since")),
    ("UNTIL", |holder| field(holder, "/until")),
];

/// Everything of one limit.
pub(super) fn describe(limit: &Value) -> String {
    let is_changed = !limit["change"].is_null();
    let consumers: Vec<_> = limit["consumers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let facts = [
        ("name", field(limit, "/name")),
        ("allows", allows(limit)),
        ("declared", if is_changed { declared(limit) } else { String::new() }),
        ("key", field(limit, "/key")),
        ("in use", field(limit, "/inUse")),
        ("waiting", field(limit, "/waiting")),
        ("found", found(limit)),
        ("consumers", consumers.join(", ")),
        ("state", state(limit)),
        ("message", field(limit, "/message")),
    ];
    let line = |(name, value): (&str, String)| (!value.is_empty()).then(|| format!("{name:<9} {}", plain(&value)));
    let mut parts = vec![facts.into_iter().filter_map(line).collect::<Vec<_>>().join("\n")];
    let from = usize::from(limit["key"].is_null());
    let keys: Vec<Value> = keys(limit).cloned().collect();
    let holders: Vec<Value> = keys.iter().flat_map(holders).collect();
    for (rows, columns) in [(keys, &KEYS[from..]), (holders, &HOLDERS[from..])] {
        if !rows.is_empty() {
            parts.push(table(&rows, columns));
        }
    }
    parts.join("\n\n")
}

/// The pause that holds a key of a limit: of all of it, or of that key.
pub(crate) fn pause_of<'a>(limit: &'a Value, key: Option<&str>) -> Option<&'a Value> {
    let of_key = keys(limit).find(|one| one["key"].as_str().unwrap_or_default() == key.unwrap_or_default());
    [Some(&limit["pause"]), of_key.map(|key| &key["pause"])].into_iter().flatten().find(|pause| !pause.is_null())
}

fn keys(limit: &Value) -> impl Iterator<Item = &Value> {
    limit["keys"].as_array().into_iter().flatten()
}

/// Those who hold slots of a key, with the key.
fn holders(key: &Value) -> Vec<Value> {
    let mut holders = key["holders"].as_array().cloned().unwrap_or_default();
    holders.iter_mut().for_each(|holder| holder["key"] = key["key"].clone());
    holders
}

/// A key as it is written on a command line: events without an owner or subject have an empty one.
fn key(value: &Value) -> String {
    let key = field(value, "/key");
    if key.is_empty() { "''".to_owned() } else { key }
}

/// What a limit allows, in the words of all places that say it.
fn allows(limit: &Value) -> String {
    Limit::deserialize(limit).map(|limit| limit.allows()).unwrap_or_default()
}

fn declared(limit: &Value) -> String {
    let mut before = limit.clone();
    for bound in ["rate", "concurrency"] {
        before[bound] = limit["declared"][bound].clone();
    }
    allows(&before)
}

/// The rates that were found: one, or from the lowest key's to the highest.
fn found(limit: &Value) -> String {
    let rates: Vec<f64> = keys(limit).filter_map(|key| key["foundRate"].as_f64()).collect();
    let (lowest, highest) = (
        rates.iter().copied().reduce(f64::min).map(Rate::words),
        rates.iter().copied().reduce(f64::max).map(Rate::words),
    );
    match (lowest, highest) {
        (Some(lowest), Some(highest)) if lowest != highest => format!("{lowest} to {highest}"),
        (lowest, _) => lowest.unwrap_or_default(),
    }
}

/// Whether it is open, and who did what to it.
fn state(limit: &Value) -> String {
    let of_keys: Vec<&Value> = keys(limit).filter(|key| !key["pause"].is_null()).collect();
    let stands = match (&limit["pause"], of_keys.as_slice()) {
        (Value::Null, []) => "open".to_owned(),
        (Value::Null, [only]) if limit["key"].is_null() => paused(&only["pause"]),
        (Value::Null, [only]) => format!("{} {}", key(only), paused(&only["pause"])),
        (Value::Null, several) => format!("{} keys paused", several.len()),
        (pause, _) => paused(pause),
    };
    match &limit["change"] {
        Value::Null => stands,
        change => format!("{stands}; changed by {} at {}", field(change, "/by"), field(change, "/at")),
    }
}

fn paused(pause: &Value) -> String {
    let said = |word: &str, path: &str| match field(pause, path) {
        text if text.is_empty() => text,
        text => format!("{word}{text}"),
    };
    format!("paused{}{}{}", said(" until ", "/until"), said(" by ", "/by"), said(": ", "/reason"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limit() -> Value {
        json!({
            "name": "cloud-api", "rate": "2/s", "concurrency": 3, "key": "/region", "adapt": false, "lock": false,
            "declared": { "rate": "5/s", "concurrency": 3 }, "change": null, "paused": false, "pause": null,
            "inUse": 1, "waiting": 4, "consumers": ["start-ec2", "stop-ec2"], "message": "where it stands",
            "keys": [
                { "key": "eu", "inUse": 1, "waiting": 4, "pause": null, "foundRate": 7.26, "nextStart": null,
                  "holders": [{ "operation": "op-1", "consumer": "start-ec2", "since": null, "until": null }] },
                { "key": "", "inUse": 0, "waiting": 0, "pause": null, "foundRate": 0.05, "nextStart": null,
                  "holders": [] }
            ]
        })
    }

    fn pause(until: Value, reason: &str) -> Value {
        json!({ "since": "2026-11-23T14:00:00.000Z", "until": until, "by": "ann", "reason": reason })
    }

    #[test]
    fn the_state_says_who_did_what() {
        let mut limit = limit();
        assert_eq!(state(&limit), "open");
        limit["change"] = json!({ "by": "bob", "at": "2026-11-23T13:00:00.000Z" });
        assert_eq!(state(&limit), "open; changed by bob at 2026-11-23T13:00:00.000Z");
        limit["keys"][0]["pause"] = pause(Value::Null, "");
        limit["change"] = Value::Null;
        assert_eq!(state(&limit), "eu paused by ann");
        limit["keys"][1]["pause"] = pause(Value::Null, "");
        assert_eq!(state(&limit), "2 keys paused");
        limit["pause"] = pause("2026-11-23T14:32:10.000Z".into(), "a look");
        assert_eq!(state(&limit), "paused until 2026-11-23T14:32:10.000Z by ann: a look");
    }

    #[test]
    fn a_limit_without_a_key_is_paused_as_a_whole_by_its_target() {
        let mut limit = limit();
        limit["key"] = Value::Null;
        limit["keys"][1]["pause"] = pause(Value::Null, "HTTP 429");
        assert_eq!(state(&limit), "paused by ann: HTTP 429");
        assert_eq!(pause_of(&limit, None).map(paused).as_deref(), Some("paused by ann: HTTP 429"));
    }

    #[test]
    fn a_key_is_held_by_its_own_pause_or_by_that_of_all() {
        let mut limit = limit();
        limit["keys"][0]["pause"] = pause(Value::Null, "eu");
        assert_eq!(pause_of(&limit, Some("eu")).map(paused).as_deref(), Some("paused by ann: eu"));
        assert_eq!(pause_of(&limit, Some("us")), None);
        limit["pause"] = pause(Value::Null, "all");
        assert_eq!(pause_of(&limit, Some("us")).map(paused).as_deref(), Some("paused by ann: all"));
    }

    #[test]
    fn rates_are_shown_in_a_unit_that_can_be_read() {
        assert_eq!(found(&limit()), "3.0/m to 7.3/s");
        assert_eq!([0.5, 0.001].map(Rate::words), ["30.0/m", "3.6/h"]);
        assert_eq!(found(&json!({ "keys": [{ "foundRate": 2.0 }, { "foundRate": null }] })), "2.0/s");
        assert_eq!(found(&json!({})), "");
    }

    #[test]
    fn everything_of_a_limit_is_shown() {
        let mut limit = limit();
        limit["change"] = json!({ "by": "bob", "at": "2026-11-23T13:00:00.000Z" });
        let text = describe(&limit);
        for line in [
            "allows    2/s, 3 at a time\n",
            "declared  5/s, 3 at a time\n",
            "consumers start-ec2, stop-ec2\n",
            "message   where it stands\n\nKEY",
            "\neu   1       4        7.3/s",
            "\n''   0       0        3.0/m",
            "\neu   op-1     start-ec2",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        limit["key"] = Value::Null;
        assert!(!describe(&limit).contains("KEY"));
    }
}
