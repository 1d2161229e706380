//! The catalog: what is declared. Event types, consumers, and the edges between them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Served};

/// What an operator or a program says of an event type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EventDeclaration {
    /// What it means, for people.
    pub description: Option<String>,
    /// Whether a root event of this type needs an owner.
    pub owner_required: bool,
    /// Whether `{"items":[…]}` is a batch: one event for each item. Otherwise it is the data of one.
    pub batch: bool,
}

impl Default for EventDeclaration {
    fn default() -> Self {
        Self { description: None, owner_required: false, batch: true }
    }
}

/// Everything declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Every event type that is declared, taken or emitted, by name.
    pub events: Vec<CatalogEvent>,
    /// Every consumer served here, by name.
    pub consumers: Vec<CatalogConsumer>,
}

/// One event type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogEvent {
    /// Its name.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it means.
    pub description: Option<String>,
    /// Whether a root event of this type needs an owner.
    pub owner_required: bool,
    /// Who takes it.
    pub consumed_by: Vec<String>,
    /// Who may emit it.
    pub emitted_by: Vec<String>,
}

/// One consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogConsumer {
    /// Its name.
    pub name: String,
    /// The event types it takes.
    pub on: Vec<String>,
    /// The event types it may emit.
    pub emits: Vec<String>,
    /// What kind of target it has: `function`, `http`, `inbox`.
    pub target: String,
    /// Where the target is.
    pub address: String,
    /// Attempts in all.
    pub max_attempts: u32,
    /// How long an attempt may take, in milliseconds.
    pub timeout_ms: u64,
    /// Deliveries that may run at once on one node.
    pub concurrency: usize,
    /// The limits that hold it, its lock among them.
    pub limits: Vec<String>,
    /// The key of its lock.
    pub lock: Option<String>,
    /// Whether the deliveries of a key run strictly one after the other.
    pub ordered: bool,
    /// Who takes turns.
    pub fair_by: String,
}

impl Engine {
    /// Whether `{"items":[…]}` is a batch of events of this type.
    pub fn takes_batches(&self, kind: &str) -> bool {
        self.0.declared.get(kind).is_none_or(|declared| declared.batch)
    }

    /// Everything declared.
    pub fn catalog(&self) -> Catalog {
        let consumers: Vec<_> = self.0.served.values().map(|served| describe(served)).collect();
        let mut events: BTreeMap<&str, CatalogEvent> = BTreeMap::new();
        let named = consumers.iter().flat_map(|consumer| consumer.on.iter().chain(&consumer.emits));
        for kind in named.chain(self.0.declared.keys()).filter(|kind| !kind.ends_with('*')) {
            events.entry(kind).or_insert_with(|| self.describe_event(kind, &consumers));
        }
        let events = events.into_values().collect();
        Catalog { events, consumers }
    }

    fn describe_event(&self, kind: &str, consumers: &[CatalogConsumer]) -> CatalogEvent {
        let declared = self.0.declared.get(kind).cloned().unwrap_or_default();
        let names = |patterns: fn(&CatalogConsumer) -> &Vec<String>| {
            let takes = |c: &&CatalogConsumer| patterns(c).iter().any(|pattern| crate::event::matches(pattern, kind));
            consumers.iter().filter(takes).map(|consumer| consumer.name.clone()).collect()
        };
        CatalogEvent {
            kind: kind.to_owned(),
            description: declared.description,
            owner_required: declared.owner_required,
            consumed_by: names(|consumer| &consumer.on),
            emitted_by: names(|consumer| &consumer.emits),
        }
    }
}

fn describe(served: &Served) -> CatalogConsumer {
    let consumer = served.consumer();
    let policy = served.policy();
    let target = consumer.target.describe();
    CatalogConsumer {
        name: consumer.name.clone(),
        on: consumer.on.clone(),
        emits: consumer.emits.clone(),
        target: target.kind.to_owned(),
        address: target.address,
        max_attempts: consumer.retry.max_attempts,
        timeout_ms: u64::try_from(consumer.timeout.as_millis()).unwrap_or(u64::MAX),
        concurrency: consumer.concurrency,
        limits: policy.limits.iter().map(|used| used.limit.clone()).collect(),
        lock: consumer.lock.as_ref().map(ToString::to_string),
        ordered: policy.ordered,
        fair_by: policy.fair_by.as_ref().map_or_else(|| "owner".to_owned(), ToString::to_string),
    }
}
