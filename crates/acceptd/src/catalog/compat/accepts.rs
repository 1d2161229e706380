//! Whether every value of a closed writer is valid for a reader: one recursive walk over both schemas.
//!
//! Both become lists of alternatives. Each alternative of the writer must fit one of the reader's; two alternatives fit
//! keyword by keyword, and what they have inside is walked in the same way. A pair of schemas that is met again inside
//! of itself fits if nothing else speaks against it: that is how recursive schemas end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::kinds::Kinds;
use super::node::{Node, distinct};
use super::shape::{Shape, Unclear, shapes};
use super::words::{Note, describe, label, short, worst};
use super::{Direction, Verdict, apart, array, bounds, object, plain, probe, same};

/// Pairs of schemas that are compared at most.
const PAIRS_MAX: usize = 20_000;

/// How deep pairs may stand in one another.
const DEPTH_MAX: usize = 100;

/// Keywords that are only compared as they are, with the kinds of values that they are about.
const OPAQUE: [(&str, Kinds); 10] = [
    ("if", Kinds::ALL),
    ("contains", Kinds::ARRAY),
    ("minContains", Kinds::ARRAY),
    ("maxContains", Kinds::ARRAY),
    ("unevaluatedItems", Kinds::ARRAY),
    ("additionalItems", Kinds::ARRAY),
    ("propertyNames", Kinds::OBJECT),
    ("dependentSchemas", Kinds::OBJECT),
    ("dependentRequired", Kinds::OBJECT),
    ("dependencies", Kinds::OBJECT),
];

/// Places of a reader's and a writer's schemas.
type Pair = (Vec<String>, Vec<String>);

/// A walk in one direction.
pub(super) struct Walk {
    direction: Direction,
    /// Pairs that fit, or are being compared and fit so far.
    fitting: Vec<Pair>,
    /// What was found of pairs that don't.
    others: BTreeMap<Pair, Vec<Note>>,
    pairs: usize,
    depth: usize,
}

impl Walk {
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, fitting: Vec::new(), others: BTreeMap::new(), pairs: 0, depth: 0 }
    }

    /// What belongs to the old schema, and what to the new one.
    pub(super) fn old_and_new<T>(&self, reader: T, writer: T) -> (T, T) {
        match self.direction {
            Direction::Backward => (writer, reader),
            Direction::Forward => (reader, writer),
        }
    }

    /// The one that is of the new schema.
    pub(super) fn of_new<'s, T>(&self, reader: &'s T, writer: &'s T) -> &'s T {
        self.old_and_new(reader, writer).1
    }

    /// Compares schemas of a reader, which all hold, with those of a writer.
    pub(super) fn accepts(&mut self, reader: &[Node<'_>], writer: &[Node<'_>]) -> Vec<Note> {
        if reader.len() == writer.len() && reader.iter().zip(writer).all(|(one, other)| same::same(one, other)) {
            return Vec::new();
        }
        // A schema is known by where it stands, whoever refers to it.
        let (reader, writer) = (settled(reader), settled(writer));
        let places = |nodes: &[Node<'_>]| nodes.iter().map(Node::key).collect();
        let pair = (places(&reader), places(&writer));
        if self.fitting.contains(&pair) {
            return Vec::new();
        }
        if let Some(notes) = self.others.get(&pair) {
            return notes.clone();
        }
        self.pairs += 1;
        if self.pairs > PAIRS_MAX || self.depth > DEPTH_MAX {
            return vec![note(Verdict::Unknown, String::new(), "the schemas are too large to compare".to_owned())];
        }
        let mark = self.fitting.len();
        self.fitting.push(pair.clone());
        self.depth += 1;
        let notes = self.alternatives(&reader, &writer);
        self.depth -= 1;
        if worst(&notes) > Verdict::Compatible {
            // What was found under the assumption that this pair fits is worth nothing.
            self.fitting.truncate(mark);
            self.others.insert(pair, notes.clone());
        }
        notes
    }

    /// Whether schemas of a reader take any value at all.
    pub(super) fn takes_anything(&mut self, reader: &[Node<'_>]) -> bool {
        let all = reader.iter().all(|node| same::same(node, &Node::open("")));
        all || worst(&self.accepts(reader, &[Node::open("")])) == Verdict::Compatible
    }

    fn alternatives(&mut self, reader: &[Node<'_>], writer: &[Node<'_>]) -> Vec<Note> {
        let (readers, writers) = match (shapes(reader), shapes(writer)) {
            (Ok(readers), Ok(writers)) => (readers, writers),
            (Err(Unclear { place, sentence }), _) | (_, Err(Unclear { place, sentence })) => {
                return vec![note(Verdict::Unknown, place, sentence)];
            }
        };
        let home = self.of_new(&reader[0].place, &writer[0].place);
        if readers.is_empty() && !writers.is_empty() {
            let sentence = match self.direction {
                Direction::Backward => "nothing is allowed here any more",
                Direction::Forward => "nothing was allowed here before",
            };
            return vec![note(Verdict::Breaking, home.clone(), sentence.to_owned())];
        }
        let mut met = vec![false; readers.len()];
        let mut notes = BTreeSet::new();
        for shape in &writers {
            notes.extend(self.taken(&readers, shape, home, &mut met));
        }
        let unmet = readers.iter().zip(met).filter(|(_, met)| !met && readers.len() > 1);
        for (shape, _) in unmet.filter(|_| !writers.is_empty()) {
            let (place, how) = match self.direction {
                Direction::Backward => (shape.place().to_owned(), "new"),
                Direction::Forward => (home.clone(), "gone"),
            };
            notes.insert(note(Verdict::Compatible, place, format!("{} is {how}", label(shape))));
        }
        // What several alternatives have in common is told once.
        notes.into_iter().collect()
    }

    /// Looks for the reader's alternative that takes one of the writer's. `home` is where the alternatives stand.
    fn taken(&mut self, readers: &[Shape<'_>], writer: &Shape<'_>, home: &str, met: &mut [bool]) -> Vec<Note> {
        let near: Vec<usize> = match readers.len() {
            1 => vec![0],
            _ => (0..readers.len()).filter(|at| !apart::apart(&readers[*at], writer)).collect(),
        };
        let mut best: Option<Vec<Note>> = None;
        for at in &near {
            let notes = self.fits(&readers[*at], writer);
            let is_better = |known: &Vec<Note>| (worst(&notes), notes.len()) < (worst(known), known.len());
            if worst(&notes) == Verdict::Compatible || near.len() == 1 {
                met[*at] = true;
            }
            if best.as_ref().is_none_or(is_better) {
                best = Some(notes);
            }
        }
        match best {
            Some(notes) if worst(&notes) == Verdict::Compatible || near.len() == 1 => notes,
            Some(_) => {
                let pieces = writer.pieces();
                if pieces.len() > 1 {
                    return pieces.iter().flat_map(|piece| self.taken(readers, piece, home, met)).collect();
                }
                near.iter().for_each(|at| met[*at] = true);
                let sentence = format!("{}: whether it fits an alternative can't be decided", label(writer));
                vec![note(Verdict::Unknown, self.place(&readers[near[0]], writer), sentence)]
            }
            None => {
                let (place, how) = match self.direction {
                    Direction::Backward => (home, "gone"),
                    Direction::Forward => (writer.place(), "new"),
                };
                vec![note(Verdict::Breaking, place.to_owned(), format!("{} is {how}", label(writer)))]
            }
        }
    }

    /// Compares one alternative with another, keyword by keyword.
    fn fits(&mut self, reader: &Shape<'_>, writer: &Shape<'_>) -> Vec<Note> {
        let mut notes = self.ruled_out(reader, writer);
        if let Some(values) = &writer.values {
            notes.extend(self.fits_values(reader, writer, values));
            return notes;
        }
        let (old, new) = self.old_and_new(reader, writer);
        let became = || format!("{} became {}", describe(old), describe(new));
        let place = || self.of_new(reader, writer).place_of(if new.values.is_some() { "enum" } else { "type" });
        if reader.values.is_some() || !writer.kinds.within(reader.kinds) {
            notes.push(note(Verdict::Breaking, place(), became()));
            return notes;
        }
        if reader.kinds != writer.kinds && !writer.is_piece {
            notes.push(note(Verdict::Compatible, place(), became()));
        }
        notes.extend(bounds::compare(self, reader, writer));
        notes.extend(probe::compare(self, reader, writer));
        notes.extend(self.opaque(reader, writer));
        if writer.kinds.meets(Kinds::OBJECT) {
            notes.extend(object::compare(self, reader, writer));
        }
        if writer.kinds.meets(Kinds::ARRAY) {
            notes.extend(array::compare(self, reader, writer));
        }
        notes
    }

    fn fits_values(&self, reader: &Shape<'_>, writer: &Shape<'_>, values: &[Value]) -> Vec<Note> {
        let new = self.of_new(reader, writer);
        let keyword = if new.all("const").next().is_some() { "const" } else { "enum" };
        let place = new.place_of(if new.values.is_some() { keyword } else { "type" });
        let (gone, added) = match self.direction {
            Direction::Backward => ("gone", "new"),
            Direction::Forward => ("new", "gone"),
        };
        if let Some(known) = &reader.values {
            let lost = values.iter().filter(|value| !plain::contains(known, value));
            let more = known.iter().filter(|value| !writer.is_piece && !plain::contains(values, value));
            let lost = lost.map(|value| note(Verdict::Breaking, place.clone(), format!("{} is {gone}", short(value))));
            let more =
                more.map(|value| note(Verdict::Compatible, place.clone(), format!("{} is {added}", short(value))));
            return lost.chain(more).collect();
        }
        let (old, new) = self.old_and_new(reader, writer);
        let became = format!("{} became {}", describe(old), describe(new));
        let has_parts = values.iter().any(|value| value.is_array() || value.is_object()) && plain::has_parts(reader);
        let checker = plain::checker(reader);
        let fits = |value: &&Value| {
            Kinds::of(value).within(reader.kinds) && checker.as_ref().is_none_or(|checker| checker.is_valid(value))
        };
        match values.iter().find(|value| !fits(value)) {
            Some(value) => {
                vec![note(Verdict::Breaking, place, format!("{became}, which {} does not fit", short(value)))]
            }
            None if has_parts || checker.is_none() => vec![note(Verdict::Unknown, place, became)],
            None if writer.is_piece => Vec::new(),
            None => vec![note(Verdict::Compatible, place, became)],
        }
    }

    /// What the reader rules out must be nothing that the writer has.
    fn ruled_out(&self, reader: &Shape<'_>, writer: &Shape<'_>) -> Vec<Note> {
        let is_out =
            |not: &Node<'_>| writer.nots.iter().any(|known| same::same(known, not)) || apart::from_shape(not, writer);
        let unclear = reader.nots.iter().filter(|not| !is_out(not));
        let tell = |not: &Node<'_>| {
            let place = match self.direction {
                Direction::Backward => not.place.clone(),
                Direction::Forward => writer.place().to_owned(),
            };
            note(Verdict::Unknown, place, "whether this is ruled out can't be decided".to_owned())
        };
        unclear.map(tell).collect()
    }

    /// Keywords that are only compared as they are.
    fn opaque(&self, reader: &Shape<'_>, writer: &Shape<'_>) -> Vec<Note> {
        let has = |shape: &Shape<'_>, node: &Node<'_>, keyword: &str| {
            let keywords: &[&str] = if keyword == "if" { &["if", "then", "else"] } else { &[keyword] };
            let is_same = |other: &Node<'_>| keywords.iter().all(|keyword| same::same_keyword(keyword, node, other));
            shape.nodes.iter().any(is_same)
        };
        let is_list = |node: &Node<'_>| node.get("items").is_some_and(Value::is_array);
        let mut notes = Vec::new();
        let about = OPAQUE.into_iter().chain([("items", Kinds::ARRAY)]);
        for (keyword, _) in about.filter(|(_, kinds)| writer.kinds.meets(*kinds)) {
            let said = |node: &&Node<'_>| node.get(keyword).is_some() && (keyword != "items" || is_list(node));
            let place = self.of_new(reader, writer).place_of(keyword);
            if reader.nodes.iter().filter(said).any(|node| !has(writer, node, keyword)) {
                notes.push(note(Verdict::Unknown, place, format!("{keyword} changed, and can't be compared")));
            } else if writer.nodes.iter().filter(said).any(|node| !has(reader, node, keyword)) {
                notes.push(note(Verdict::Compatible, place, format!("{keyword} changed")));
            }
        }
        notes
    }

    fn place(&self, reader: &Shape<'_>, writer: &Shape<'_>) -> String {
        self.of_new(reader, writer).place().to_owned()
    }
}

fn settled<'a>(nodes: &[Node<'a>]) -> Vec<Node<'a>> {
    distinct(nodes.iter().map(Node::settled))
}

fn note(verdict: Verdict, path: String, sentence: String) -> Note {
    Note { verdict, path, sentence }
}
