//! Random pairs of schemas: where a change is called compatible, what the writer may write is valid for the reader by
//! a validator. `ACCEPTD_COMPAT_CASES` sets how many pairs are tried; `ACCEPTD_COMPAT_SEED` (64 hexadecimal digits)
//! repeats those of a run that failed.

use std::cell::Cell;

use acceptd::catalog::compat::{Mode, Verdict, compare, worst};
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use serde_json::{Value, json};

/// Values that are tried of each pair.
const VALUES: usize = 40;
const NAMES: [&str; 3] = ["a", "b", "c"];

#[test]
fn what_is_called_compatible_is_valid() {
    let cases = std::env::var("ACCEPTD_COMPAT_CASES").map_or(400, |cases| cases.parse().unwrap());
    let seed: [u8; 32] = match std::env::var("ACCEPTD_COMPAT_SEED") {
        Ok(text) => std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()),
        Err(_) => rand::random(),
    };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let checked = Cell::new((0_u32, 0_u32));
    let found = runner.run(&pair(), |(old, new, seed)| {
        let mut random = StdRng::seed_from_u64(seed);
        for (mode, writer, reader) in [(Mode::Backward, &old, &new), (Mode::Forward, &new, &old)] {
            if worst(&compare(&old, &new, mode)) != Verdict::Compatible {
                continue;
            }
            let (pairs, values) = checked.get();
            let tried = hold(writer, reader, &mut random).map_err(TestCaseError::fail)?;
            checked.set((pairs + 1, values + tried));
        }
        Ok(())
    });
    if let Err(failure) = found {
        let seed: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("ACCEPTD_COMPAT_SEED={seed} ACCEPTD_COMPAT_CASES={cases} finds this again:\n{failure}");
    }
    let (pairs, values) = checked.get();
    assert!(pairs > cases / 10 && values > cases, "only {pairs} compatible pairs and {values} values were checked");
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap()
}

/// Checks that values of the closed writer are valid for the reader, and says how many there were.
fn hold(writer: &Value, reader: &Value, random: &mut StdRng) -> Result<u32, String> {
    // It emits what is valid for its schema as written, too: closing the alternatives of a `oneOf` opens that.
    let (as_written, writer) = (validator(writer), closed(writer));
    let (writes, reads) = (validator(&writer), validator(reader));
    let mut tried = 0;
    for _ in 0..VALUES {
        let value = value_of(&writer, &writer, random, 4);
        if writes.is_valid(&value) && as_written.is_valid(&value) {
            tried += 1;
            if !reads.is_valid(&value) {
                return Err(format!("{value} is valid for the writer {writer} and not for the reader {reader}"));
            }
        }
    }
    Ok(tried)
}

fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut members: serde_json::Map<_, _> =
                members.iter().map(|(name, value)| (name.clone(), closed(value))).collect();
            if members.contains_key("properties") {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            Value::Object(members)
        }
        Value::Array(items) => Value::Array(items.iter().map(closed).collect()),
        other => other.clone(),
    }
}

/// A value that was made for a schema; most are valid.
fn value_of(schema: &Value, root: &Value, random: &mut StdRng, depth: u32) -> Value {
    if random.random_ratio(1, 12) || !schema.is_object() {
        return any(random);
    }
    if let Some(reference) = schema["$ref"].as_str() {
        return match depth {
            0 => any(random),
            _ => value_of(root.pointer(&reference[1..]).unwrap(), root, random, depth - 1),
        };
    }
    for list in ["anyOf", "oneOf", "allOf"] {
        if let Some(part) = schema[list].as_array().and_then(|parts| parts.choose(random)) {
            return value_of(part, root, random, depth);
        }
    }
    if let Some(value) = schema["enum"].as_array().and_then(|values| values.choose(random)) {
        return value.clone();
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.choose(random).and_then(Value::as_str).unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "object" => object_of(schema, root, random, depth),
        "array" => {
            let count = if depth == 0 { 0 } else { random.random_range(0..4) };
            let place = |at: usize| schema["prefixItems"].get(at).unwrap_or(&schema["items"]);
            (0..count).map(|at| value_of(place(at), root, random, depth - 1)).collect()
        }
        "string" => json!(["", "a", "ab", "abc", "abcd"].choose(random)),
        "integer" => json!(random.random_range(-4..8)),
        "number" => json!(f64::from(random.random_range(-8..16)) / 2.0),
        "boolean" => json!(random.random::<bool>()),
        "null" => Value::Null,
        _ => any(random),
    }
}

fn object_of(schema: &Value, root: &Value, random: &mut StdRng, depth: u32) -> Value {
    let mut object = serde_json::Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        if is_required || random.random_ratio(2, 3) {
            object.insert(name.clone(), value_of(property, root, random, depth.saturating_sub(1)));
        }
    }
    if random.random_ratio(1, 3) {
        let others = value_of(&schema["additionalProperties"], root, random, depth.saturating_sub(1));
        object.insert(NAMES.iter().chain(&["z"]).choose(random).unwrap().to_string(), others);
    }
    Value::Object(object)
}

fn any(random: &mut StdRng) -> Value {
    let values = [json!(null), json!(true), json!(1), json!(2.5), json!("a"), json!([1]), json!({}), json!({"a": 1})];
    values.choose(random).cloned().unwrap_or_default()
}

/// Two schemas, of which the second is the first with small changes, or another one.
fn pair() -> impl Strategy<Value = (Value, Value, u64)> {
    let parts = || (schema(), schema());
    (parts(), parts(), 0..4_u32, any_seed()).prop_map(|(old, other, changes, seed)| {
        let document = |(root, named)| json!({"$ref": "#/$defs/Root", "$defs": {"Root": root, "Named": named}});
        let (old, other) = (document(old), document(other));
        if changes == 0 {
            return (old, other, seed);
        }
        let mut random = StdRng::seed_from_u64(seed);
        let mut new = old.clone();
        for _ in 0..changes {
            change(&mut new["$defs"], &other["$defs"]["Root"], &mut random);
        }
        (old, new, seed)
    })
}

fn any_seed() -> impl Strategy<Value = u64> {
    proptest::num::u64::ANY
}

fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 4, |inner| {
        let named = Just(json!({"$ref": "#/$defs/Named"}));
        let part = prop_oneof![6 => inner, 1 => named].boxed();
        let rest = prop_oneof![4 => Just(None), 1 => Just(Some(json!(false))), 1 => Just(Some(json!(true))),
            1 => part.clone().prop_map(Some)];
        let object = (subsequence(&NAMES[..], 0..=3), subsequence(&NAMES[..], 0..=2), part.clone(), part.clone(), rest);
        let object = object.prop_map(|(names, required, one, other, rest)| {
            let required: Vec<_> = required.into_iter().filter(|name| names.contains(name)).collect();
            let property = |(at, name): (usize, &&str)| {
                ((*name).to_owned(), if at % 2 == 0 { one.clone() } else { other.clone() })
            };
            let properties: serde_json::Map<_, _> = names.iter().enumerate().map(property).collect();
            let mut object = json!({"type": "object", "properties": properties, "required": required});
            if let Some(rest) = rest {
                object["additionalProperties"] = rest;
            }
            object
        });
        let array = part.clone().prop_map(|items| json!({"type": "array", "items": items}));
        let tuple = (part.clone(), part.clone(), 0..4).prop_map(
            |(one, rest, most)| json!({"type": "array", "prefixItems": [one], "items": rest, "maxItems": most}),
        );
        let alternatives = (select(&["anyOf", "oneOf"][..]), part.clone(), part.clone());
        let alternatives = alternatives.prop_map(|(keyword, one, other)| json!({ (keyword): [one, other] }));
        let tagged = (part.clone(), part).prop_map(|(one, other)| {
            let tag = |tag: &str, value: &Value| {
                json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"const": tag}, "b": value}})
            };
            json!({"oneOf": [tag("x", &one), tag("y", &other)]})
        });
        prop_oneof![4 => object, 1 => array, 1 => tuple, 1 => alternatives, 1 => tagged]
    })
}

fn leaf() -> impl Strategy<Value = Value> {
    const KINDS: [&str; 7] = ["string", "integer", "number", "boolean", "null", "object", "array"];
    let kind = select(&KINDS[..]).prop_map(|kind| json!({ "type": kind }));
    let several = subsequence(&KINDS[..5], 1..=3).prop_map(|kinds| json!({ "type": kinds }));
    let listed = [json!("a"), json!("ab"), json!(1), json!(2.5), json!(null), json!(true)];
    let listed = subsequence(listed.to_vec(), 1..=4).prop_map(|values| json!({ "enum": values }));
    const BOUNDS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    let number = (select(&["integer", "number"][..]), subsequence(&BOUNDS[..], 0..=2), -2..4_i32);
    let number = number.prop_map(|(kind, bounds, at)| {
        let mut schema = json!({ "type": kind });
        bounds.iter().for_each(|bound| schema[*bound] = json!(at));
        schema
    });
    let text = (select(&["minLength", "maxLength"][..]), 0..4)
        .prop_map(|(keyword, at)| json!({"type": "string", (keyword): at}));
    let pattern =
        select(&["^a", "b$", "^[a-c]*$"][..]).prop_map(|pattern| json!({"type": "string", "pattern": pattern}));
    let both = (1..4).prop_map(|step| json!({"allOf": [{"type": "integer"}, {"multipleOf": step}]}));
    let not = select(&["a", "ab"][..]).prop_map(|value| json!({"type": "string", "not": {"const": value}}));
    let odd = select(vec![json!(true), json!(false), json!({})]);
    prop_oneof![4 => kind, 2 => several, 2 => listed, 3 => number, 2 => text, 1 => pattern, 1 => both, 1 => not, 1 => odd]
}

/// Changes one thing somewhere in a schema.
fn change(schema: &mut Value, other: &Value, random: &mut StdRng) {
    match schema {
        Value::Object(members) if !members.is_empty() => {
            if let Some(required) = members.get_mut("required").and_then(Value::as_array_mut)
                && random.random_ratio(1, 4)
            {
                let name = json!(NAMES.choose(random));
                match required.iter().position(|known| *known == name) {
                    Some(at) => drop(required.remove(at)),
                    None => required.push(name),
                }
                return;
            }
            if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut)
                && random.random_ratio(1, 4)
            {
                let name = NAMES.choose(random).copied().unwrap_or_default();
                if properties.remove(name).is_none() {
                    properties.insert(name.to_owned(), other.clone());
                }
                return;
            }
            if let Some(part) = members.values_mut().filter(|part| !part.is_string()).choose(random) {
                change(part, other, random);
            }
        }
        Value::Array(parts) if parts.iter().any(|part| !part.is_string()) => {
            let is_list_of_schemas = parts.iter().all(|part| part.is_object() || part.is_boolean());
            match random.random_range(0..3) {
                0 if is_list_of_schemas => parts.push(other.clone()),
                _ => parts.iter_mut().choose(random).map_or((), |part| change(part, other, random)),
            }
        }
        Value::Number(number) => *schema = json!(number.as_i64().unwrap_or(1).max(0) + 1),
        Value::Bool(flag) => *schema = json!(!*flag),
        _ => {}
    }
}
