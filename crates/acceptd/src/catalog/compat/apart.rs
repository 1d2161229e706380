//! Whether no value can be valid for both of two schemas. "No" means only that it could not be shown.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bounds::Range;
use super::kinds::Kinds;
use super::node::Node;
use super::object::{self, Emits};
use super::plain;
use super::shape::{Shape, shapes};

/// How many levels of properties are looked at.
const DEPTH_MAX: usize = 4;

/// Whether no value of a writer's shape is valid for a schema.
pub(super) fn from_shape(schema: &Node<'_>, writer: &Shape<'_>) -> bool {
    let Ok(readers) = shapes(std::slice::from_ref(schema)) else { return false };
    readers.iter().all(|reader| apart(reader, writer))
}

/// Whether a value is not valid for a schema.
pub(super) fn from_value(schema: &Node<'_>, value: &Value) -> bool {
    let Ok(readers) = shapes(std::slice::from_ref(schema)) else { return false };
    readers.iter().all(|reader| lacks(reader, value))
}

/// Whether no value of a writer's shape is valid for a reader's.
pub(super) fn apart(reader: &Shape<'_>, writer: &Shape<'_>) -> bool {
    are_apart(reader, writer, DEPTH_MAX)
}

fn are_apart(reader: &Shape<'_>, writer: &Shape<'_>, depth: usize) -> bool {
    if let Some(values) = &writer.values {
        return values.iter().all(|value| lacks(reader, value));
    }
    if let Some(values) = &reader.values {
        return values.iter().all(|value| lacks(writer, value));
    }
    let common = reader.kinds.and(writer.kinds);
    if common.is_empty() {
        return true;
    }
    if common.within(Kinds::NUMBER) {
        return Range::of(reader).misses(&Range::of(writer));
    }
    common == Kinds::OBJECT && objects_apart(reader, writer, depth)
}

fn lacks(shape: &Shape<'_>, value: &Value) -> bool {
    match &shape.values {
        Some(values) => !plain::contains(values, value),
        None => !Kinds::of(value).within(shape.kinds) || !plain::holds(shape, value),
    }
}

/// Two shapes of objects are apart when one needs a property that the other never has, or when a property that is
/// there in both has no common value.
fn objects_apart(reader: &Shape<'_>, writer: &Shape<'_>, depth: usize) -> bool {
    let (wanted, given) = (object::required(reader), object::required(writer));
    let never = |name: &&str| matches!(object::emits(writer, name), Emits::Never);
    let refused = |name: &&str| object::constraints(reader, name).is_none();
    if wanted.iter().any(never) || given.iter().any(refused) {
        return true;
    }
    let names: BTreeSet<&str> = wanted.union(&given).copied().collect();
    depth > 0
        && names.into_iter().any(|name| {
            let Emits::Maybe(written) = object::emits(writer, name) else { return false };
            let read = object::constraints(reader, name).unwrap_or_default();
            let (Ok(read), Ok(written)) = (shapes(&read), shapes(&written)) else { return false };
            read.iter().all(|read| written.iter().all(|written| are_apart(read, written, depth - 1)))
        })
}
