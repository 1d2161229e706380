//! Keywords about values without parts: which listed values a shape has, and whether a value keeps to them.

use serde_json::{Map, Value};

use super::kinds::Kinds;
use super::shape::Shape;

/// Keywords that need no other schema to be checked.
const PLAIN: [&str; 13] = [
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "uniqueItems",
];

/// Whether two values are equal as JSON Schema has it: 1 is 1.0.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(left), Value::Number(right)) => one == other || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(one, other)| equal(one, other))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(key, one): (&String, &Value)| right.get(key).is_some_and(|other| equal(one, other));
            left.len() == right.len() && left.iter().all(same)
        }
        _ => one == other,
    }
}

/// Whether a list has a value.
pub(super) fn contains(values: &[Value], value: &Value) -> bool {
    values.iter().any(|known| equal(known, value))
}

/// The values that `enum` and `const` list, if there are any such keywords.
pub(super) fn listed(shape: &Shape<'_>) -> Option<Vec<Value>> {
    let consts = shape.all("const").map(std::slice::from_ref);
    let enums = shape.all("enum").filter_map(Value::as_array).map(Vec::as_slice);
    let mut lists = consts.chain(enums);
    let first = lists.next()?.to_vec();
    Some(lists.fold(first, |known, list| known.into_iter().filter(|value| contains(list, value)).collect()))
}

/// The values among these that keep to the kinds and the plain keywords of a shape.
pub(super) fn kept(shape: &Shape<'_>, values: Vec<Value>) -> Vec<Value> {
    let more = PLAIN.iter().filter(|keyword| !["type", "enum", "const"].contains(keyword));
    let has_more = more.into_iter().any(|keyword| shape.all(keyword).next().is_some());
    let checker = if has_more { checker(shape) } else { None };
    let keeps = |value: &Value| {
        Kinds::of(value).within(shape.kinds) && checker.as_ref().is_none_or(|checker| checker.is_valid(value))
    };
    values.into_iter().filter(keeps).collect()
}

/// Whether a value keeps to the plain keywords of a shape; those that can't be understood count as kept.
pub(super) fn holds(shape: &Shape<'_>, value: &Value) -> bool {
    checker(shape).is_none_or(|checker| checker.is_valid(value))
}

/// A checker for the plain keywords of a shape. None when they can't be understood.
pub(super) fn checker(shape: &Shape<'_>) -> Option<jsonschema::Validator> {
    let plain = |members: &Map<String, Value>| {
        let plain = members.iter().filter(|(key, _)| PLAIN.contains(&key.as_str()));
        Value::Object(plain.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let parts: Vec<Value> = shape.nodes.iter().filter_map(|node| node.value.as_object()).map(plain).collect();
    let schema = if parts.is_empty() { Value::Bool(true) } else { serde_json::json!({ "allOf": parts }) };
    jsonschema::options().offline().should_validate_formats(true).build(&schema).ok()
}

/// Whether a shape says more than plain keywords can about arrays and objects.
pub(super) fn has_parts(shape: &Shape<'_>) -> bool {
    let mut members = shape.nodes.iter().filter_map(|node| node.value.as_object()).flatten();
    members.any(|(key, _)| super::same::is_telling(key) && !PLAIN.contains(&key.as_str()))
}
