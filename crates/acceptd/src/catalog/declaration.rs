//! What an operator or a program says of an event type.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Event;

/// What an operator or a program says of an event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDeclaration {
    /// What it means, for people.
    pub description: Option<String>,
    /// The version of its data, from 1 on.
    pub version: u32,
    /// The JSON Schema of its data.
    pub schema: Option<Value>,
    /// The schemas of versions before, by version: events that name one of them are checked by it.
    pub older: BTreeMap<u32, Value>,
    /// Who answers for it.
    pub team: Option<String>,
    /// JSON Pointer to the value in the data that becomes its `partitionkey`.
    pub key: Option<String>,
    /// Whether a root event of this type needs an owner.
    pub owner_required: bool,
    /// Whether `{"items":[…]}` is a batch: one event for each item. Otherwise it is the data of one.
    pub batch: bool,
}

impl Default for EventDeclaration {
    fn default() -> Self {
        Self {
            description: None,
            version: 1,
            schema: None,
            older: BTreeMap::new(),
            team: None,
            key: None,
            owner_required: false,
            batch: true,
        }
    }
}

impl EventDeclaration {
    /// What a Rust type says of its event type.
    pub fn of<E: Event>() -> Self {
        Self {
            description: E::DESCRIPTION.map(str::to_owned),
            version: E::VERSION,
            schema: E::schema(),
            key: E::KEY.map(str::to_owned),
            ..Self::default()
        }
    }

    /// The same, with what it leaves open said by another one.
    #[must_use]
    pub(crate) fn or(self, other: &Self) -> Self {
        let says_data = self.schema.is_some();
        Self {
            description: self.description.or_else(|| other.description.clone()),
            version: if says_data { self.version } else { self.version.max(other.version) },
            schema: self.schema.or_else(|| other.schema.clone()),
            older: if self.older.is_empty() { other.older.clone() } else { self.older },
            team: self.team.or_else(|| other.team.clone()),
            key: self.key.or_else(|| other.key.clone()),
            ..self
        }
    }
}
