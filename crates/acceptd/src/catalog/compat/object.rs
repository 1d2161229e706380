//! Objects: which properties a writer emits, and what a reader asks of them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Verdict;
use super::accepts::Walk;
use super::node::{Node, join};
use super::probe;
use super::shape::Shape;
use super::words::{self, Note, Standing, became, short};

/// Whether a writer emits a property.
pub(super) enum Emits<'a> {
    /// It doesn't.
    Never,
    /// It may, with values that keep to all of these.
    Maybe(Vec<Node<'a>>),
    /// Its schema says nothing about properties at all.
    Unsaid,
}

/// The properties that must be there.
pub(super) fn required<'a>(shape: &Shape<'a>) -> BTreeSet<&'a str> {
    shape.all("required").filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect()
}

/// Whether a writer emits a property of this name.
pub(super) fn emits<'a>(writer: &Shape<'a>, name: &str) -> Emits<'a> {
    let emitted = emits_by(writer, |node| own(node, name));
    match emitted {
        // What is required is emitted, also if nothing else is said of it.
        Emits::Never if required(writer).contains(name) && constraints(writer, name).is_some() => {
            Emits::Maybe(Vec::new())
        }
        other => other,
    }
}

/// What a reader asks of a property of this name. None when it refuses the property.
pub(super) fn constraints<'a>(reader: &Shape<'a>, name: &str) -> Option<Vec<Node<'a>>> {
    constraints_by(reader, |node| own(node, name))
}

/// What a node says of a property by its name.
fn own<'a>(node: &Node<'a>, name: &str) -> Vec<Node<'a>> {
    let patterns = node.map("patternProperties").filter(|(pattern, _)| probe::matches(pattern, name));
    node.named("properties", name).into_iter().chain(patterns.map(|(_, node)| node)).collect()
}

fn emits_by<'a>(writer: &Shape<'a>, own: impl Fn(&Node<'a>) -> Vec<Node<'a>>) -> Emits<'a> {
    let (mut found, mut declared, mut said) = (Vec::new(), false, false);
    for node in &writer.nodes {
        let own = own(node);
        said |= ["properties", "patternProperties"].iter().any(|keyword| node.get(keyword).is_some());
        let others = node.schema("additionalProperties").filter(|_| own.is_empty());
        declared |= !own.is_empty() || others.is_some();
        found.extend(own.into_iter().chain(others));
    }
    for others in writer.nodes.iter().filter_map(|node| node.schema("unevaluatedProperties")) {
        if !declared {
            found.push(others);
        }
    }
    declared |= !found.is_empty();
    let never = found.iter().any(|node| node.value == &Value::Bool(false));
    match (never, declared, said) {
        (true, ..) | (_, false, true) => Emits::Never,
        (_, true, _) => Emits::Maybe(found),
        (_, false, false) => Emits::Unsaid,
    }
}

fn constraints_by<'a>(reader: &Shape<'a>, own: impl Fn(&Node<'a>) -> Vec<Node<'a>>) -> Option<Vec<Node<'a>>> {
    let (mut found, mut declared) = (Vec::new(), false);
    for node in &reader.nodes {
        let own = own(node);
        declared |= !own.is_empty();
        let others = node.schema("additionalProperties").filter(|_| own.is_empty());
        declared |= others.is_some();
        found.extend(own.into_iter().chain(others));
    }
    if !declared {
        found.extend(reader.nodes.iter().filter_map(|node| node.schema("unevaluatedProperties")));
    }
    let refused = found.iter().any(|node| node.value == &Value::Bool(false));
    (!refused).then_some(found)
}

/// Whether a property is declared by its name.
fn declares(shape: &Shape<'_>, name: &str) -> bool {
    shape.nodes.iter().any(|node| node.named("properties", name).is_some())
}

/// The names of all properties that a shape declares.
fn declared<'a>(shape: &Shape<'a>) -> impl Iterator<Item = &'a str> {
    let maps = shape.nodes.iter().filter_map(|node| node.get("properties")).filter_map(Value::as_object);
    maps.flat_map(|map| map.keys().map(String::as_str)).collect::<Vec<_>>().into_iter()
}

/// The most properties that a writer emits, when there is a bound.
pub(super) fn most(writer: &Shape<'_>) -> Option<u64> {
    let has_patterns = writer.all("patternProperties").next().is_some();
    let rest = emits_by(writer, |_| Vec::new());
    let names: BTreeSet<_> = declared(writer).chain(required(writer)).collect();
    (matches!(rest, Emits::Never) && !has_patterns).then_some(names.len() as u64)
}

/// Compares two shapes of objects.
pub(super) fn compare<'a>(walk: &mut Walk, reader: &Shape<'a>, writer: &Shape<'a>) -> Vec<Note> {
    let names: BTreeSet<&str> =
        declared(reader).chain(declared(writer)).chain(required(reader)).chain(required(writer)).collect();
    let mut notes = Vec::new();
    for name in names {
        notes.extend(property(walk, reader, writer, name));
    }
    notes.extend(patterns(walk, reader, writer));
    notes.extend(rest(walk, reader, writer));
    notes
}

fn property<'a>(walk: &mut Walk, reader: &Shape<'a>, writer: &Shape<'a>, name: &str) -> Vec<Note> {
    let needs = required(reader).contains(name);
    let gives = required(writer).contains(name);
    let standing = |is_required: bool, is_declared: bool| match (is_required, is_declared) {
        (true, _) => Standing::Required,
        (_, true) => Standing::Optional,
        _ => Standing::Absent,
    };
    let read = standing(needs, declares(reader, name));
    let written = standing(gives, declares(writer, name));
    let (old, new) = walk.old_and_new(read, written);
    let sentence = words::property(old, new);
    let place = join(&walk.of_new(reader, writer).place_of_property(name), name);
    let note = |verdict, sentence: &str| vec![Note { verdict, path: place.clone(), sentence: sentence.to_owned() }];
    let change = |verdict| sentence.map(|sentence| note(verdict, sentence)).unwrap_or_default();
    match (emits(writer, name), constraints(reader, name)) {
        (Emits::Never, _) if needs => note(Verdict::Breaking, sentence.unwrap_or("it is needed, and never there")),
        (Emits::Never, _) => change(Verdict::Compatible),
        (Emits::Unsaid, _) if needs => note(Verdict::Breaking, sentence.unwrap_or("required now")),
        (Emits::Unsaid, Some(asked)) if walk.takes_anything(&asked) => change(Verdict::Compatible),
        (Emits::Unsaid, _) => {
            let sentence = sentence.unwrap_or("changed");
            note(Verdict::Unknown, &format!("{sentence}; an object that declares no properties may have it already"))
        }
        (Emits::Maybe(_), None) => {
            let sentence = sentence.unwrap_or("removed");
            note(Verdict::Breaking, &format!("{sentence}, and other properties are refused"))
        }
        (Emits::Maybe(_), Some(_)) if needs && !gives => note(Verdict::Breaking, sentence.unwrap_or("required now")),
        (Emits::Maybe(given), Some(asked)) => {
            let mut notes = change(Verdict::Compatible);
            if !asked.is_empty() {
                let given = if given.is_empty() { vec![Node::open(&place)] } else { given };
                notes.extend(walk.accepts(&asked, &given));
            }
            notes
        }
    }
}

/// What nobody declares by name or by pattern.
fn rest<'a>(walk: &mut Walk, reader: &Shape<'a>, writer: &Shape<'a>) -> Vec<Note> {
    let place = walk.of_new(reader, writer).place_of("additionalProperties");
    let note = |verdict, sentence: String| vec![Note { verdict, path: place.clone(), sentence }];
    let text = |shape: &Shape<'_>| shape.all("additionalProperties").next().map(short);
    let (old, new) = walk.old_and_new(text(reader), text(writer));
    let changed = || became("additionalProperties", old.as_deref(), new.as_deref());
    match (emits_by(writer, |_| Vec::new()), constraints_by(reader, |_| Vec::new())) {
        (Emits::Never, _) if old != new => note(Verdict::Compatible, changed()),
        (Emits::Never, _) => Vec::new(),
        (Emits::Maybe(_), None) => note(Verdict::Breaking, changed()),
        (Emits::Maybe(given), Some(asked)) if !asked.is_empty() => walk.accepts(&asked, &given),
        (Emits::Unsaid, Some(asked)) if walk.takes_anything(&asked) => Vec::new(),
        (Emits::Unsaid, _) => {
            let sentence = format!("{}; an object that declares no properties may have any", changed());
            note(Verdict::Unknown, sentence)
        }
        _ if old != new => note(Verdict::Compatible, changed()),
        _ => Vec::new(),
    }
}

/// What properties by pattern must be. Patterns are compared by their text.
fn patterns<'a>(walk: &mut Walk, reader: &Shape<'a>, writer: &Shape<'a>) -> Vec<Note> {
    let all = |shape: &Shape<'a>| {
        shape.nodes.iter().flat_map(|node| node.map("patternProperties")).collect::<Vec<(&'a str, Node<'a>)>>()
    };
    let (read, written) = (all(reader), all(writer));
    let base = walk.of_new(reader, writer).place_of("patternProperties");
    let is_open = !matches!(emits_by(writer, |_| Vec::new()), Emits::Never);
    let mut notes = Vec::new();
    let mut note = |pattern: &str, verdict, sentence: &str| {
        notes.push(Note { verdict, path: join(&base, pattern), sentence: sentence.to_owned() });
    };
    let mut pairs = Vec::new();
    for (pattern, given) in &written {
        match read.iter().find(|(known, _)| known == pattern) {
            Some((_, asked)) => pairs.push((asked.clone(), given.clone())),
            None if !read.is_empty() => note(pattern, Verdict::Unknown, "patterns can't be compared"),
            None => match constraints_by(reader, |_| Vec::new()) {
                None => note(pattern, Verdict::Breaking, "the pattern changed, and other properties are refused"),
                Some(asked) if asked.is_empty() => note(pattern, Verdict::Compatible, "the pattern changed"),
                Some(asked) => pairs.extend(asked.into_iter().map(|asked| (asked, given.clone()))),
            },
        }
    }
    for (pattern, _) in read.iter().filter(|(pattern, _)| written.iter().all(|(known, _)| known != pattern)) {
        let verdict = if is_open || !written.is_empty() { Verdict::Unknown } else { Verdict::Compatible };
        note(pattern, verdict, "the pattern changed");
    }
    for (asked, given) in pairs {
        notes.extend(walk.accepts(&[asked], &[given]));
    }
    notes
}
