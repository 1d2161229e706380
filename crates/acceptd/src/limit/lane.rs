//! Lanes: where a delivery stands before its limits.
//!
//! Deliveries of one consumer with the same keys wait for the same limits: they are a *group*. Within a group those of
//! one owner are a *lane*; lanes take turns. A group that has to wait is looked at once, however many wait in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::KeySpec;
use super::key::Parsed;
use crate::{Draft, Result};

/// Between the keys of a group; no key holds it.
const SEPARATOR: char = '\u{1f}';

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lane {
    /// The values of its limits' keys.
    pub group: String,
    /// Who takes turns within the group: its owner, or what `fair_by` finds.
    pub turn: String,
    /// Whether the group is worked off strictly in the order of accepting.
    pub ordered: bool,
}

/// A limit that a consumer is held by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitUse {
    /// The limit's name.
    pub limit: String,
    /// Where the limit's key stands, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySpec>,
}

/// How a consumer's deliveries wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// The limits that each delivery takes, all or none, in the order of their names.
    pub limits: Vec<LimitUse>,
    /// Whether those of a key run strictly one after the other, in the order of accepting.
    pub ordered: bool,
    /// Who takes turns; the owner when nothing is said.
    pub fair_by: Option<KeySpec>,
    /// Turns of those who have more than one in a row.
    pub weights: BTreeMap<String, u32>,
}

impl Policy {
    /// The place of an event's delivery.
    ///
    /// # Errors
    /// `InvalidData` that names the pointer that finds nothing, for the limit it belongs to.
    pub fn lane(&self, draft: &Draft, owner: Option<&str>) -> Result<Lane> {
        let mut data = Parsed::default();
        let mut keys = Vec::new();
        for LimitUse { limit, key } in &self.limits {
            let Some(key) = key else { continue };
            let key = key.of(draft, owner, &mut data);
            keys.push(key.map_err(|error| error.about(&format!("the key of limit {limit}")))?);
        }
        let group = keys.join(&SEPARATOR.to_string());
        if self.ordered {
            return Ok(Lane { group, turn: String::new(), ordered: true });
        }
        let turn = match &self.fair_by {
            None => KeySpec::Owner.of(draft, owner, &mut data)?,
            Some(spec) => spec.of(draft, owner, &mut data).map_err(|error| error.about("fair_by"))?,
        };
        Ok(Lane { group, turn, ordered: false })
    }

    /// The place of what has none of its keys.
    pub fn nowhere(&self) -> Lane {
        Lane { ordered: self.ordered, ..Lane::default() }
    }

    /// The limits of a group, each with its key; limits without a key have the empty one.
    pub fn keys<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut values = group.split(SEPARATOR);
        self.limits.iter().map(move |LimitUse { limit, key }| {
            let value = key.as_ref().and_then(|_| values.next()).unwrap_or_default();
            (limit.as_str(), value)
        })
    }

    /// Whether a limit is one of its limits.
    pub fn uses(&self, limit: &str) -> bool {
        self.limits.iter().any(|used| used.limit == limit)
    }

    /// How many turns in a row someone has.
    pub fn weight(&self, turn: &str) -> usize {
        self.weights.get(turn).map_or(1, |weight| *weight as usize).max(1)
    }

    /// Whether deliveries stand elsewhere by this policy than by another.
    pub fn moves(&self, other: &Self) -> bool {
        let keys = |policy: &Self| policy.limits.iter().filter_map(|used| used.key.clone()).collect::<Vec<_>>();
        keys(self) != keys(other) || self.ordered != other.ordered || self.fair_by != other.fair_by
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Data, JSON};

    fn policy(keys: &[(&str, Option<&str>)]) -> Policy {
        let limit = |(limit, key): &(&str, Option<&str>)| LimitUse {
            limit: (*limit).to_owned(),
            key: key.map(|key| key.parse().unwrap()),
        };
        Policy { limits: keys.iter().map(limit).collect(), ..Policy::default() }
    }

    fn draft(data: &str) -> Draft {
        Draft::new("a").data(Data::new(JSON, data.to_owned()))
    }

    #[test]
    fn a_group_is_told_by_its_keys() {
        let policy = policy(&[("api", Some("/region")), ("global", None), ("lock", Some("/account"))]);
        let lane = policy.lane(&draft(r#"{"region":"eu","account":7}"#), Some("o")).unwrap();
        assert_eq!(lane.turn, "o");
        assert_eq!(policy.keys(&lane.group).collect::<Vec<_>>(), [("api", "eu"), ("global", ""), ("lock", "7")]);
        assert_eq!(policy.keys("").collect::<Vec<_>>(), [("api", ""), ("global", ""), ("lock", "")]);
    }

    #[test]
    fn a_pointer_that_finds_nothing_is_named_with_its_limit() {
        let error = policy(&[("api", Some("/region"))]).lane(&draft("{}"), None).unwrap_err();
        assert_eq!(error.message(), "the key of limit api: /region finds nothing in the data");
    }

    #[test]
    fn who_takes_turns_and_how_many() {
        let by = Policy { fair_by: Some("/tenant".parse().unwrap()), ..policy(&[]) };
        assert_eq!(by.lane(&draft(r#"{"tenant":"t"}"#), Some("o")).unwrap().turn, "t");
        let ordered = Policy { ordered: true, weights: [("big".to_owned(), 3)].into(), ..policy(&[]) };
        assert_eq!(ordered.lane(&draft("{}"), Some("o")).unwrap().turn, "");
        assert_eq!((ordered.weight("big"), ordered.weight("small")), (3, 1));
        assert!(by.moves(&ordered) && !by.moves(&by));
    }
}
