//! Bounds: how small and large numbers are, how long strings, and how many items and properties there are.

use serde_json::Value;

use super::accepts::Walk;
use super::kinds::Kinds;
use super::shape::Shape;
use super::words::{Note, became};
use super::{Verdict, array, object};

/// Counts that keywords bound: the keyword, what it is about, whether it is a lower bound.
const COUNTS: [(&str, Kinds, bool); 6] = [
    ("minLength", Kinds::STRING, true),
    ("maxLength", Kinds::STRING, false),
    ("minItems", Kinds::ARRAY, true),
    ("maxItems", Kinds::ARRAY, false),
    ("minProperties", Kinds::OBJECT, true),
    ("maxProperties", Kinds::OBJECT, false),
];

/// Compares all bounds.
pub(super) fn compare(walk: &Walk, reader: &Shape<'_>, writer: &Shape<'_>) -> Vec<Note> {
    let counts = COUNTS.iter().filter(|(_, kinds, _)| writer.kinds.meets(*kinds));
    let mut notes: Vec<_> =
        counts.filter_map(|(keyword, _, low)| counted(walk, reader, writer, keyword, *low)).collect();
    if writer.kinds.meets(Kinds::NUMBER) {
        notes.extend(ranges(walk, reader, writer));
    }
    notes
}

/// The tightest bound that a shape has by a keyword.
pub(super) fn count(shape: &Shape<'_>, keyword: &str, is_low: bool) -> Option<u64> {
    let whole = |value: &Value| value.as_u64().or_else(|| value.as_f64().map(|float| float as u64));
    let all = shape.all(keyword).filter_map(whole);
    if is_low { all.max() } else { all.min() }
}

fn counted(walk: &Walk, reader: &Shape<'_>, writer: &Shape<'_>, keyword: &str, is_low: bool) -> Option<Note> {
    let (read, written) = (count(reader, keyword, is_low), count(writer, keyword, is_low));
    let is_same = match is_low {
        true => read.unwrap_or(0) == written.unwrap_or(0),
        false => read == written,
    };
    if is_same {
        return None;
    }
    let implied = match keyword {
        "minProperties" => Some(object::required(writer).len() as u64),
        "maxProperties" => object::most(writer),
        "maxItems" => array::longest(writer),
        _ => None,
    };
    let known = written.into_iter().chain(implied);
    let known = if is_low { Some(known.max().unwrap_or(0)) } else { known.min() };
    let fits = read.is_none_or(|read| known.is_some_and(|known| if is_low { known >= read } else { known <= read }));
    let text = |count: Option<u64>| count.map(|count| count.to_string());
    let (old, new) = walk.old_and_new(text(read), text(written));
    Some(Note {
        verdict: if fits { Verdict::Compatible } else { Verdict::Breaking },
        path: walk.of_new(reader, writer).place_of(keyword),
        sentence: became(keyword, old.as_deref(), new.as_deref()),
    })
}

/// From where to where numbers are allowed; each end with whether it is itself left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    low: Option<(f64, bool)>,
    high: Option<(f64, bool)>,
}

impl Range {
    pub(super) fn of(shape: &Shape<'_>) -> Self {
        let ends = |plain: &str, exclusive: &str| {
            let plain = shape.all(plain).filter_map(Value::as_f64).map(|end| (end, false));
            let exclusive = shape.all(exclusive).filter_map(Value::as_f64).map(|end| (end, true));
            plain.chain(exclusive).collect::<Vec<_>>()
        };
        let tighter_low = |one: (f64, bool), other: (f64, bool)| if covers_low(one, other) { other } else { one };
        let tighter_high = |one: (f64, bool), other: (f64, bool)| if covers_high(one, other) { other } else { one };
        let low = ends("minimum", "exclusiveMinimum").into_iter().reduce(tighter_low);
        let high = ends("maximum", "exclusiveMaximum").into_iter().reduce(tighter_high);
        if !shape.kinds.and(Kinds::NUMBER).within(Kinds::INTEGER) {
            return Self { low, high };
        }
        // Whole numbers above 0 are those from 1 on.
        let up = |(end, exclusive): (f64, bool)| (if exclusive { end.floor() + 1.0 } else { end.ceil() }, false);
        let down = |(end, exclusive): (f64, bool)| (if exclusive { end.ceil() - 1.0 } else { end.floor() }, false);
        Self { low: low.map(up), high: high.map(down) }
    }

    /// Whether no number is in both.
    pub(super) fn misses(&self, other: &Self) -> bool {
        let below = |high: Option<(f64, bool)>, low: Option<(f64, bool)>| match (high, low) {
            (Some((high, out)), Some((low, also))) => high < low || high == low && (out || also),
            _ => false,
        };
        below(self.high, other.low) || below(other.high, self.low)
    }
}

/// Whether all that is above the second end is above the first.
fn covers_low((wide, out): (f64, bool), (narrow, also): (f64, bool)) -> bool {
    narrow > wide || narrow == wide && (also || !out)
}

fn covers_high((wide, out): (f64, bool), (narrow, also): (f64, bool)) -> bool {
    narrow < wide || narrow == wide && (also || !out)
}

fn ranges(walk: &Walk, reader: &Shape<'_>, writer: &Shape<'_>) -> Vec<Note> {
    let (read, written) = (Range::of(reader), Range::of(writer));
    let end = |keyword: [&'static str; 2], read: Option<(f64, bool)>, written: Option<(f64, bool)>, covers: Covers| {
        if read == written {
            return None;
        }
        let fits = read.is_none_or(|read| written.is_some_and(|written| covers(read, written)));
        let text =
            |end: Option<(f64, bool)>| end.map(|(end, out)| format!("{end}{}", if out { " (left out)" } else { "" }));
        let (old, new) = walk.old_and_new(text(read), text(written));
        let place = walk.of_new(reader, writer);
        let written_as = keyword.into_iter().find(|keyword| place.all(keyword).next().is_some());
        Some(Note {
            verdict: if fits { Verdict::Compatible } else { Verdict::Breaking },
            path: place.place_of(written_as.unwrap_or(keyword[0])),
            sentence: became(keyword[0], old.as_deref(), new.as_deref()),
        })
    };
    let low = end(["minimum", "exclusiveMinimum"], read.low, written.low, covers_low);
    let high = end(["maximum", "exclusiveMaximum"], read.high, written.high, covers_high);
    low.into_iter().chain(high).collect()
}

type Covers = fn((f64, bool), (f64, bool)) -> bool;
