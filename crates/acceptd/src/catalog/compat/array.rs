//! Arrays: what stands at each place of them.

use serde_json::Value;

use super::accepts::Walk;
use super::node::Node;
use super::shape::Shape;
use super::words::{Note, became};
use super::{Verdict, bounds};

/// Compares two shapes of arrays, place by place and then the rest.
pub(super) fn compare<'a>(walk: &mut Walk, reader: &Shape<'a>, writer: &Shape<'a>) -> Vec<Note> {
    let mut notes = unique(walk, reader, writer);
    let longest = longest(writer);
    let is_there = |at: usize| longest.is_none_or(|longest| (at as u64) < longest);
    let prefix = prefix(reader).max(prefix(writer));
    for at in (0..prefix).filter(|at| is_there(*at)) {
        notes.extend(items(walk, (reader, at), (writer, at)));
    }
    if is_there(prefix) {
        notes.extend(items(walk, (reader, prefix), (writer, prefix)));
    }
    notes
}

fn items<'a>(walk: &mut Walk, reader: (&Shape<'a>, usize), writer: (&Shape<'a>, usize)) -> Vec<Note> {
    let (asked, given) = (at(reader), at(writer));
    if asked.is_empty() && given.is_empty() {
        return Vec::new();
    }
    let place = |shape: &Shape<'a>| shape.place_of("items");
    let or_any = |nodes: Vec<Node<'a>>, shape| if nodes.is_empty() { vec![Node::open(&place(shape))] } else { nodes };
    walk.accepts(&or_any(asked, reader.0), &or_any(given, writer.0))
}

/// What is said of the item at an index.
fn at<'a>((shape, index): (&Shape<'a>, usize)) -> Vec<Node<'a>> {
    let said = |node: &Node<'a>| node.list("prefixItems").into_iter().nth(index).or_else(|| node.schema("items"));
    shape.nodes.iter().filter_map(said).collect()
}

fn prefix(shape: &Shape<'_>) -> usize {
    shape.all("prefixItems").filter_map(Value::as_array).map(Vec::len).max().unwrap_or(0)
}

/// The most items that an array has, when there is a bound.
pub(super) fn longest(shape: &Shape<'_>) -> Option<u64> {
    let closed = shape.nodes.iter().filter(|node| node.get("items") == Some(&Value::Bool(false)));
    let closed = closed.map(|node| node.list("prefixItems").len() as u64).min();
    closed.into_iter().chain(bounds::count(shape, "maxItems", false)).min()
}

fn unique(walk: &Walk, reader: &Shape<'_>, writer: &Shape<'_>) -> Vec<Note> {
    let unique = |shape: &Shape<'_>| shape.all("uniqueItems").any(|value| value == &Value::Bool(true));
    let (read, written) = (unique(reader), unique(writer));
    if read == written {
        return Vec::new();
    }
    let (old, new) = walk.old_and_new(read, written);
    let text = |is_unique: bool| is_unique.then_some("true");
    let breaks = read && longest(writer).is_none_or(|longest| longest > 1);
    vec![Note {
        verdict: if breaks { Verdict::Breaking } else { Verdict::Compatible },
        path: walk.of_new(reader, writer).place_of("uniqueItems"),
        sentence: became("uniqueItems", text(old), text(new)),
    }]
}
