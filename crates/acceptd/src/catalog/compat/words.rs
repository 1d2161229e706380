//! What is told of a comparison, and its sentences.

use serde_json::Value;

use super::shape::Shape;
use super::{Change, Direction, Verdict, object};

/// Values that a sentence lists, and the longest text of one, in characters.
const VALUES_MAX: usize = 5;
const VALUE_LENGTH_MAX: usize = 40;

/// One thing that a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    pub(super) verdict: Verdict,
    pub(super) path: String,
    pub(super) sentence: String,
}

impl Note {
    pub(super) fn in_direction(self, direction: Direction) -> Change {
        let Self { verdict, path, sentence } = self;
        Change { path, sentence, verdict, direction }
    }
}

/// The worst of what was found.
pub(super) fn worst(notes: &[Note]) -> Verdict {
    notes.iter().map(|note| note.verdict).max().unwrap_or(Verdict::Compatible)
}

/// What became of a keyword's value.
pub(super) fn became(keyword: &str, old: Option<&str>, new: Option<&str>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!("{keyword} {old} became {new}"),
        (None, Some(new)) => format!("{keyword} {new} is new"),
        (Some(old), None) => format!("{keyword} {old} is gone"),
        (None, None) => format!("{keyword} changed"),
    }
}

/// How much a schema says of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Absent,
    Optional,
    Required,
}

/// What became of a property; None when nothing did.
pub(super) fn property(old: Standing, new: Standing) -> Option<&'static str> {
    use Standing as S;
    match (old, new) {
        (S::Absent, S::Optional) => Some("added"),
        (S::Absent, S::Required) => Some("added and required"),
        (S::Optional, S::Required) => Some("required now"),
        (S::Required, S::Optional) => Some("no longer required"),
        (S::Optional, S::Absent) => Some("removed"),
        (S::Required, S::Absent) => Some("removed, and was required"),
        _ => None,
    }
}

/// A value, cut where it is long.
pub(super) fn short(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(VALUE_LENGTH_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What a shape allows, in a few words.
pub(super) fn describe(shape: &Shape<'_>) -> String {
    match &shape.values {
        Some(values) if values.len() > 1 => {
            let listed: Vec<_> = values.iter().take(VALUES_MAX).map(short).collect();
            let more = if values.len() > VALUES_MAX { ", …" } else { "" };
            format!("one of {}{more}", listed.join(", "))
        }
        Some(values) => values.first().map_or_else(|| "nothing".to_owned(), short),
        None => format!("type {}", shape.kinds),
    }
}

/// What tells an alternative from others: the property with a constant, or the one that it needs.
pub(super) fn label(shape: &Shape<'_>) -> String {
    let required = object::required(shape);
    let constant = |name: &&str| {
        let node = shape.nodes.iter().find_map(|node| node.named("properties", name))?;
        Some(format!("the alternative with {name} {}", short(node.get("const")?)))
    };
    if let Some(label) = required.iter().find_map(constant) {
        return label;
    }
    match (shape.values.is_some(), required.first()) {
        (false, Some(name)) => format!("the alternative with {name}"),
        _ => describe(shape),
    }
}
