//! A schema as a list of alternatives without references and combinations: what a value can look like.

use std::collections::BTreeSet;

use serde_json::Value;

use super::kinds::Kinds;
use super::node::{Node, distinct, join};
use super::same::is_telling;
use super::{apart, plain};

/// Alternatives that a schema may have at most; more can't be compared.
const SHAPES_MAX: usize = 256;

/// One way to be valid: each of its nodes holds by the keywords that it has itself, and none of the ruled-out schemas.
#[derive(Debug, Clone)]
pub(super) struct Shape<'a> {
    /// Where it stands, when no node says more.
    pub(super) place: String,
    pub(super) nodes: Vec<Node<'a>>,
    /// What `not` and the other alternatives of a `oneOf` rule out.
    pub(super) nots: Vec<Node<'a>>,
    /// The kinds of its values.
    pub(super) kinds: Kinds,
    /// All of its values, if they are few.
    pub(super) values: Option<Vec<Value>>,
    /// Whether it is only a part of an alternative.
    pub(super) is_piece: bool,
}

/// Why a schema has no list of alternatives: where, and a sentence.
pub(super) struct Unclear {
    pub(super) place: String,
    pub(super) sentence: String,
}

/// The alternatives of schemas that all hold.
pub(super) fn shapes<'a>(nodes: &[Node<'a>]) -> Result<Vec<Shape<'a>>, Unclear> {
    let place = nodes.first().map(|node| node.place.clone()).unwrap_or_default();
    let mut all = vec![Shape::any(place)];
    for node in nodes {
        all = both(all, expand(node, &mut Vec::new())?)?;
    }
    Ok(merge_values(all.into_iter().filter_map(Shape::finish).collect()))
}

/// Where references lead from a schema back to it without a step into the data.
pub(super) fn endless(root: &Node<'_>) -> Option<String> {
    let mut pending = vec![root.clone()];
    let mut done = BTreeSet::new();
    while let Some(node) = pending.pop() {
        if in_place_loop(&node, &mut Vec::new(), &mut done) {
            return Some(node.place);
        }
        pending.extend(node.parts());
    }
    None
}

/// Whether a schema applies itself to the same value again.
fn in_place_loop(node: &Node<'_>, above: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
    if !node.value.is_object() || done.contains(&node.place) {
        return false;
    }
    if above.contains(&node.place) {
        return true;
    }
    above.push(node.place.clone());
    let mut parts: Vec<_> = ["allOf", "anyOf", "oneOf"].iter().flat_map(|key| node.list(key)).collect();
    parts.extend(["not", "if", "then", "else"].iter().filter_map(|key| node.schema(key)));
    parts.extend(node.map("dependentSchemas").map(|(_, node)| node));
    parts.extend(node.target().and_then(Result::ok));
    let found = parts.iter().any(|part| in_place_loop(part, above, done));
    done.extend(above.pop());
    found
}

fn expand<'a>(node: &Node<'a>, above: &mut Vec<String>) -> Result<Vec<Shape<'a>>, Unclear> {
    let unclear = |sentence: String| Unclear { place: node.place.clone(), sentence };
    match node.value {
        Value::Bool(true) => return Ok(vec![Shape::any(node.place.clone())]),
        Value::Bool(false) => return Ok(Vec::new()),
        Value::Object(_) => {}
        _ => return Err(unclear("this is no schema".to_owned())),
    }
    if above.contains(&node.place) {
        return Err(unclear("the schema refers to itself without an end".to_owned()));
    }
    above.push(node.place.clone());
    let mut all = vec![Shape::with(node)];
    match node.target() {
        Some(Ok(target)) => all = both(all, expand(&target, above)?)?,
        Some(Err(reference)) => return Err(unclear(format!("the reference {reference} can't be followed"))),
        None if node.get("$dynamicRef").is_some() || node.get("$recursiveRef").is_some() => {
            return Err(unclear("a dynamic reference can't be followed".to_owned()));
        }
        None => {}
    }
    for part in node.list("allOf") {
        all = both(all, expand(&part, above)?)?;
    }
    for (keyword, is_exclusive) in [("anyOf", false), ("oneOf", true)] {
        if node.get(keyword).is_some() {
            all = both(all, choices(&node.list(keyword), is_exclusive, above)?)?;
        }
    }
    if let Some(not) = node.schema("not") {
        all.iter_mut().for_each(|shape| shape.nots.push(not.clone()));
    }
    above.pop();
    Ok(all)
}

fn choices<'a>(parts: &[Node<'a>], is_exclusive: bool, above: &mut Vec<String>) -> Result<Vec<Shape<'a>>, Unclear> {
    let mut any = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        for mut shape in expand(part, above)? {
            let others = parts.iter().enumerate().filter(|(other, _)| is_exclusive && *other != at);
            shape.nots.extend(others.map(|(_, part)| part.clone()));
            any.push(shape);
        }
    }
    Ok(any)
}

/// What is one of these and also one of those.
fn both<'a>(these: Vec<Shape<'a>>, those: Vec<Shape<'a>>) -> Result<Vec<Shape<'a>>, Unclear> {
    if these.len() * those.len() > SHAPES_MAX {
        let place = these.first().map(|shape| shape.place.clone()).unwrap_or_default();
        return Err(Unclear { place, sentence: format!("there are more than {SHAPES_MAX} alternatives") });
    }
    let pair = |one: &Shape<'a>, other: &Shape<'a>| Shape {
        place: if one.nodes.is_empty() { other.place.clone() } else { one.place.clone() },
        nodes: distinct(one.nodes.iter().chain(&other.nodes).cloned()),
        nots: distinct(one.nots.iter().chain(&other.nots).cloned()),
        ..Shape::any(String::new())
    };
    Ok(these.iter().flat_map(|one| those.iter().map(move |other| pair(one, other))).collect())
}

/// Alternatives that only list values are one list.
fn merge_values(shapes: Vec<Shape<'_>>) -> Vec<Shape<'_>> {
    let mut merged: Vec<Shape<'_>> = Vec::new();
    for shape in shapes {
        let list = merged.iter_mut().find(|other| other.values.is_some() && other.nots.is_empty());
        match (list, &shape.values) {
            (Some(list), Some(values)) if shape.nots.is_empty() => {
                let known = list.values.get_or_insert_default();
                known.extend(values.iter().filter(|value| !plain::contains(known, value)).cloned().collect::<Vec<_>>());
                list.kinds = list.kinds.with(shape.kinds);
            }
            _ => merged.push(shape),
        }
    }
    merged
}

impl<'a> Shape<'a> {
    fn any(place: String) -> Self {
        Self { place, nodes: Vec::new(), nots: Vec::new(), kinds: Kinds::ALL, values: None, is_piece: false }
    }

    fn with(node: &Node<'a>) -> Self {
        let combines = ["$ref", "allOf", "anyOf", "oneOf", "not"];
        let members = node.value.as_object().into_iter().flatten();
        let says = members.into_iter().any(|(key, _)| is_telling(key) && !combines.contains(&key.as_str()));
        let nodes = if says { vec![node.clone()] } else { Vec::new() };
        Self { nodes, ..Self::any(node.place.clone()) }
    }

    /// Finds its kinds and its values; None when no value can be valid.
    fn finish(mut self) -> Option<Self> {
        for kinds in self.all("type").filter_map(Kinds::of_keyword).collect::<Vec<_>>() {
            self.kinds = self.kinds.and(kinds);
        }
        if let Some(values) = plain::listed(&self) {
            self.values = Some(plain::kept(&self, values));
        } else if !self.kinds.is_empty() && self.kinds.within(Kinds::NULL.with(Kinds::BOOLEAN)) {
            self.values = Some(all_of(self.kinds));
        }
        if let Some(values) = self.values.take() {
            self.kinds = values.iter().fold(Kinds::NONE, |kinds, value| kinds.with(Kinds::of(value)));
            // What no listed value is need not be ruled out any more.
            self.nots.retain(|not| !values.iter().all(|value| apart::from_value(not, value)));
            self.values = Some(values);
        }
        (!self.kinds.is_empty()).then_some(self)
    }

    /// The values of a keyword, node by node.
    pub(super) fn all<'s>(&'s self, keyword: &'s str) -> impl Iterator<Item = &'a Value> + 's {
        self.nodes.iter().filter_map(|node| node.get(keyword))
    }

    /// Where a keyword stands, or would stand.
    pub(super) fn place_of(&self, keyword: &str) -> String {
        let has = self.nodes.iter().find(|node| node.get(keyword).is_some());
        let place = has.or(self.nodes.first()).map_or(&self.place, |node| &node.place);
        join(place, keyword)
    }

    /// Where the properties stand of which this is one, or would be one.
    pub(super) fn place_of_property(&self, name: &str) -> String {
        let has = self.nodes.iter().find(|node| node.named("properties", name).is_some());
        has.map_or_else(|| self.place_of("properties"), |node| join(&node.place, "properties"))
    }

    /// Where it stands itself.
    pub(super) fn place(&self) -> &str {
        self.nodes.first().map_or(&self.place, |node| &node.place)
    }

    /// The same in parts: value by value, or kind by kind; itself when it can't be parted.
    pub(super) fn pieces(&self) -> Vec<Self> {
        if let Some(values) = &self.values {
            let piece = |value: &Value| Self {
                kinds: Kinds::of(value),
                values: Some(vec![value.clone()]),
                is_piece: true,
                ..self.clone()
            };
            return values.iter().map(piece).collect();
        }
        let piece = |kinds: Kinds| Self {
            kinds,
            values: kinds.within(Kinds::NULL.with(Kinds::BOOLEAN)).then(|| all_of(kinds)),
            is_piece: true,
            ..self.clone()
        };
        self.kinds.each().into_iter().map(piece).collect()
    }
}

fn all_of(kinds: Kinds) -> Vec<Value> {
    [Value::Null, Value::Bool(false), Value::Bool(true)]
        .into_iter()
        .filter(|value| Kinds::of(value).within(kinds))
        .collect()
}
