//! The catalog as an AsyncAPI 3.0 document, from the side of the application: acceptd with its consumers.

use serde_json::{Map, Value, json};

use super::draft07::{draft07, token};
use super::slug::Slugs;
use super::words::summary;
use crate::catalog::{Catalog, CatalogConsumer, CatalogEvent, Edge, EdgeKind};

/// The catalog as an AsyncAPI 3.0 document: a channel with one message for each event type, an operation for each event
/// type that a consumer takes (`receive`) or emits (`send`). What AsyncAPI has no words for stands in `x-acceptd-…`.
/// Schemas are those of draft 07, AsyncAPI's own.
pub fn asyncapi(catalog: &Catalog) -> String {
    let document = Document {
        catalog,
        events: Slugs::of(catalog.events.iter().map(|event| event.kind.as_str())),
        consumers: Slugs::of(catalog.edges.iter().filter_map(|edge| edge.consumer.as_deref())),
    };
    let mut text = serde_json::to_string_pretty(&document.write()).unwrap_or_default();
    text.push('\n');
    text
}

struct Document<'a> {
    catalog: &'a Catalog,
    events: Slugs,
    consumers: Slugs,
}

impl Document<'_> {
    fn write(&self) -> Value {
        let catalog = self.catalog;
        let named = |event: &CatalogEvent| self.events.get(&event.kind);
        let channels = catalog.events.iter().map(|event| (named(event), self.channel(event)));
        let messages = catalog.events.iter().map(|event| (named(event), self.message(event)));
        let operations = catalog.edges.iter().filter_map(|edge| self.operation(edge));
        let mut document = json!({
            "asyncapi": "3.0.0",
            "info": {
                "title": "Catalog of events",
                "version": "1.0.0",
                "description": "Every event type that acceptd takes or emits here, and the consumers between them.",
            },
            "defaultContentType": "application/json",
            "channels": channels.collect::<Map<_, _>>(),
            "operations": operations.collect::<Map<_, _>>(),
            "components": { "messages": messages.collect::<Map<_, _>>(), "schemas": self.schemas() },
        });
        if !catalog.limits.is_empty() {
            document["x-acceptd-limits"] = json!(catalog.limits);
        }
        if !catalog.loops.is_empty() {
            document["x-acceptd-loops"] = json!(catalog.loops);
        }
        document
    }

    fn channel(&self, event: &CatalogEvent) -> Value {
        let name = self.events.get(&event.kind);
        let message = json!({ "$ref": format!("#/components/messages/{}", token(&name)) });
        let mut channel = json!({ "address": event.kind, "messages": { name: message } });
        let accepted = |edge: &&Edge| edge.kind == EdgeKind::Accepts && edge.event == event.kind;
        if let Some(edge) = self.catalog.edges.iter().find(accepted) {
            channel["x-acceptd-accepted"] = told(edge);
        }
        channel
    }

    fn message(&self, event: &CatalogEvent) -> Value {
        let name = self.events.get(&event.kind);
        let mut message = json!({
            "name": event.kind,
            "title": event.kind,
            "contentType": "application/json",
            "correlationId": { "location": "$message.header#/ce-correlationid" },
            "headers": headers(&event.kind),
            "x-acceptd-version": event.version,
        });
        if let Some(description) = &event.description {
            message["summary"] = summary(description).into();
            message["description"] = description.as_str().into();
        }
        if let Some(team) = &event.team {
            message["tags"] = json!([{ "name": format!("team:{team}") }]);
        }
        if event.schema.is_some() {
            message["payload"] = json!({ "$ref": format!("#/components/schemas/{}", token(&name)) });
        }
        let example =
            |(at, payload): (usize, &Value)| json!({ "name": format!("example-{}", at + 1), "payload": payload });
        let examples: Vec<Value> = event.examples().iter().enumerate().map(example).collect();
        // A tool would follow what looks like a reference in an example.
        let examples: Vec<Value> = examples.into_iter().filter(|it| !it.to_string().contains("\"$ref\"")).collect();
        if !examples.is_empty() {
            message["examples"] = examples.into();
        }
        if let Some(key) = &event.key {
            message["x-acceptd-key"] = key.as_str().into();
        }
        if event.owner_required {
            message["x-acceptd-owner-required"] = true.into();
        }
        message
    }

    fn schemas(&self) -> Map<String, Value> {
        let mut schemas = Map::new();
        for event in &self.catalog.events {
            let name = self.events.get(&event.kind);
            // No slug has two dashes in a row, so that a version is no other event type.
            let older = event.older_schemas.iter().map(|(version, schema)| (format!("{name}--{version}"), schema));
            for (name, schema) in event.schema.iter().map(|schema| (name.clone(), schema)).chain(older) {
                let place = format!("#/components/schemas/{}", token(&name));
                schemas.insert(name, draft07(schema, &place));
            }
        }
        schemas
    }

    fn operation(&self, edge: &Edge) -> Option<(String, Value)> {
        let consumer = edge.consumer.as_deref()?;
        let (action, verb) = match edge.kind {
            EdgeKind::Accepts => return None,
            EdgeKind::Takes => ("receive", "takes"),
            EdgeKind::Emits => ("send", "emits"),
        };
        let event = self.events.get(&edge.event);
        let channel = format!("#/channels/{}", token(&event));
        let mut operation = json!({
            "action": action,
            "channel": { "$ref": channel },
            "messages": [{ "$ref": format!("{channel}/messages/{}", token(&event)) }],
            "title": format!("{consumer} {verb} {}", edge.event),
            "x-acceptd-consumer": consumer,
            "x-acceptd-edge": told(edge),
        });
        if let (EdgeKind::Takes, Some(consumer)) = (edge.kind, self.catalog.consumer(consumer)) {
            describe(&mut operation, consumer);
        }
        Some((format!("{}--{verb}--{event}", self.consumers.get(consumer)), operation))
    }
}

/// What is declared of an edge and what was seen of it, without the days.
fn told(edge: &Edge) -> Value {
    let mut told = json!({ "state": edge.state });
    if let Some(seen) = &edge.observed {
        told["count"] = seen.count.into();
        told["failureRate"] = json!(seen.failure_rate);
        told["lastSeen"] = seen.last_seen.to_string().into();
        told["medianMs"] = json!(seen.median_ms);
    }
    told
}

fn describe(operation: &mut Value, consumer: &CatalogConsumer) {
    if let Some(description) = &consumer.description {
        operation["summary"] = summary(description).into();
        operation["description"] = description.as_str().into();
    }
    if let Some(team) = &consumer.team {
        operation["tags"] = json!([{ "name": format!("team:{team}") }]);
    }
    operation["x-acceptd-target"] = json!({ "kind": consumer.target, "address": consumer.address });
    operation["x-acceptd-emits"] = json!(consumer.emits);
    operation["x-acceptd-limits"] = json!(consumer.limits);
    operation["x-acceptd-retry"] = json!({
        "maxAttempts": consumer.max_attempts,
        "baseMs": consumer.retry.base_ms,
        "maxMs": consumer.retry.max_ms,
        "timeoutMs": consumer.timeout_ms,
    });
    if let Some(lock) = &consumer.lock {
        operation["x-acceptd-lock"] = json!({ "key": lock, "ordered": consumer.ordered });
    }
}

/// The headers of CloudEvents in binary mode, as a consumer gets them.
fn headers(kind: &str) -> Value {
    json!({
        "type": "object",
        "required": ["ce-id", "ce-source", "ce-specversion", "ce-type"],
        "properties": {
            "ce-causationid": { "type": "string", "description": "The id of the event before it in its chain" },
            "ce-correlationid": { "type": "string", "description": "The id of the operation" },
            "ce-dataschema": { "type": "string", "format": "uri" },
            "ce-id": { "type": "string", "minLength": 1 },
            "ce-partitionkey": { "type": "string" },
            "ce-source": { "type": "string", "format": "uri-reference", "minLength": 1 },
            "ce-specversion": { "const": "1.0" },
            "ce-subject": { "type": "string" },
            "ce-time": { "type": "string", "format": "date-time" },
            "ce-type": { "const": kind },
            "traceparent": { "type": "string" },
            "tracestate": { "type": "string" },
        },
    })
}
