//! A JSON Schema of 2020-12 as one of draft 07, which AsyncAPI takes without further words.
//!
//! What draft 07 says in other words is put into them. What it can't say is left out, so that the result allows at
//! least what the schema allowed, and is noted in `x-acceptd-omitted`. Every `$ref` becomes a pointer from the root of
//! the document that the result is put into.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Where what draft 07 can't say is noted.
const OMITTED: &str = "x-acceptd-omitted";

/// Keywords whose value is a schema.
const SCHEMA: [&str; 9] =
    ["additionalProperties", "additionalItems", "contains", "else", "if", "items", "not", "propertyNames", "then"];
/// Keywords whose value is a list of schemas.
const SCHEMAS: [&str; 4] = ["allOf", "anyOf", "items", "oneOf"];
/// Keywords whose value has schemas as members.
const MEMBERS: [&str; 4] = ["definitions", "dependencies", "patternProperties", "properties"];
/// Keywords that draft 07 has no words for.
const UNKNOWN: [&str; 6] =
    ["contentSchema", "maxContains", "minContains", "unevaluatedItems", "unevaluatedProperties", "$vocabulary"];
/// Keywords whose value is data.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// A schema of 2020-12 as one of draft 07 that stands at `place` in a document; `place` is a JSON Pointer with `#`.
pub(super) fn draft07(schema: &Value, place: &str) -> Value {
    let mut names = Names::default();
    let mut converted = convert(schema, "#", place, &mut names);
    resolve(&mut converted, &names);
    if says_omitted(&converted) {
        loosen(&mut converted);
        let whole = converted.clone();
        drop_dangling(&mut converted, &Places(&whole, place));
    }
    converted
}

/// Where each part of the schema is now: by its pointer, its `$id` or its anchor before.
#[derive(Debug, Default)]
struct Names(BTreeMap<String, String>);

/// Converts a part of the schema. `old` and `new` are the pointers to it, before and now.
fn convert(schema: &Value, old: &str, new: &str, names: &mut Names) -> Value {
    names.0.insert(old.to_owned(), new.to_owned());
    let Some(members) = schema.as_object() else { return schema.clone() };
    if let Some(id) = members.get("$id").and_then(Value::as_str) {
        names.0.insert(id.trim_end_matches('#').to_owned(), new.to_owned());
    }
    for anchor in ["$anchor", "$dynamicAnchor"].iter().filter_map(|anchor| members.get(*anchor)?.as_str()) {
        names.0.insert(format!("#{anchor}"), new.to_owned());
    }
    let mut out = Map::new();
    let mut omitted = Map::new();
    // In a tuple `items` says what comes after it: draft 07 has other words for both.
    let is_tuple = members.get("prefixItems").is_some_and(Value::is_array);
    // `contains` with a count of its own may allow what it would refuse without.
    let is_counted = members.contains_key("minContains");
    for (keyword, value) in members {
        let renamed = match keyword.as_str() {
            "$schema" | "$id" | "$anchor" | "$dynamicAnchor" => continue,
            "$defs" => "definitions",
            "$dynamicRef" => "$ref",
            "dependentRequired" | "dependentSchemas" => "dependencies",
            "items" if is_tuple => "additionalItems",
            "prefixItems" => "items",
            other => other,
        };
        let is_lost = UNKNOWN.contains(&renamed)
            || renamed == "contains" && is_counted
            || DATA.contains(&renamed) && holds(value, "$ref");
        if is_lost {
            omitted.insert(keyword.trim_start_matches('$').to_owned(), json!(value.to_string()));
            continue;
        }
        let (old, new) = (format!("{old}/{}", token(keyword)), format!("{new}/{}", token(renamed)));
        merge(&mut out, renamed, part(renamed, value, &old, &new, names));
    }
    if !omitted.is_empty() {
        out.insert(OMITTED.to_owned(), Value::Object(omitted));
    }
    Value::Object(out)
}

/// Converts the value of a keyword.
fn part(keyword: &str, value: &Value, old: &str, new: &str, names: &mut Names) -> Value {
    match value {
        Value::Array(list) if SCHEMAS.contains(&keyword) => {
            let one =
                |(at, schema): (usize, &Value)| convert(schema, &format!("{old}/{at}"), &format!("{new}/{at}"), names);
            list.iter().enumerate().map(one).collect()
        }
        Value::Object(members) if MEMBERS.contains(&keyword) => {
            let one = |(name, schema): (&String, &Value)| {
                let token = token(name);
                (name.clone(), convert(schema, &format!("{old}/{token}"), &format!("{new}/{token}"), names))
            };
            Value::Object(members.iter().map(one).collect())
        }
        Value::Object(_) if SCHEMA.contains(&keyword) => convert(value, old, new, names),
        // A list of names, in `dependencies`, is no schema; a truth value is one and stays as it is.
        other => other.clone(),
    }
}

/// Puts a keyword into a schema; two of 2020-12 may have become one of draft 07.
fn merge(out: &mut Map<String, Value>, keyword: &str, value: Value) {
    let Some(there) = out.get_mut(keyword) else {
        out.insert(keyword.to_owned(), value);
        return;
    };
    let (Some(there), Value::Object(more)) = (there.as_object_mut(), value) else { return };
    for (name, other) in more {
        let both = match there.remove(&name) {
            Some(one) => json!({ "allOf": [needs(one), needs(other)] }),
            None => other,
        };
        there.insert(name, both);
    }
}

/// What a dependency asks for, as a schema.
fn needs(dependency: Value) -> Value {
    if dependency.is_array() { json!({ "required": dependency }) } else { dependency }
}

/// Does something with every schema directly within one.
fn each_part(members: &mut Map<String, Value>, act: &mut dyn FnMut(&mut Value)) {
    for (keyword, value) in members.iter_mut() {
        let keyword = keyword.as_str();
        match value {
            Value::Array(list) if SCHEMAS.contains(&keyword) => list.iter_mut().for_each(&mut *act),
            Value::Object(inner) if MEMBERS.contains(&keyword) => inner.values_mut().for_each(&mut *act),
            value if SCHEMA.contains(&keyword) => act(value),
            _ => {}
        }
    }
}

/// Lets every reference say where its schema is now. One that leads out of the schema is noted instead; beside one
/// draft 07 reads nothing else, so what stands there goes along with it in `allOf`.
fn resolve(schema: &mut Value, names: &Names) {
    let Some(members) = schema.as_object_mut() else { return };
    each_part(members, &mut |part| resolve(part, names));
    let Some(Value::String(reference)) = members.remove("$ref") else { return };
    match names.find(&reference) {
        Some(place) if members.is_empty() => {
            members.insert("$ref".to_owned(), place.into());
        }
        Some(place) => {
            let all = members.entry("allOf").or_insert_with(|| json!([]));
            if let Some(list) = all.as_array_mut() {
                list.push(json!({ "$ref": place }));
            }
        }
        None => note(members, "ref", reference),
    }
}

/// Notes what is left out of a schema.
fn note(members: &mut Map<String, Value>, keyword: &str, text: String) {
    let omitted = members.entry(OMITTED).or_insert_with(|| json!({}));
    if let Some(omitted) = omitted.as_object_mut() {
        omitted.insert(keyword.to_owned(), text.into());
    }
}

/// Whether something was left out anywhere.
fn says_omitted(schema: &Value) -> bool {
    holds(schema, OMITTED)
}

/// Whether a member of this name is anywhere in a document.
fn holds(data: &Value, name: &str) -> bool {
    match data {
        Value::Array(list) => list.iter().any(|item| holds(item, name)),
        Value::Object(members) => members.contains_key(name) || members.values().any(|member| holds(member, name)),
        _ => false,
    }
}

/// Where less is asked for, a negation refuses more: what is negated is left out whole, and of several alternatives
/// more than one may fit. A reference may lead to something that was loosened.
fn loosen(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    each_part(members, &mut loosen);
    for keyword in ["not", "if", "oneOf"] {
        let is_loose = |value: &Value| holds(value, OMITTED) || holds(value, "$ref");
        let Some(value) = members.get(keyword).filter(|value| is_loose(value)).cloned() else { continue };
        members.remove(keyword);
        if keyword == "oneOf" {
            let all = members.entry("allOf").or_insert_with(|| json!([]));
            if let Some(list) = all.as_array_mut() {
                list.push(json!({ "anyOf": value }));
            }
        }
        note(members, keyword, value.to_string());
    }
}

/// A schema that stands at a place.
struct Places<'a>(&'a Value, &'a str);

impl Places<'_> {
    fn has(&self, reference: &str) -> bool {
        reference.strip_prefix(self.1).is_some_and(|below| self.0.pointer(below).is_some())
    }
}

/// Leaves out the references to what was left out.
fn drop_dangling(schema: &mut Value, places: &Places<'_>) {
    let Some(members) = schema.as_object_mut() else { return };
    each_part(members, &mut |part| drop_dangling(part, places));
    let dangling = members.get("$ref").and_then(Value::as_str).filter(|reference| !places.has(reference));
    if let Some(reference) = dangling.map(str::to_owned) {
        members.remove("$ref");
        note(members, "ref", reference);
    }
}

impl Names {
    fn find(&self, reference: &str) -> Option<String> {
        let trimmed = if reference == "#" { reference } else { reference.trim_end_matches('#') };
        if let Some(place) = self.0.get(trimmed) {
            return Some(place.clone());
        }
        // A pointer below a `$id`, and one whose characters are escaped for a URL.
        let decoded = percent_decoded(trimmed)?;
        if let Some(place) = self.0.get(&decoded) {
            return Some(place.clone());
        }
        let (id, pointer) = decoded.split_once('#')?;
        let base = self.0.get(id).filter(|_| !id.is_empty())?;
        let (old, _) = self.0.iter().find(|(old, new)| *new == base && old.starts_with('#'))?;
        self.0.get(&format!("{old}{pointer}")).cloned()
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// A name as a part of a JSON Pointer.
pub(super) fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_x(schema: Value) -> Value {
        draft07(&schema, "#/components/schemas/x")
    }

    #[test]
    fn what_is_said_in_other_words() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.com/x",
            "$defs": { "A": { "type": "string" } },
            "properties": {
                "a": { "$ref": "#/$defs/A", "description": "an A" },
                "b": { "prefixItems": [{ "$ref": "https://example.com/x#/$defs/A" }], "items": false },
                "c": { "$ref": "#" },
                "$ref": { "type": "string" },
                "d": { "$ref": "#/properties/b/prefixItems/0" },
            },
            "dependentRequired": { "a": ["b"], "b": ["c"] },
            "dependentSchemas": { "a": { "$ref": "#/$defs/A" } },
        });
        let a = json!({ "$ref": "#/components/schemas/x/definitions/A" });
        assert_eq!(
            at_x(schema),
            json!({
                "definitions": { "A": { "type": "string" } },
                "properties": {
                    "a": { "allOf": [a], "description": "an A" },
                    "b": { "items": [a], "additionalItems": false },
                    "c": { "$ref": "#/components/schemas/x" },
                    "$ref": { "type": "string" },
                    "d": { "$ref": "#/components/schemas/x/properties/b/items/0" },
                },
                "dependencies": { "a": { "allOf": [{ "required": ["b"] }, a] }, "b": ["c"] },
            })
        );
    }

    #[test]
    fn what_cannot_be_said_is_noted_and_allows_more() {
        let schema = json!({
            "unevaluatedProperties": false,
            "contains": { "const": 1 },
            "minContains": 0,
            "properties": { "a": { "$ref": "https://example.com/other" }, "b": { "const": { "$ref": "#/x" } } },
        });
        assert_eq!(
            at_x(schema),
            json!({
                "x-acceptd-omitted": {
                    "contains": "{\"const\":1}",
                    "minContains": "0",
                    "unevaluatedProperties": "false",
                },
                "properties": {
                    "a": { "x-acceptd-omitted": { "ref": "https://example.com/other" } },
                    "b": { "x-acceptd-omitted": { "const": "{\"$ref\":\"#/x\"}" } },
                },
            })
        );
    }

    #[test]
    fn anchors_and_escaped_pointers_are_found() {
        let schema = json!({
            "$defs": { "a/b c": { "$anchor": "here" }, "t": { "$dynamicAnchor": "node" } },
            "anyOf": [{ "$ref": "#here" }, { "$ref": "#/$defs/a~1b%20c" }, { "$dynamicRef": "#node" }],
        });
        let place = "#/components/schemas/x/definitions/a~1b c";
        assert_eq!(at_x(schema)["anyOf"][0]["$ref"], place);
    }

    #[test]
    fn what_loosens_within_a_negation_is_left_out_with_it() {
        let schema = json!({ "not": { "type": "object", "unevaluatedProperties": false }, "type": "object" });
        let converted = at_x(schema);
        assert_eq!(converted["type"], "object");
        assert!(converted["not"].is_null() && !converted[OMITTED]["not"].is_null(), "{converted}");
        let schema =
            json!({ "oneOf": [{ "type": "object", "unevaluatedProperties": false }, { "$ref": "#/oneOf/0" }] });
        let converted = at_x(schema);
        assert_eq!(converted["allOf"][0]["anyOf"][0]["type"], "object");
        assert!(!converted.to_string().contains("\"$ref\""), "what it led to is elsewhere now: {converted}");
    }
}
