//! Text: patterns, formats and multiples. What can't be proven is tried with values that come to mind.

use serde_json::{Value, json};

use super::accepts::Walk;
use super::kinds::Kinds;
use super::shape::Shape;
use super::words::{Note, became, short};
use super::{Verdict, plain};

/// Formats that only say how wide a number is, from narrow to wide. Nobody checks them.
const WIDTHS: [&[&str]; 3] = [
    &["int8", "int16", "int32", "int64", "int128"],
    &["uint8", "uint16", "uint32", "uint64", "uint128"],
    &["float", "double"],
];

/// Whether a text matches a pattern.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let checker = jsonschema::options().offline().build(&json!({ "pattern": pattern }));
    checker.is_ok_and(|checker| checker.is_valid(&Value::from(text)))
}

/// Compares patterns, formats and multiples.
pub(super) fn compare(walk: &Walk, reader: &Shape<'_>, writer: &Shape<'_>) -> Vec<Note> {
    let about = [("pattern", Kinds::STRING), ("format", Kinds::ALL), ("multipleOf", Kinds::NUMBER)];
    let about = about.into_iter().filter(|(_, kinds)| writer.kinds.meets(*kinds));
    about.filter_map(|(keyword, _)| changed(walk, reader, writer, keyword)).collect()
}

fn changed(walk: &Walk, reader: &Shape<'_>, writer: &Shape<'_>, keyword: &str) -> Option<Note> {
    let all = |shape: &Shape<'_>| shape.all(keyword).cloned().collect::<Vec<_>>();
    let (read, written) = (all(reader), all(writer));
    let is_within = |these: &[Value], those: &[Value]| these.iter().all(|value| plain::contains(those, value));
    if is_within(&read, &written) && is_within(&written, &read) {
        return None;
    }
    let fits = read.iter().all(|asked| {
        plain::contains(&written, asked)
            || written.iter().any(|given| implies(keyword, given, asked))
            || keyword == "multipleOf" && is_step_of_integers(asked, writer)
    });
    let text =
        |values: &[Value]| (!values.is_empty()).then(|| values.iter().map(short).collect::<Vec<_>>().join(" and "));
    let (old, new) = walk.old_and_new(text(&read), text(&written));
    let verdict = match fits {
        true => Verdict::Compatible,
        false if has_counterexample(reader, writer) => Verdict::Breaking,
        false => Verdict::Unknown,
    };
    let path = walk.of_new(reader, writer).place_of(keyword);
    Some(Note { verdict, path, sentence: became(keyword, old.as_deref(), new.as_deref()) })
}

/// Whether what keeps to one value of a keyword keeps to another one.
fn implies(keyword: &str, given: &Value, asked: &Value) -> bool {
    match keyword {
        "multipleOf" => {
            let (Some(given), Some(asked)) = (given.as_f64(), asked.as_f64()) else { return false };
            let times = given / asked;
            times >= 1.0 && (times - times.round()).abs() < 1e-9
        }
        "format" => WIDTHS.iter().any(|widths| {
            let width = |value: &Value| widths.iter().position(|known| value.as_str() == Some(*known));
            width(given).zip(width(asked)).is_some_and(|(given, asked)| given <= asked)
        }),
        _ => false,
    }
}

/// Whether every whole number is a multiple of this.
fn is_step_of_integers(asked: &Value, writer: &Shape<'_>) -> bool {
    let is_whole = writer.kinds.and(Kinds::NUMBER).within(Kinds::INTEGER);
    is_whole && asked.as_f64().is_some_and(|step| step > 0.0 && (1.0 / step).fract() == 0.0)
}

/// Whether some value is valid for the writer and not for the reader, as far as plain keywords go.
fn has_counterexample(reader: &Shape<'_>, writer: &Shape<'_>) -> bool {
    let (Some(asks), Some(gives)) = (plain::checker(reader), plain::checker(writer)) else { return false };
    values().any(|value| Kinds::of(&value).within(writer.kinds) && gives.is_valid(&value) && !asks.is_valid(&value))
}

/// Values that come to mind.
fn values() -> impl Iterator<Item = Value> {
    const TEXTS: [&str; 12] =
        ["", "a", "A", "0", "-", " ", "é", "a b", "a1", "2026-11-23", "user@example.com", "https://example.com/"];
    let long =
        [2, 3, 5, 8, 16, 36, 64, 256].into_iter().flat_map(|length| ["a", "0", "-"].map(|one| one.repeat(length)));
    let texts = TEXTS.into_iter().map(str::to_owned).chain(long).map(Value::from);
    texts.chain((-20..=100).map(Value::from)).chain([0.5, 0.1, 1.5, 99.99].map(Value::from))
}
