//! What people do: dead letters, pauses, notifications, the catalog, health.

use std::sync::Arc;

use acceptd_http::HttpSettings;
use serde_json::json;

use crate::api::Api;

#[tokio::test]
async fn dead_letters() {
    let api = Api::start().await;
    let operation = api.ended("test.fail", "{\"a\":1}").await;
    let list = api.get("/v1/dead-letters").await.json();
    let letter = &list["items"][0];
    assert_eq!((&letter["operation"], &letter["consumer"]), (&json!(operation), &json!("scripted")));
    assert_eq!((&letter["error"]["code"], &letter["event"]["data"]), (&json!("broken"), &json!({"a": 1})));
    assert_eq!(list["nextPageToken"], json!(null));
    let id = letter["id"].as_str().unwrap();
    let why = api.get(&format!("/v1/deliveries/{id}")).await.json();
    assert!(why["why"].as_str().unwrap().ends_with("the part is broken"), "{why}");

    let retried = api.post(&format!("/v1/dead-letters/{id}/retry"), &[], "").await;
    assert_eq!((retried.status.as_u16(), &retried.json()["id"]), (200, &json!(operation)));
    api.until(&format!("/v1/operations/{operation}"), |reply| reply.json()["status"] == "failed").await;
    let again = api.post(&format!("/v1/operations/{operation}/retry"), &[], "").await;
    assert_eq!(again.status, 200);
    api.until(&format!("/v1/operations/{operation}"), |reply| reply.json()["status"] == "failed").await;
    let discarded = api.post(&format!("/v1/dead-letters/{id}/discard"), &[], "").await;
    assert_eq!(discarded.json()["status"], "canceled");
    api.post(&format!("/v1/dead-letters/{id}/discard"), &[], "").await.is_problem(409, "conflict");
    assert_eq!(api.get("/v1/dead-letters").await.json()["items"], json!([]));
}

#[tokio::test]
async fn pauses() {
    let api = Api::start().await;
    let pause = "/v1/consumers/scripted/pause";
    let by = ("acceptd-owner", "anna");
    let paused = api.post(pause, &[by], "{\"reason\":\"repairs\"}").await.json();
    assert_eq!((&paused["paused"], &paused["pause"]["by"]), (&json!(true), &json!("anna")));
    let id = api.event("test.nothing", &[], "{}").await.id();
    let path = format!("/v1/operations/{id}");
    let waiting = api.get(&path).await.json();
    assert_eq!(waiting["waitingOn"][0]["message"], "waits because anna paused consumer scripted: repairs", "{waiting}");
    let listed = api.get("/v1/consumers").await.json();
    let scripted = listed["items"].as_array().unwrap().iter().find(|item| item["name"] == "scripted").unwrap().clone();
    assert_eq!((&scripted["waiting"], &scripted["served"]), (&json!(1), &json!(true)));
    let resumed = api.post("/v1/consumers/scripted/resume", &[], "").await.json();
    assert_eq!((&resumed["paused"], &resumed["pause"]), (&json!(false), &json!(null)));
    api.until(&path, |reply| reply.json()["status"] == "succeeded").await;
    for body in ["{\"until\":\"2020-01-01T00:00:00Z\"}", "{\"until\":\"soon\"}", "{\"why\":\"x\"}", "[]"] {
        api.post(pause, &[], body).await.is_problem(400, "invalid-request");
    }
    api.post(pause, &[], "{").await.is_problem(400, "malformed-json");
    let until = api.post(pause, &[], "{\"until\":\"2999-01-01T00:00:00Z\"}").await.json();
    assert_eq!(until["pause"]["until"], "2999-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn notifications() {
    let api = Api::start().await;
    for owner in ["anna", "ben", "anna"] {
        let headers = [("acceptd-owner", owner), ("prefer", "wait=20")];
        assert_eq!(api.event("test.nothing", &headers, "{}").await.status, 200);
    }
    let page = api.get("/v1/notifications?owner=anna&pageSize=1").await.json();
    let newest = &page["items"][0];
    assert_eq!((&newest["title"], &newest["level"]), (&json!("test.nothing is done"), &json!("success")));
    assert_eq!(newest["readTime"], json!(null));
    let token = page["nextPageToken"].as_str().unwrap();
    let rest = api.get(&format!("/v1/notifications?owner=anna&pageToken={token}")).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    api.get(&format!("/v1/notifications?owner=ben&pageToken={token}")).await.is_problem(400, "bad-page-token");
    let id = newest["id"].as_str().unwrap();
    let read = api.post(&format!("/v1/notifications/{id}/read"), &[], "").await.json();
    assert!(read["readTime"].is_string());
    assert_eq!(api.get("/v1/notifications").await.json()["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn catalog_health_and_metrics() {
    let metrics: acceptd_http::RenderMetrics = Arc::new(|| "# HELP a b\n".to_owned());
    let http = HttpSettings { metrics: Some(metrics), ..HttpSettings::default() };
    let api = Api::with(http, acceptd::Settings::default()).await;
    let catalog = api.get("/v1/catalog").await.json();
    let kinds: Vec<_> = catalog["events"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert!(kinds.contains(&json!("lonely.event")) && kinds.contains(&json!("next.step")), "{kinds:?}");
    assert_eq!(api.get("/livez").await.body, "ok\n");
    assert_eq!(api.get("/readyz").await.json(), json!({"status": "ready", "backlog": 0}));
    let metrics = api.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(metrics.body, "# HELP a b\n");
}

#[tokio::test]
async fn a_panic_is_a_problem() {
    let metrics: acceptd_http::RenderMetrics = Arc::new(|| panic!("a secret"));
    let http = HttpSettings { metrics: Some(metrics), ..HttpSettings::default() };
    let api = Api::with(http, acceptd::Settings::default()).await;
    let reply = api.get("/metrics").await;
    reply.is_problem(500, "internal-error");
    assert!(!reply.json().to_string().contains("secret"));
}

#[tokio::test]
async fn only_an_outcome_that_was_kept_is_accepted() {
    let api = Api::start().await;
    api.ended("test.fail", "{}").await;
    let letters = api.get("/v1/dead-letters").await.json();
    let letter = letters["items"][0]["id"].as_str().unwrap();
    let none = api.post(&format!("/v1/dead-letters/{letter}/accept"), &[], "").await;
    none.is_problem(409, "conflict");
    assert!(none.json()["detail"].as_str().unwrap().contains("no outcome"), "{}", none.json());
    let unknown = api.post("/v1/dead-letters/00000000-0000-7000-8000-000000000000/accept", &[], "").await;
    unknown.is_problem(404, "not-found");
}
