//! Compatibility of schemas: the table of cases that a foreign checker is asked about, too (`tests/compat`).

use acceptd::catalog::compat::{Change, Direction, Mode, Verdict, compare, worst};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    name: String,
    old: Value,
    new: Value,
    backward: Verdict,
    forward: Verdict,
}

fn cases() -> Vec<Case> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/compat/cases.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn every_case_has_its_verdict_in_both_directions() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 100, "only {} cases are there", cases.len());
    for Case { name, old, new, backward, forward } in cases {
        for (mode, verdict) in
            [(Mode::Backward, backward), (Mode::Forward, forward), (Mode::Full, backward.max(forward))]
        {
            let changes = compare(&old, &new, mode);
            if worst(&changes) != verdict {
                wrong.push(format!("{name}, {mode:?}: {:?} and not {verdict:?}: {changes:#?}", worst(&changes)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_the_same_is_no_change() {
    for Case { name, old, .. } in cases() {
        assert_eq!(compare(&old, &old, Mode::Full), [], "{name}");
    }
}

/// Path and sentence of each change with its verdict backward and forward.
fn told(old: Value, new: Value) -> Vec<String> {
    let changes = compare(&old, &new, Mode::Full);
    let verdict = |path: &str, sentence: &str, direction: Direction| {
        let of = |change: &&Change| change.path == path && change.sentence == sentence && change.direction == direction;
        changes.iter().find(of).map_or("-".to_owned(), |change| change.verdict.to_string())
    };
    let mut lines: Vec<String> = changes
        .iter()
        .map(|Change { path, sentence, .. }| {
            let (backward, forward) = (Direction::Backward, Direction::Forward);
            let verdicts = (verdict(path, sentence, backward), verdict(path, sentence, forward));
            format!("{path}: {sentence}: {} {}", verdicts.0, verdicts.1)
        })
        .collect();
    lines.dedup();
    lines
}

#[test]
fn each_change_is_named_at_its_path() {
    let old = json!({"type": "object", "required": ["ami"], "properties": {
        "ami": {"type": "string"}, "count": {"type": "integer", "minimum": 1}, "size": {"enum": ["s", "m"]},
        "region": {"$ref": "#/$defs/Region"}, "gone": {"type": "null"}},
        "$defs": {"Region": {"type": "object", "properties": {"a/b": {"type": "string"}}}}});
    let new = json!({"type": "object", "required": ["ami", "cents"], "properties": {
        "ami": {"type": "integer"}, "count": {"type": "integer"}, "size": {"enum": ["s", "l"]},
        "region": {"$ref": "#/$defs/Region"}, "cents": {"type": "integer"}},
        "$defs": {"Region": {"type": "object", "properties": {"a/b": {"type": ["string", "null"]}}}}});
    assert_eq!(
        told(old, new),
        [
            "/$defs/Region/properties/a~1b/type: type string became type string or null: compatible breaking",
            "/properties/ami/type: type string became type integer: breaking breaking",
            "/properties/cents: added and required: breaking compatible",
            "/properties/count/minimum: minimum 1 is gone: compatible breaking",
            "/properties/gone: removed: compatible compatible",
            "/properties/size/enum: \"l\" is new: compatible breaking",
            "/properties/size/enum: \"m\" is gone: breaking compatible",
        ]
    );
}

#[test]
fn alternatives_are_named_by_their_tags() {
    let tagged = |tags: &[&str]| {
        let one = |tag: &&str| json!({"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string", "const": tag}}});
        json!({"oneOf": tags.iter().map(one).collect::<Vec<_>>()})
    };
    assert_eq!(
        told(tagged(&["a", "b"]), tagged(&["b", "c"])),
        [
            ": the alternative with kind \"a\" is gone: breaking compatible",
            "/oneOf/1: the alternative with kind \"c\" is new: compatible breaking",
        ]
    );
}

#[test]
fn what_can_not_be_followed_is_left_to_a_person() {
    let plain = json!({"type": "object"});
    for lost in [
        json!({"$ref": "https://example.com/a.json"}),
        json!({"$ref": "#/$defs/Nowhere"}),
        json!({"$dynamicRef": "#node"}),
        json!({"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}}),
        json!({"const": 1, "not": {"$ref": "#"}}),
        json!({"allOf": [5]}),
    ] {
        assert_eq!(worst(&compare(&plain, &lost, Mode::Forward)), Verdict::Unknown, "{lost}");
    }
}

#[test]
fn many_alternatives_end_in_time() {
    let wide = |count: usize, field: &str| {
        let one = |at: usize| {
            json!({"type": "object", "required": ["kind", "a"],
                "properties": {"kind": {"const": format!("k{at}")}, "a": {"type": field}, "b": {"$ref": "#"}}})
        };
        json!({"oneOf": (0..count).map(one).collect::<Vec<_>>()})
    };
    let changes = compare(&wide(30, "integer"), &wide(30, "number"), Mode::Full);
    assert_eq!(worst(changes.iter().filter(|change| change.direction == Direction::Backward)), Verdict::Compatible);
    assert_eq!(worst(&changes), Verdict::Breaking);
    // Each alternative is a choice of its own here: far too many to look at.
    let flags: Vec<Value> = (0..40).map(|_| json!({"anyOf": [{"minimum": 1}, {"type": "string"}]})).collect();
    assert_eq!(worst(&compare(&json!({ "allOf": flags }), &json!({"type": "integer"}), Mode::Full)), Verdict::Unknown);
}
