//! Compares two schemas of one event type: which values of the one are still valid for the other.
//!
//! The writer's schema is taken as closed: it emits the properties it declares and no others. The reader's is taken as
//! written. *Backward*: the new reader takes what was written by the old schema; *forward*: the old reader takes what
//! is written by the new one. What can't be decided is *unknown*: a person decides.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod accepts;
mod apart;
mod array;
mod bounds;
mod kinds;
mod node;
mod object;
mod plain;
mod probe;
mod same;
mod shape;
mod words;

use crate::{Error, Result};
use accepts::Walk;
use node::Node;

/// What must stay possible when a schema changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// New readers take what old writers wrote: readers are deployed first.
    Backward,
    /// Old readers take what new writers write: writers are deployed first.
    Forward,
    /// Both, in any order.
    #[default]
    Full,
}

impl Mode {
    fn directions(self) -> &'static [Direction] {
        match self {
            Self::Backward => &[Direction::Backward],
            Self::Forward => &[Direction::Forward],
            Self::Full => &[Direction::Backward, Direction::Forward],
        }
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "backward" => Ok(Self::Backward),
            "forward" => Ok(Self::Forward),
            "full" => Ok(Self::Full),
            _ => Err(Error::invalid(format!("{text:?} is not a mode: backward, forward or full"))),
        }
    }
}

/// Whose values are read by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// New readers, old values.
    Backward,
    /// Old readers, new values.
    Forward,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
        })
    }
}

/// What a change means in one direction; the later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every value is still read.
    Compatible,
    /// It can't be decided here.
    Unknown,
    /// There are values that are no longer read.
    Breaking,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compatible => "compatible",
            Self::Unknown => "unknown",
            Self::Breaking => "breaking",
        })
    }
}

/// One change between two schemas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Change {
    /// JSON Pointer into the new schema, also to what is gone from there.
    pub path: String,
    /// What changed, from the old to the new one.
    pub sentence: String,
    /// What it means.
    pub verdict: Verdict,
    /// In which direction.
    pub direction: Direction,
}

/// Every change from the old to the new schema with what it means in each direction of the mode. Annotations such as
/// titles and descriptions are none.
pub fn compare(old: &Value, new: &Value, mode: Mode) -> Vec<Change> {
    let mut changes = BTreeSet::new();
    if let Some(path) = endless(old).or_else(|| endless(new)) {
        let sentence = "the schema refers to itself without an end".to_owned();
        let change = |direction: &Direction| {
            let (path, sentence, verdict) = (path.clone(), sentence.clone(), Verdict::Unknown);
            Change { path, sentence, verdict, direction: *direction }
        };
        return mode.directions().iter().map(change).collect();
    }
    for direction in mode.directions() {
        let (reader, writer) = match direction {
            Direction::Backward => (new, old),
            Direction::Forward => (old, new),
        };
        let notes = Walk::new(*direction).accepts(&[Node::of(reader)], &[Node::of(writer)]);
        changes.extend(notes.into_iter().map(|note| note.in_direction(*direction)));
    }
    changes.into_iter().collect()
}

/// The worst that changes mean; compatible without any.
pub fn worst<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Verdict {
    changes.into_iter().map(|change| change.verdict).max().unwrap_or(Verdict::Compatible)
}

/// Whether two schemas mean the same, whatever their annotations say.
pub fn is_same(one: &Value, other: &Value) -> bool {
    same::same(&Node::of(one), &Node::of(other))
}

/// Where a schema refers to itself without a step into the data, so that no data could ever be checked.
pub(crate) fn endless(document: &Value) -> Option<String> {
    shape::endless(&Node::of(document))
}
