//! Accepting: the answer's headers and body, idempotency, preferences, delays.

use std::collections::BTreeSet;

use acceptd::Settings;
use acceptd_http::HttpSettings;
use serde_json::{Value, json};

use crate::api::Api;

#[tokio::test]
async fn the_202_answer() {
    let api = Api::start().await;
    let reply = api.event("lonely.event", &[("acceptd-owner", "user-42"), ("acceptd-priority", "-3")], "{}").await;
    assert_eq!(reply.status, 202);
    let id = reply.id();
    let monitor = format!("http://api.test:8202/v1/operations/{id}");
    assert_eq!(reply.header("location"), format!("{monitor}/result"));
    assert_eq!(reply.header("operation-location"), monitor);
    assert_eq!(reply.header("content-location"), format!("/v1/operations/{id}"));
    assert_eq!(reply.header("retry-after"), "2");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("content-type"), "application/json");
    let body = reply.json();
    let times = ["createTime", "updateTime"].map(|name| body[name].as_str().unwrap().to_owned());
    assert_eq!(times[0], times[1]);
    let waiting = &body["waitingOn"];
    let since = waiting[0]["since"].clone();
    assert_eq!(
        body,
        json!({
            "id": id, "status": "queued", "done": false, "type": "lonely.event", "owner": "user-42", "priority": -3,
            "createTime": times[0], "startTime": null, "updateTime": times[1], "endTime": null,
            "estimatedEndTime": null,
            "progress": {"total": 1, "done": 0, "failed": 0, "percent": 0, "message": null},
            "waitingOn": [{"consumer": null, "gate": "no-consumer", "name": "lonely.event", "key": null, "count": 1,
                "holder": null, "position": null, "since": since, "until": null,
                "message": "waits for a consumer: nobody takes lonely.event"}],
            "result": null, "error": null, "resourceLocation": null,
            "links": {"self": monitor, "result": format!("{monitor}/result"), "chain": format!("{monitor}/chain"),
                "stream": format!("{monitor}/stream"), "cancel": format!("{monitor}/cancel")},
        })
    );
    let seen = api.get(&format!("/v1/operations/{id}")).await.json();
    assert_eq!(seen, body, "the monitor says the same");
}

#[tokio::test]
async fn addresses_follow_the_settings() {
    let with = |http| Api::with(http, Settings::default());
    let public =
        HttpSettings { public_url: Some("https://ops.example.com/acceptd/".into()), ..HttpSettings::default() };
    let api = with(public).await;
    let reply = api.event("lonely.event", &[], "{}").await;
    let id = reply.id();
    assert_eq!(reply.header("operation-location"), format!("https://ops.example.com/acceptd/v1/operations/{id}"));
    assert_eq!(reply.header("content-location"), format!("/acceptd/v1/operations/{id}"));
    let problem = api.get("/v1/x").await.json();
    assert_eq!(problem["type"], "https://ops.example.com/acceptd/problems/no-such-route");

    let forwarded = [("x-forwarded-host", "front.example, inner"), ("x-forwarded-proto", "https")];
    let trusting = HttpSettings { trust_forwarded: true, ..HttpSettings::default() };
    let reply = with(trusting).await.event("lonely.event", &forwarded, "{}").await;
    assert!(reply.header("location").starts_with("https://front.example/v1/operations/"));
    let reply = Api::start().await.event("lonely.event", &forwarded, "{}").await;
    assert!(reply.header("location").starts_with("http://api.test:8202/v1/operations/"));
}

#[tokio::test]
async fn nested_into_another_application() {
    let mut api =
        Api::with(HttpSettings { mounted_at: "/mounted".into(), ..HttpSettings::default() }, Settings::default()).await;
    api.router = axum::Router::new().nest("/mounted", api.router.clone());
    let reply = api.post("/mounted/v1/events/lonely.event", &[], "").await;
    let id = reply.id();
    assert_eq!(reply.header("content-location"), format!("/mounted/v1/operations/{id}"));
    assert_eq!(reply.header("operation-location"), format!("http://api.test:8202/mounted/v1/operations/{id}"));
    assert_eq!(api.get(reply.header("content-location")).await.status, 200);
    api.get("/mounted/nothing").await.is_problem(404, "no-such-route");
}

#[tokio::test]
async fn data_and_its_media_type() {
    let api = Api::start().await;
    let cases = [
        (vec![], "", Value::Null, Value::Null),
        (
            vec![("content-type", "application/json; charset=utf-8")],
            " {\"b\":1}",
            json!("application/json"),
            json!({"b":1}),
        ),
        (vec![("content-type", "application/vnd.x+json")], "null", json!("application/vnd.x+json"), Value::Null),
    ];
    for (headers, body, content_type, data) in cases {
        let id = api.post("/v1/events/lonely.event", &headers, body).await.id();
        let chain = api.get(&format!("/v1/operations/{id}/chain")).await.json();
        let event = &chain["events"][0];
        assert_eq!((&event["contentType"], &event["data"]), (&content_type, &data), "{body}");
        assert_eq!(event["size"], body.len());
    }
}

#[tokio::test]
async fn the_trace_is_kept_when_it_is_valid() {
    let api = Api::start().await;
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (parent, kept) in [(good, json!({"traceparent": good, "tracestate": "a=b"})), ("00-bad", json!({}))] {
        let id = api.event("lonely.event", &[("traceparent", parent), ("tracestate", "a=b")], "1").await.id();
        let chain = api.get(&format!("/v1/operations/{id}/chain")).await.json();
        assert_eq!(chain["events"][0]["extensions"], kept);
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_operation() {
    let api = Api::start().await;
    let posts = (0..50).map(|_| {
        let api = api.clone();
        tokio::spawn(async move { api.event("lonely.event", &[("idempotency-key", "\"k1\"")], "{\"a\":1}").await })
    });
    let (mut ids, mut replayed) = (BTreeSet::new(), 0);
    for post in posts.collect::<Vec<_>>() {
        let reply = post.await.unwrap();
        assert_eq!(reply.status, 202);
        replayed += usize::from(reply.header("idempotent-replayed") == "true");
        ids.insert(reply.id());
    }
    assert_eq!((ids.len(), replayed), (1, 49));
    let unquoted = api.event("lonely.event", &[("idempotency-key", "k1")], "{\"a\":1}").await;
    assert_eq!(Some(&unquoted.id()), ids.first(), "a bare word is the same key");
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_caller() {
    let api = Api::start().await;
    let key = ("idempotency-key", "\"k1\"");
    let first = api.event("lonely.event", &[key], "{\"a\":1}").await.id();
    api.event("lonely.event", &[key], "{\"a\":2}").await.is_problem(422, "idempotency-key-reused");
    api.event("test.echo", &[key], "{\"a\":1}").await.is_problem(422, "idempotency-key-reused");
    let other = api.event("lonely.event", &[key, ("acceptd-owner", "user-42")], "{\"a\":1}").await;
    assert_eq!(other.status, 202);
    assert_ne!(other.id(), first, "another caller's key");
    // A refused request uses no key up.
    let key = ("idempotency-key", "\"k2\"");
    api.event("lonely.event", &[key], "{").await.is_problem(400, "malformed-json");
    assert_eq!(api.event("lonely.event", &[key], "{}").await.status, 202);
}

#[tokio::test]
async fn preferences() {
    let api = Api::start().await;
    let waited = api.event("test.teapot", &[("prefer", "respond-async, wait=20")], "{}").await;
    assert_eq!((waited.status.as_u16(), waited.header("preference-applied")), (200, "wait=20"));
    assert_eq!(waited.json()["status"], "failed");
    assert!(!waited.headers.contains_key("retry-after"), "there is nothing to come back for");

    let too_short = api.event("test.gated", &[("prefer", "wait=1")], "{}").await;
    assert_eq!((too_short.status.as_u16(), too_short.header("preference-applied")), (202, ""));
    assert_eq!(too_short.json()["status"], "running");

    let at_once = api.event("test.gated", &[("prefer", "Respond-Async")], "{}").await;
    assert_eq!((at_once.status.as_u16(), at_once.header("preference-applied")), (202, "respond-async"));

    let minimal = api.event("test.gated", &[("prefer", "return=minimal, nonsense=\"x,y\"")], "{}").await;
    assert_eq!((minimal.status.as_u16(), minimal.header("preference-applied")), (202, "return=minimal"));
    assert!(minimal.body.is_empty() && minimal.header("location").ends_with("/result"));
}

#[tokio::test]
async fn delays() {
    let api = Api::start().await;
    let later = api.event("test.echo2", &[("acceptd-delay", "1h")], "{}").await;
    let body = later.json();
    assert_eq!((&body["status"], &body["waitingOn"][0]["gate"]), (&json!("queued"), &json!("due-time")));
    assert_eq!(later.header("retry-after"), "60");
    assert!(body["waitingOn"][0]["message"].as_str().unwrap().starts_with("starts in "), "{body}");
    let at = body["waitingOn"][0]["until"].as_str().unwrap().to_owned();
    let same = api.event("test.echo2", &[("acceptd-at", &at)], "{}").await.json();
    assert_eq!(same["waitingOn"][0]["until"], at);
    let past = api.event("test.nothing", &[("acceptd-at", "2020-01-01T00:00:00Z"), ("prefer", "wait=20")], "{}").await;
    assert_eq!((past.status.as_u16(), &past.json()["status"]), (200, &json!("succeeded")));
}

#[tokio::test]
async fn backpressure_comes_before_accepting() {
    let settings = Settings { backlog_max: 1, ..Settings::default() };
    let api = Api::with(HttpSettings::default(), settings).await;
    let first = api.event("test.gated", &[], "{}").await;
    assert_eq!(first.status, 202);
    api.event("test.gated", &[], "{}").await.is_problem(503, "overloaded");
    assert_eq!(api.get("/readyz").await.status, 200);
    api.gate.add_permits(1);
    api.engine.shut_down(std::time::Duration::from_secs(5)).await;
    api.event("test.gated", &[], "{}").await.is_problem(503, "shutting-down");
    api.get("/readyz").await.is_problem(503, "not-ready");
    assert_eq!(api.get("/livez").await.status, 200);
}
