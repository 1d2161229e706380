//! The chain document is the story of an operation.

use acceptd::Story;
use serde_json::Value;

use crate::api::Api;

/// What clients were promised before the document became a story; it may only grow.
const DOCUMENT: &str = "operation type status owner createTime endTime waitingOn events";
const EVENT: &str = "key id type source subject time acceptTime causationId depth dataschema extensions contentType \
                     data size deliveries";
const DELIVERY: &str = "id operation eventKey consumer state tracked priority attempt maxAttempts fence since due node \
                        leaseUntil slotsUntil progress attempts waits";
const ATTEMPT: &str = "number fence node ending waitingSince startTime endTime error waits";

#[track_caller]
fn has(value: &Value, fields: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("{value} is no object"));
    let missing: Vec<_> = fields.split_whitespace().filter(|field| !object.contains_key(*field)).collect();
    assert!(missing.is_empty(), "{missing:?} are missing in {value}");
}

#[tokio::test]
async fn the_chain_is_a_story_that_adds_up() {
    let api = Api::start().await;
    let id = api.ended("test.unscripted", "{ \"b\": 12345678901234567890123 }").await;
    let reply = api.get(&format!("/v1/operations/{id}/chain")).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/json"));
    let text = std::str::from_utf8(&reply.body).unwrap();
    assert!(text.contains("{ \"b\": 12345678901234567890123 }"), "data as it came: {text}");
    let document = reply.json();
    has(&document, DOCUMENT);
    let event = &document["events"][0];
    has(event, EVENT);
    let delivery = &event["deliveries"][0];
    has(delivery, DELIVERY);
    for attempt in delivery["attempts"].as_array().unwrap() {
        has(attempt, ATTEMPT);
    }
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 2);
    let millis = |name: &str| document["times"][name].as_u64().unwrap();
    assert_eq!(millis("runningMs") + millis("backingOffMs") + millis("waitingMs"), millis("totalMs"));
    assert_eq!(event["causedBy"], Value::Null);
    assert_eq!(
        document["traceId"].as_str().unwrap(),
        id.replace('-', ""),
        "an operation without a trace is one itself"
    );

    let story: Story = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(story.operation.to_string(), id);
    assert_eq!(story.deliveries().count(), 1);
    assert_eq!(serde_json::to_value(&story).unwrap(), document, "nothing is lost by reading it");
}

#[tokio::test]
async fn a_delivery_has_the_same_fields_wherever_it_is_shown() {
    let api = Api::start().await;
    let id = api.ended("test.fail", "{\"a\":1}").await;
    let chain = api.get(&format!("/v1/operations/{id}/chain")).await.json();
    let event = &chain["events"][0];
    let delivery = &event["deliveries"][0];
    let alone = api.get(&format!("/v1/deliveries/{}", delivery["id"].as_str().unwrap())).await.json();
    let letter = api.get("/v1/dead-letters").await.json()["items"][0].clone();
    for shown in [&alone, &letter] {
        let of_delivery = shown.as_object().unwrap().iter().filter(|(name, _)| delivery.get(name).is_some());
        assert_eq!(of_delivery.clone().count(), 16, "{shown}");
        for (name, value) in of_delivery {
            assert_eq!(value, &delivery[name], "{name}");
        }
        for (name, value) in shown["event"].as_object().unwrap() {
            assert_eq!(value, &event[name], "{name}");
        }
    }
}

#[tokio::test]
async fn what_waits_names_the_delivery_that_does() {
    let api = Api::start().await;
    api.engine.pause("scripted", None, "test", "").await.unwrap();
    let id = api.event("test.nothing", &[], "{}").await.id();
    let chain = api.get(&format!("/v1/operations/{id}/chain")).await.json();
    assert_eq!(chain["waitingOn"][0]["delivery"], chain["events"][0]["deliveries"][0]["id"]);
    assert_eq!(chain["waitingOn"][0]["gate"], "pause");
    assert_eq!(chain["status"], "queued");
    let unknown = "/v1/operations/01900000-0000-7000-8000-000000000000/chain";
    api.get(unknown).await.is_problem(404, "not-found");
}
