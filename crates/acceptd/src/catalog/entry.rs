//! Event types, consumers and limits as the catalog tells them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Edge, EdgeKind, EventDeclaration};
use crate::limit::Limit;

/// One event type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogEvent {
    /// Its name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of its data.
    pub version: u32,
    /// What it means.
    pub description: Option<String>,
    /// Who answers for it.
    pub team: Option<String>,
    /// JSON Pointer to the value in the data that becomes its `partitionkey`.
    pub key: Option<String>,
    /// Whether a root event of this type needs an owner.
    pub owner_required: bool,
    /// Whether `{"items":[…]}` is a batch of it.
    pub batch: bool,
    /// Whether someone declared it: named it, takes it by name or declares to emit it.
    pub declared: bool,
    /// Who takes it.
    pub consumed_by: Vec<String>,
    /// Who emits it.
    pub emitted_by: Vec<String>,
    /// The JSON Schema of its data.
    pub schema: Option<Value>,
    /// The schemas of versions before, by version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub older_schemas: BTreeMap<u32, Value>,
}

impl CatalogEvent {
    pub(super) fn of(kind: &str, declared: Option<&EventDeclaration>, edges: &[Edge]) -> Self {
        let said = declared.cloned().unwrap_or_default();
        let of_kind = |kind_of: EdgeKind| {
            let edges = edges.iter().filter(move |edge| edge.kind == kind_of && edge.event == kind);
            edges.filter_map(|edge| edge.consumer.clone()).collect::<Vec<_>>()
        };
        let known = edges.iter().any(|edge| edge.event == kind && edge.state.is_declared());
        Self {
            kind: kind.to_owned(),
            version: said.version,
            description: said.description,
            team: said.team,
            key: said.key,
            owner_required: said.owner_required,
            batch: said.batch,
            declared: declared.is_some() || known,
            consumed_by: of_kind(EdgeKind::Takes),
            emitted_by: of_kind(EdgeKind::Emits),
            schema: said.schema,
            older_schemas: said.older,
        }
    }

    /// The examples that its schema gives.
    pub fn examples(&self) -> &[Value] {
        let examples = self.schema.as_ref().and_then(|schema| schema.get("examples"));
        examples.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// One consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogConsumer {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// Who answers for it.
    pub team: Option<String>,
    /// Where it is written: file and line of a Rust function.
    pub place: Option<String>,
    /// The event types it takes: exact, or a prefix such as `ec2.*`.
    pub on: Vec<String>,
    /// The event types it may emit.
    pub emits: Vec<String>,
    /// What becomes of events that it emits without having declared them: `refuse` or `record`.
    pub undeclared: String,
    /// Whether it tells the operation's owner something itself.
    pub notifies: bool,
    /// What kind of target it has: `function`, `http`, `inbox`.
    pub target: String,
    /// Where the target is.
    pub address: String,
    /// What it works with: the types of the states that its signature asks for.
    pub uses: Vec<String>,
    /// Attempts in all.
    pub max_attempts: u32,
    /// How it is tried again.
    pub retry: CatalogRetry,
    /// How long an attempt may take, in milliseconds.
    pub timeout_ms: u64,
    /// Deliveries that may run at once on one node.
    pub concurrency: usize,
    /// The limits that hold its deliveries, its lock among them.
    pub limits: Vec<String>,
    /// The limits that it takes around single calls within an attempt.
    pub permits: Vec<String>,
    /// The key of its lock.
    pub lock: Option<String>,
    /// Whether the deliveries of a key run strictly one after the other.
    pub ordered: bool,
    /// Who takes turns.
    pub fair_by: String,
}

/// How a consumer's deliveries are tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogRetry {
    /// The longest wait before the second attempt, which doubles with each further one, in milliseconds.
    pub base_ms: u64,
    /// The longest wait of all, in milliseconds.
    pub max_ms: u64,
    /// How long its target may throttle before a delivery becomes a dead letter, in milliseconds.
    pub give_up_after_ms: u64,
}

/// One limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogLimit {
    /// Its name.
    pub name: String,
    /// How often something may start.
    pub rate: Option<String>,
    /// How many may run at once, on all nodes together.
    pub concurrency: Option<u32>,
    /// What it counts apart.
    pub key: Option<String>,
    /// Whether it looks for its rate by itself.
    pub adapt: bool,
}

impl From<&Limit> for CatalogLimit {
    fn from(limit: &Limit) -> Self {
        Self {
            name: limit.name.clone(),
            rate: limit.rate.map(|rate| rate.to_string()),
            concurrency: limit.concurrency,
            key: limit.key.as_ref().map(ToString::to_string),
            adapt: limit.adapt,
        }
    }
}
