//! Whether two schemas mean the same: equal but for annotations, with references followed.

use serde_json::Value;

use super::node::Node;

/// Keywords that say nothing about which values are valid, and those that only hold schemas for references.
const SILENT: [&str; 16] = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "$comment",
    "$schema",
    "$id",
    "$defs",
    "definitions",
];

/// Keywords whose value is one schema, a list of schemas, or schemas by name.
const ONE: [&str; 11] = [
    "items",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "additionalItems",
];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const MAP: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];

/// How many references are followed on the way to one place.
const REFERENCES_MAX: usize = 1_000;

/// Whether a keyword says something about which values are valid.
pub(super) fn is_telling(keyword: &str) -> bool {
    !SILENT.contains(&keyword) && !keyword.starts_with("x-")
}

/// Whether two schemas mean the same. What means the same in other words counts as different.
pub(super) fn same(one: &Node<'_>, other: &Node<'_>) -> bool {
    equal(one, other, &mut Vec::new())
}

/// Whether two schemas have the same value of a keyword, or both none.
pub(super) fn same_keyword(name: &str, one: &Node<'_>, other: &Node<'_>) -> bool {
    match (one.get(name).is_some(), other.get(name).is_some()) {
        (true, true) => keyword(name, one, other, &mut Vec::new()),
        (one, other) => one == other,
    }
}

type Open = Vec<(String, String)>;

fn equal(one: &Node<'_>, other: &Node<'_>, open: &mut Open) -> bool {
    let (Value::Object(left), Value::Object(right)) = (one.value, other.value) else {
        return one.value == other.value;
    };
    let telling = |keys: &serde_json::Map<String, Value>| keys.keys().filter(|key| is_telling(key)).count();
    if telling(left) != telling(right) {
        return false;
    }
    left.keys().filter(|key| is_telling(key)).all(|key| right.contains_key(key) && keyword(key, one, other, open))
}

fn keyword(key: &str, one: &Node<'_>, other: &Node<'_>, open: &mut Open) -> bool {
    let raw = || one.get(key) == other.get(key);
    if key == "$ref" {
        return reference(one, other, open);
    }
    if ONE.contains(&key) {
        return match (one.schema(key), other.schema(key)) {
            (Some(one), Some(other)) => equal(&one, &other, open),
            _ => raw(),
        };
    }
    if LIST.contains(&key) {
        let (one, other) = (one.list(key), other.list(key));
        return one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| equal(one, other, open));
    }
    if MAP.contains(&key) {
        let (one, other): (Vec<_>, Vec<_>) = (one.map(key).collect(), other.map(key).collect());
        let pair = |(name, node): &(&str, Node<'_>)| {
            other.iter().any(|(known, other)| known == name && equal(node, other, open))
        };
        return one.len() == other.len() && one.iter().all(pair);
    }
    if ["required", "type", "enum"].contains(&key) {
        return as_set(one.get(key), other.get(key));
    }
    raw()
}

fn reference(one: &Node<'_>, other: &Node<'_>, open: &mut Open) -> bool {
    match (one.target(), other.target()) {
        (Some(Ok(one)), Some(Ok(other))) => {
            let pair = (one.place.clone(), other.place.clone());
            if open.contains(&pair) {
                return true;
            }
            if open.len() > REFERENCES_MAX {
                return false;
            }
            open.push(pair);
            equal(&one, &other, open)
        }
        // Both can't be followed, and are the same text.
        _ => one.get("$ref") == other.get("$ref"),
    }
}

fn as_set(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            one.iter().all(|value| other.contains(value)) && other.iter().all(|value| one.contains(value))
        }
        (one, other) => one == other,
    }
}
