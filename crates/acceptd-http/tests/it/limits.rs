//! `/v1/limits`, and why something waits for one.

use serde_json::{Value, json};

use crate::api::Api;

async fn limit(api: &Api, name: &str) -> Value {
    api.get(&format!("/v1/limits/{name}")).await.json()
}

#[tokio::test]
async fn a_limit_says_where_it_stands() {
    let api = Api::start().await;
    let first = api.event("limited.work", &[], r#"{"region":"eu"}"#).await.id();
    api.until(&format!("/v1/operations/{first}"), |reply| reply.json()["status"] == "running").await;
    let second = api.event("limited.work", &[], r#"{"region":"eu"}"#).await.id();
    let other = api.event("limited.work", &[], r#"{"region":"us"}"#).await.id();
    api.until(&format!("/v1/operations/{other}"), |reply| reply.json()["status"] == "running").await;
    let path = format!("/v1/operations/{second}");
    let waiting = api.until(&path, |reply| reply.json()["waitingOn"][0]["gate"] == "lock").await.json();
    let waiting = &waiting["waitingOn"][0];
    let said = format!("waits for lock cloud-api of eu, held by operation {first} (limited): next in line");
    assert_eq!(waiting["message"], said);
    assert_eq!(
        (&waiting["name"], &waiting["key"], &waiting["position"]),
        (&json!("cloud-api"), &json!("eu"), &json!(0))
    );
    assert_eq!((&waiting["holder"]["operation"], &waiting["holder"]["consumer"]), (&json!(first), &json!("limited")));

    let seen = limit(&api, "cloud-api").await;
    assert_eq!((&seen["concurrency"], &seen["rate"], &seen["lock"]), (&json!(1), &json!(null), &json!(true)));
    assert_eq!((&seen["inUse"], &seen["waiting"], &seen["consumers"]), (&json!(2), &json!(1), &json!(["limited"])));
    assert_eq!(seen["message"], "lock cloud-api (1 at a time): 2 in use, 1 waiting");
    let keys: Vec<_> = seen["keys"].as_array().unwrap().iter().map(|key| key["key"].clone()).collect();
    assert_eq!(keys, ["eu", "us"]);
    assert_eq!(seen["keys"][0]["holders"][0]["operation"], json!(first));
    let chain = api.get(&format!("{path}/chain")).await.json();
    let wait = &chain["events"][0]["deliveries"][0]["waits"][0];
    assert_eq!((&wait["gate"], &wait["limit"]), (&json!("lock"), &json!("cloud-api")));
    let all = api.get("/v1/limits").await.json();
    let names: Vec<_> = all["items"].as_array().unwrap().iter().map(|limit| limit["name"].clone()).collect();
    assert_eq!(names, ["cloud-api", "slow"]);
}

#[tokio::test]
async fn a_limit_is_paused_and_resumed_as_a_whole_or_by_key() {
    let api = Api::start().await;
    let json_type = ("content-type", "application/json");
    let by = ("acceptd-owner", "ops");
    let body = r#"{"key":"eu","reason":"maintenance"}"#;
    let paused = api.post("/v1/limits/cloud-api/pause", &[json_type, by], body).await;
    assert_eq!(paused.status, 200, "{:?}", paused.body);
    let key = &paused.json()["keys"][0];
    assert_eq!((&key["key"], &key["pause"]["by"], &key["pause"]["until"]), (&json!("eu"), &json!("ops"), &json!(null)));
    assert_eq!(paused.json()["paused"], false, "only the key is");

    let held = api.event("limited.work", &[], r#"{"region":"eu"}"#).await.id();
    let free = api.event("limited.work", &[], r#"{"region":"us"}"#).await.id();
    api.until(&format!("/v1/operations/{free}"), |reply| reply.json()["status"] == "running").await;
    let path = format!("/v1/operations/{held}");
    let monitor = api.get(&path).await.json();
    assert_eq!(monitor["waitingOn"][0]["message"], "waits for lock cloud-api of eu, which ops paused: maintenance");

    let whole = api.post("/v1/limits/cloud-api/pause", &[], "").await.json();
    assert_eq!((&whole["paused"], &whole["pause"]["by"]), (&json!(true), &json!("someone")));
    let resumed = api.post("/v1/limits/cloud-api/resume", &[], "").await.json();
    assert_eq!((&resumed["paused"], &resumed["keys"][0]["paused"]), (&json!(false), &json!(false)), "keys, too");
    api.until(&path, |reply| reply.json()["status"] == "running").await;
}

#[tokio::test]
async fn a_limit_is_changed_and_the_change_taken_back() {
    let api = Api::start().await;
    let changed = api.patch("/v1/limits/slow", r#"{"rate":"5/s","concurrency":3}"#).await;
    assert_eq!(changed.status, 200, "{:?}", changed.body);
    let changed = changed.json();
    assert_eq!((&changed["rate"], &changed["concurrency"]), (&json!("5/s"), &json!(3)));
    assert_eq!((&changed["declared"]["rate"], &changed["change"]["by"]), (&json!("1/h"), &json!("ops")));
    let lifted = api.patch("/v1/limits/slow", r#"{"rate":null}"#).await.json();
    assert_eq!((&lifted["rate"], &lifted["concurrency"]), (&json!(null), &json!(3)), "what is not said stays");
    let reset = api.post("/v1/limits/slow/reset", &[], "").await.json();
    assert_eq!((&reset["rate"], &reset["concurrency"], &reset["change"]), (&json!("1/h"), &json!(null), &json!(null)));
}

#[tokio::test]
async fn mistakes_are_named() {
    let api = Api::start().await;
    api.get("/v1/limits/clod-api").await.is_problem(404, "not-found");
    let detail = api.post("/v1/limits/clod-api/pause", &[], "").await.json()["detail"].clone();
    assert_eq!(detail, "there is no limit clod-api; did you mean cloud-api?");
    for (body, said) in [
        ("{}", "neither rate nor concurrency"),
        (r#"{"rate":"0/s"}"#, "rate"),
        (r#"{"rate":"99999999999/s"}"#, "rate"),
        (r#"{"rate":"soon"}"#, "soon"),
        (r#"{"concurrency":0}"#, "concurrency must be from 1"),
        (r#"{"burst":1}"#, "unknown field"),
    ] {
        let reply = api.patch("/v1/limits/slow", body).await;
        let detail = reply.is_problem(400, "invalid-request").json()["detail"].clone();
        assert!(detail.as_str().unwrap().contains(said), "{body}: {detail}");
    }
    let past = r#"{"until":"2001-01-01T00:00:00Z"}"#;
    api.post("/v1/limits/slow/pause", &[], past).await.is_problem(400, "invalid-request");
}

#[tokio::test]
async fn the_estimate_and_retry_after_follow_the_rate() {
    let api = Api::start().await;
    // The first one tells how long they take.
    api.ended("paced.work", "1").await;
    let reply = api.event("paced.work", &[], r#"{"items":[1,2,3]}"#).await;
    let path = format!("/v1/operations/{}", reply.id());
    let monitor = api.until(&path, |reply| reply.json()["waitingOn"][0]["gate"] == "limit").await;
    assert_eq!(monitor.header("retry-after"), "60", "the most");
    let body = monitor.json();
    let hours = |name: &str| -> f64 {
        let at = |text: &Value| text.as_str().unwrap().parse::<acceptd::Timestamp>().unwrap();
        at(&body[name]).since(at(&body["createTime"])).as_secs_f64() / 3_600.0
    };
    assert!((2.9..3.2).contains(&hours("estimatedEndTime")), "{body}");
    let said = body["waitingOn"][0]["message"].as_str().unwrap();
    assert!(said.starts_with("waits for limit slow (1/h): next in line, about "), "{said}");
}

#[tokio::test]
async fn a_monitor_is_the_same_while_nothing_happens() {
    let api = Api::start().await;
    let body = r#"{"region":"eu"}"#;
    api.gate.add_permits(1);
    api.ended("limited.work", body).await;
    let runs = api.event("limited.work", &[], body).await.id();
    api.until(&format!("/v1/operations/{runs}"), |reply| reply.json()["status"] == "running").await;
    let path = format!("/v1/operations/{}", api.event("limited.work", &[], body).await.id());
    let first = api.until(&path, |reply| reply.json()["waitingOn"][0]["gate"] == "lock").await;
    let tag = first.header("etag").to_owned();
    let start = std::time::Instant::now();
    let again = loop {
        let again = api.get_with(&path, &[("if-none-match", &tag)]).await;
        // As soon as the estimate is another one.
        if api.get(&path).await.json()["estimatedEndTime"] != first.json()["estimatedEndTime"] {
            break again;
        }
        assert!(start.elapsed() < crate::api::LONG);
    };
    assert_eq!(again.status, 304, "the estimate moves on, and nothing has happened");
    let waited = api.get_with(&path, &[("if-none-match", &tag), ("prefer", "wait=1")]).await;
    assert_eq!(waited.status, 304);
    api.post(&format!("{path}/cancel"), &[], "").await;
    assert_eq!(api.get_with(&path, &[("if-none-match", &tag)]).await.status, 200);
}
