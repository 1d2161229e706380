//! What became of an event type's data: the current schema against each one before that still counts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Finding, finding};
use crate::catalog::CatalogEvent;
use crate::catalog::compat::{self, Change, Direction, Mode, Verdict};

/// Compares the schemas of an event type.
///
/// The new current schema is compared with the old current one, and with each older one that the new catalog still
/// lists: events of these versions are still stored, and may still come.
pub(super) fn compare(about: &str, old: &CatalogEvent, new: &CatalogEvent, mode: Mode) -> Vec<Finding> {
    let (before, after) = match (&old.schema, &new.schema) {
        (Some(before), Some(after)) => (before, after),
        (None, None) => return Vec::new(),
        (None, Some(_)) => {
            let sentence = "it has a schema now; data from before may not fit";
            return vec![finding(Verdict::Unknown, about, sentence)];
        }
        (Some(_), None) => {
            let verdict = if mode == Mode::Backward { Verdict::Compatible } else { Verdict::Unknown };
            return vec![finding(verdict, about, "it has no schema any more; its data may be anything")];
        }
    };
    let mut findings = versions(about, old, new, (before, after));
    findings.extend(changes(about, "", before, after, mode));
    let still_listed = |version: &u32| *version == new.version || new.older_schemas.contains_key(version);
    for (version, schema) in old.older_schemas.iter().filter(|(version, _)| still_listed(version)) {
        let told = findings.clone();
        let more = changes(about, &format!("since version {version}: "), schema, after, mode);
        // What was told of the newest version is not told again of older ones.
        let is_new = |more: &Finding| {
            let plain = more.sentence.split_once(": ").map_or("", |(_, plain)| plain);
            !told.iter().any(|told| told.sentence == plain)
        };
        findings.extend(more.into_iter().filter(is_new));
    }
    findings
}

/// What became of the versions themselves.
fn versions(about: &str, old: &CatalogEvent, new: &CatalogEvent, (before, after): (&Value, &Value)) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tell = |verdict, sentence: String| findings.push(finding(verdict, about, sentence));
    let listed = |event: &CatalogEvent, current: &Value| -> BTreeMap<u32, Value> {
        event.older_schemas.clone().into_iter().chain([(event.version, current.clone())]).collect()
    };
    if new.version < old.version {
        tell(Verdict::Breaking, format!("its version went back from {} to {}", old.version, new.version));
    }
    let (known, after) = (listed(old, before), listed(new, after));
    for (version, schema) in &known {
        match after.get(version) {
            Some(now) if compat::is_same(schema, now) => {}
            Some(_) if *version == new.version && *version == old.version => {
                tell(Verdict::Compatible, format!("its schema changed, and the version is still {version}"));
            }
            Some(_) => tell(Verdict::Breaking, format!("version {version} is another schema than before")),
            None if *version == old.version => {
                tell(
                    Verdict::Breaking,
                    format!("version {version} is no longer listed: events that name it are refused"),
                );
            }
            None => {
                tell(Verdict::Unknown, format!("version {version} is no longer listed: does nobody name it any more?"));
            }
        }
    }
    for version in after.keys().filter(|version| !known.contains_key(version)) {
        tell(Verdict::Compatible, format!("version {version} is new"));
    }
    findings
}

/// The changes between two schemas, both directions in one line.
fn changes(about: &str, since: &str, old: &Value, new: &Value, mode: Mode) -> Vec<Finding> {
    let mut lines: BTreeMap<(String, String), Vec<(Verdict, Direction)>> = BTreeMap::new();
    for Change { path, sentence, verdict, direction } in compat::compare(old, new, mode) {
        lines.entry((path, sentence)).or_default().push((verdict, direction));
    }
    let line = |((path, sentence), verdicts): ((String, String), Vec<(Verdict, Direction)>)| {
        let worst = verdicts.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Compatible);
        let of_worst = verdicts.iter().filter(|(verdict, _)| *verdict == worst && worst > Verdict::Compatible);
        let directions: Vec<_> = of_worst.map(|(_, direction)| direction.to_string()).collect();
        let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
        let which = if directions.is_empty() { String::new() } else { format!(" ({})", directions.join(" and ")) };
        finding(worst, about, format!("{since}{place}{sentence}{which}"))
    };
    lines.into_iter().map(line).collect()
}
