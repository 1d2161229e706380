//! Everything that can be wrong with a request is a problem that says so, and nothing is stored.

use axum::body::Body;
use http::Method;

use crate::api::Api;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn nothing_stored(api: &Api) {
    let list = api.get("/v1/operations").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 0, "{list}");
}

#[tokio::test]
async fn bad_bodies() {
    let api = Api::start().await;
    let echo = "/v1/events/test.echo";
    let malformed = api.post(echo, &[JSON], "{\"a\":}").await;
    malformed.is_problem(400, "malformed-json");
    assert!(malformed.json()["detail"].as_str().unwrap().contains("line 1 column 6"), "{:?}", malformed.body);
    api.post(echo, &[JSON], "").await.is_problem(400, "malformed-json");
    api.post(echo, &[JSON], "{} {}").await.is_problem(400, "malformed-json");
    let utf8 = api.post(echo, &[JSON], b"{\"a\":\"\xc0\xa0\"}".to_vec()).await;
    utf8.is_problem(400, "malformed-json");
    assert!(utf8.json()["detail"].as_str().unwrap().contains("byte 6"));
    let deep = "[".repeat(1_000) + &"]".repeat(1_000);
    let deep = api.post(echo, &[JSON], deep).await;
    deep.is_problem(400, "malformed-json");
    assert!(deep.json()["detail"].as_str().unwrap().contains("128"));
    for headers in [
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/x-www-form-urlencoded")],
        vec![("content-type", "application/cloudevents+json")],
        vec![],
        vec![JSON, ("content-encoding", "gzip")],
    ] {
        api.post(echo, &headers, "{}").await.is_problem(415, "unsupported-media-type");
    }
    nothing_stored(&api).await;
}

#[tokio::test]
async fn too_large() {
    let api = Api::start().await;
    let exact = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    assert_eq!(api.post("/v1/events/lonely.event", &[JSON], exact.clone()).await.status, 202);
    let echo = "/v1/events/test.echo";
    api.post(echo, &[JSON], exact.clone() + " ").await.is_problem(413, "content-too-large");
    // Without a length that is known before.
    let parts = ["\"", &exact, "\""].map(|part| Ok::<_, std::convert::Infallible>(part.to_owned()));
    let unknown = Body::from_stream(futures_util::stream::iter(parts));
    api.post(echo, &[JSON], unknown).await.is_problem(413, "content-too-large");
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let event = r#"{"specversion":"1.0","type":"lonely.event","source":"/s","id":"1"}"#;
    let many = format!("[{}]", vec![event; 10_001].join(","));
    let many = api.post("/v1/events", &batch, many).await;
    many.is_problem(413, "content-too-large");
    assert!(many.json()["detail"].as_str().unwrap().contains("10001"));
    api.post("/v1/events", &batch, vec![b' '; (16 << 20) + 1]).await.is_problem(413, "content-too-large");
}

#[tokio::test]
async fn a_body_in_parts_is_put_together() {
    let api = Api::start().await;
    let parts = ["{\"a\"", ":", "[1,2]", "}"].map(Ok::<_, std::convert::Infallible>);
    let body = Body::from_stream(futures_util::stream::iter(parts));
    let reply = api.post("/v1/events/test.echo2", &[JSON, ("prefer", "wait=20")], body).await;
    assert_eq!(reply.json()["result"]["other"], serde_json::json!({"a":[1, 2]}), "{:?}", reply.body);
}

#[tokio::test]
async fn unknown_type_names_the_nearest() {
    let api = Api::start().await;
    let reply = api.event("lonly.event", &[], "{}").await;
    reply.is_problem(404, "unknown-event-type");
    assert!(reply.json()["detail"].as_str().unwrap().ends_with("did you mean lonely.event?"));
    api.event("a%20b", &[], "{}").await.is_problem(400, "invalid-request");
    api.event("a%C0%A0", &[], "{}").await.is_problem(400, "invalid-request");
    nothing_stored(&api).await;
}

#[tokio::test]
async fn bad_headers() {
    let api = Api::start().await;
    for headers in [
        [("acceptd-delay", "-5s")].as_slice(),
        &[("acceptd-delay", "5")],
        &[("acceptd-delay", "4000d")],
        &[("acceptd-delay", "99999999999999999999d")],
        &[("acceptd-at", "tomorrow")],
        &[("acceptd-at", "2026-11-23T03:00:00")],
        &[("acceptd-at", "2199-01-01T00:00:00Z")],
        &[("acceptd-at", "2199-01-01T00:00:00Z"), ("acceptd-delay", "5s")],
        &[("acceptd-delay", "5s"), ("acceptd-at", "2026-01-01T00:00:00Z")],
        &[("acceptd-delay", "5s"), ("acceptd-delay", "5s")],
        &[("acceptd-priority", "101")],
        &[("acceptd-priority", "-101")],
        &[("acceptd-priority", "high")],
        &[("acceptd-priority", "300")],
        &[("idempotency-key", "")],
        &[("idempotency-key", "\"\"")],
        &[("idempotency-key", "\"open")],
        &[("idempotency-key", "a b")],
        &[("acceptd-owner", "a"), ("acceptd-owner", "b")],
    ] {
        let reply = api.event("test.echo", headers, "{}").await;
        reply.is_problem(400, "invalid-header");
    }
    let long = format!("\"{}\"", "k".repeat(256));
    api.event("test.echo", &[("idempotency-key", &long)], "{}").await.is_problem(400, "invalid-header");
    api.event("test.echo", &[("acceptd-owner", "")], "{}").await.is_problem(400, "invalid-request");
    api.event("test.echo", &[("acceptd-owner", &"o".repeat(256))], "{}").await.is_problem(400, "invalid-request");
    nothing_stored(&api).await;
}

#[tokio::test]
async fn unknown_things() {
    let api = Api::start().await;
    let unknown = "00000000-0000-7000-8000-000000000000";
    for path in ["operations", "deliveries"] {
        api.get(&format!("/v1/{path}/{unknown}")).await.is_problem(404, "not-found");
        api.get(&format!("/v1/{path}/nonsense")).await.is_problem(404, "not-found");
    }
    for part in ["result", "chain", "stream"] {
        api.get(&format!("/v1/operations/{unknown}/{part}")).await.is_problem(404, "not-found");
    }
    for path in [
        format!("/v1/operations/{unknown}/cancel"),
        format!("/v1/operations/{unknown}/retry"),
        format!("/v1/dead-letters/{unknown}/retry"),
        format!("/v1/dead-letters/{unknown}/discard"),
        format!("/v1/notifications/{unknown}/read"),
    ] {
        api.post(&path, &[], "").await.is_problem(404, "not-found");
    }
    let near = api.post("/v1/consumers/scriptd/pause", &[], "").await;
    near.is_problem(404, "not-found");
    assert!(near.json()["detail"].as_str().unwrap().contains("did you mean scripted?"));
    let fence = [("acceptd-fence", "1")];
    for call in ["heartbeat", "complete", "fail"] {
        api.post(&format!("/v1/deliveries/{unknown}/{call}"), &fence, "").await.is_problem(404, "not-found");
    }
}

#[tokio::test]
async fn routes_and_methods() {
    let api = Api::start().await;
    for path in ["/", "/v1", "/v1/nothing", "/v2/events", "/v1/operations/x/y", "/metrics", "/problems/nothing"] {
        api.get(path).await.is_problem(404, "no-such-route");
    }
    for (method, path, allow) in [
        (Method::DELETE, "/v1/events", "POST"),
        (Method::GET, "/v1/events/a", "POST"),
        (Method::PUT, "/v1/operations", "GET,HEAD"),
        (Method::POST, "/livez", "GET,HEAD"),
    ] {
        let reply = api.call(method, path, &[], "").await;
        reply.is_problem(405, "method-not-allowed");
        assert_eq!(reply.header("allow"), allow);
    }
}

#[tokio::test]
async fn sizes_of_address_and_headers() {
    let api = Api::start().await;
    let long = "x".repeat(8 << 10);
    api.get(&format!("/v1/operations?owner={long}")).await.is_problem(414, "uri-too-long");
    let huge = "x".repeat(32 << 10);
    api.get_with("/v1/operations", &[("x-huge", &huge)]).await.is_problem(431, "headers-too-large");
}

#[tokio::test]
async fn other_origins_change_nothing() {
    let api = Api::start().await;
    let evil = ("origin", "https://evil.example");
    api.post("/v1/consumers/scripted/pause", &[evil], "").await.is_problem(403, "cross-origin");
    api.post("/v1/consumers/scripted/pause", &[("origin", "null")], "").await.is_problem(403, "cross-origin");
    let own = ("origin", "http://api.test:8202");
    assert_eq!(api.post("/v1/consumers/scripted/pause", &[own], "").await.status, 200);
    assert_eq!(api.get_with("/v1/consumers", &[evil]).await.status, 200);
}

#[tokio::test]
async fn bad_queries() {
    let api = Api::start().await;
    let typo = api.get("/v1/operations?stauts=failed").await;
    typo.is_problem(400, "invalid-request");
    assert!(typo.json()["detail"].as_str().unwrap().contains("did you mean status?"));
    for query in ["status=done", "status=failed&status=failed", "pageSize=-1", "pageSize=many", "a=%FF"] {
        api.get(&format!("/v1/operations?{query}")).await.is_problem(400, "invalid-request");
    }
    for token in ["x", "%00", "AAAAAAAAAAAAAAAAAAAAAA", "!!!!"] {
        api.get(&format!("/v1/operations?pageToken={token}")).await.is_problem(400, "bad-page-token");
    }
}
