//! The three modes of CloudEvents over HTTP.

use acceptd_http::HttpSettings;
use serde_json::json;

use crate::api::Api;

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("content-type", "Application/CloudEvents-Batch+JSON; charset=utf-8");

fn event(id: &str) -> String {
    json!({"specversion": "1.0", "type": "lonely.event", "source": "/s", "id": id, "data": {"n": id}}).to_string()
}

async fn first_event(api: &Api, id: &str) -> serde_json::Value {
    api.get(&format!("/v1/operations/{id}/chain")).await.json()["events"][0].clone()
}

#[tokio::test]
async fn structured() {
    let api = Api::start().await;
    let reply = api.post("/v1/events", &[STRUCTURED], event("a")).await;
    assert_eq!(reply.status, 202);
    let seen = first_event(&api, &reply.id()).await;
    assert_eq!((&seen["id"], &seen["source"], &seen["data"]), (&json!("a"), &json!("/s"), &json!({"n": "a"})));
    // The same event again is the same operation.
    let again = api.post("/v1/events", &[STRUCTURED], event("a")).await;
    assert_eq!((again.id(), again.header("idempotent-replayed")), (reply.id(), "true"));
    let found = api.get("/v1/operations?eventId=a").await.json();
    assert_eq!(found["items"][0]["id"], reply.id().as_str());
}

#[tokio::test]
async fn binary() {
    let api = Api::start().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-type", "lonely.event"),
        ("ce-source", "/s"),
        ("ce-id", "\"b 1\""),
        ("ce-subject", "Euro%20%E2%82%AC"),
        ("ce-color", "red"),
        ("content-type", "text/csv"),
    ];
    let reply = api.post("/v1/events", &headers, "a,b\n").await;
    assert_eq!(reply.status, 202, "{:?}", reply.body);
    let seen = first_event(&api, &reply.id()).await;
    assert_eq!((&seen["id"], &seen["subject"]), (&json!("b 1"), &json!("Euro €")));
    assert_eq!((&seen["contentType"], &seen["data"]), (&json!("text/csv"), &json!("a,b\n")));
    assert_eq!(seen["extensions"], json!({"color": "red"}));
    let empty = api.post("/v1/events", &[headers[0], headers[1], headers[2], ("ce-id", "b2")], "").await;
    assert_eq!(first_event(&api, &empty.id()).await["data"], json!(null));
}

#[tokio::test]
async fn a_batch_is_one_operation() {
    let api = Api::start().await;
    let reply = api.post("/v1/events", &[BATCH], format!("[{},{}]", event("1"), event("2"))).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.json()["progress"]["total"], 2);
    let chain = api.get(&format!("/v1/operations/{}/chain", reply.id())).await.json();
    let ids: Vec<_> = chain["events"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["1", "2"]);
    // Known events are skipped and listed.
    let more = api.post("/v1/events", &[BATCH], format!("[{},{}]", event("2"), event("3"))).await;
    assert_ne!(more.id(), reply.id());
    assert_eq!(more.json()["knownEvents"], json!([{"id": "2", "operation": reply.id()}]));
    assert_eq!(more.json()["progress"]["total"], 1);
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let api = Api::start().await;
    let bad = r#"{"specversion":"1.0","type":"lonely.event","source":"/s"}"#;
    let reply = api.post("/v1/events", &[BATCH], format!("[{},{bad}]", event("1"))).await;
    reply.is_problem(400, "invalid-event");
    assert_eq!(reply.json()["errors"], json!([{"pointer": "#/1", "detail": "the event has no id"}]));
    let reply = api.post("/v1/events", &[BATCH], format!("[{bad},{},7]", event("1"))).await;
    reply.is_problem(400, "invalid-event");
    let pointers: Vec<_> =
        reply.json()["errors"].as_array().unwrap().iter().map(|one| one["pointer"].clone()).collect();
    assert_eq!(pointers, ["#/0", "#/2"], "each with its place");
    let unknown = event("2").replace("lonely.event", "nobody.knows");
    let reply = api.post("/v1/events", &[BATCH], format!("[{},{unknown}]", event("1"))).await;
    reply.is_problem(404, "unknown-event-type");
    for body in ["[]", "{}", "[1]", "null"] {
        api.post("/v1/events", &[BATCH], body).await.is_problem(400, "invalid-event");
    }
    assert_eq!(api.get("/v1/operations").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_batch_may_be_larger_than_an_event() {
    let http = HttpSettings { body_max: 100, batch_events_max: 2, ..HttpSettings::default() };
    let api = Api::with(http, acceptd::Settings::default()).await;
    api.post("/v1/events", &[STRUCTURED], event(&"x".repeat(50))).await.is_problem(413, "content-too-large");
    let two = format!("[{},{}]", event("1"), event("2"));
    assert_eq!(api.post("/v1/events", &[BATCH], two).await.status, 202);
    let three = format!("[{},{},{}]", event("3"), event("4"), event("5"));
    api.post("/v1/events", &[BATCH], three).await.is_problem(413, "content-too-large");
}

#[tokio::test]
async fn what_is_no_cloudevent() {
    let api = Api::start().await;
    for headers in [
        [("content-type", "application/json")].as_slice(),
        &[("content-type", "text/plain")],
        &[("content-type", "application/cloudevents+xml")],
        &[("content-type", "application/cloudevents-batch+avro")],
        &[],
    ] {
        api.post("/v1/events", headers, event("1")).await.is_problem(415, "unsupported-media-type");
    }
    let good = [("ce-specversion", "1.0"), ("ce-type", "lonely.event"), ("ce-source", "/s"), ("ce-id", "1")];
    for wrong in [
        ("ce-subject", "%C0%A0"),
        ("ce-subject", "\"open"),
        ("ce-datacontenttype", "text/plain"),
        ("ce-time", "yesterday"),
        ("ce-bad-name", "x"),
    ] {
        let headers: Vec<_> = good.into_iter().chain([wrong]).collect();
        api.post("/v1/events", &headers, "").await.is_problem(400, "invalid-event");
    }
    for left_out in 0..good.len() {
        let mut headers = good.to_vec();
        headers.remove(left_out);
        api.post("/v1/events", &headers, "").await.is_problem(400, "invalid-event");
    }
    let json = [good.as_slice(), &[("content-type", "application/json")]].concat();
    api.post("/v1/events", &json, "{").await.is_problem(400, "malformed-json");
    for body in [
        r#"{"specversion":"1.0","type":"lonely.event","source":"/s","id":"1","BAD":"x"}"#,
        r#"{"specversion":"1.0","type":"lonely.event","source":"/s","id":1}"#,
        r#"{"specversion":"1.0","type":"lonely.event","source":"","id":"1"}"#,
        r#"{"specversion":"1.0","type":"lonely.event","source":"/s","id":"1","data_base64":"?"}"#,
        "[]",
    ] {
        api.post("/v1/events", &[STRUCTURED], body).await.is_problem(400, "invalid-event");
    }
    api.post("/v1/events", &[STRUCTURED], "{").await.is_problem(400, "malformed-json");
}
