//! Calls from targets that answered 202.

use serde_json::json;

use crate::api::Api;

/// An event whose target took it over: operation, delivery, fence.
async fn taken_over(api: &Api) -> (String, String, String) {
    let id = api.event("test.over", &[], "{}").await.id();
    let path = format!("/v1/operations/{id}/chain");
    let held = |reply: &crate::api::Reply| reply.json()["events"][0]["deliveries"][0]["leaseUntil"].is_string();
    let chain = api.until(&path, held).await.json();
    let delivery = &chain["events"][0]["deliveries"][0];
    (id, delivery["id"].as_str().unwrap().to_owned(), delivery["fence"].to_string())
}

#[tokio::test]
async fn complete() {
    let api = Api::start().await;
    let (operation, id, fence) = taken_over(&api).await;
    let fence = ("acceptd-fence", fence.as_str());
    let call = |name: &str| format!("/v1/deliveries/{id}/{name}");
    let beat = api.post(&call("heartbeat"), &[fence], "{\"lease\":\"2m\"}").await;
    assert_eq!((beat.status.as_u16(), beat.json()), (200, json!({"applied": true})));
    let progress = api.post(&call("progress"), &[fence], "{\"done\":1,\"total\":4,\"message\":\"m\"}").await;
    assert_eq!(progress.json(), json!({"applied": true}));
    let monitor = api.get(&format!("/v1/operations/{operation}")).await.json();
    assert_eq!((&monitor["progress"]["percent"], &monitor["progress"]["message"]), (&json!(25), &json!("m")));
    let why = api.get(&format!("/v1/deliveries/{id}")).await.json();
    assert!(why["why"].as_str().unwrap().contains("must call by"), "{why}");

    let outcome = json!({"result": {"ok": 1}, "emit": [{"type": "next.step", "data": 5}]}).to_string();
    let headers = [fence, ("content-type", "application/vnd.acceptd.outcome+json")];
    assert_eq!(api.post(&call("complete"), &headers, outcome.clone()).await.json(), json!({"applied": true}));
    assert_eq!(api.post(&call("complete"), &headers, outcome).await.json(), json!({"applied": false}), "again");
    let done = api.get(&format!("/v1/operations/{operation}")).await.json();
    assert_eq!((&done["status"], &done["result"]), (&json!("succeeded"), &json!({"ok": 1})));
    let chain = api.get(&format!("/v1/operations/{operation}/chain")).await.json();
    let emitted = &chain["events"][1];
    assert_eq!((&emitted["type"], &emitted["data"], &emitted["depth"]), (&json!("next.step"), &json!(5), &json!(1)));
    assert_eq!(emitted["causationId"], chain["events"][0]["id"]);
}

#[tokio::test]
async fn fail_for_good_and_for_now() {
    let api = Api::start().await;
    let (operation, id, fence) = taken_over(&api).await;
    let body = "{\"code\":\"no-quota\",\"message\":\"no quota\",\"retry\":false,\"status\":409}";
    let headers = [("acceptd-fence", fence.as_str())];
    assert_eq!(api.post(&format!("/v1/deliveries/{id}/fail"), &headers, body).await.status, 200);
    api.get(&format!("/v1/operations/{operation}/result")).await.is_problem(409, "operation-failed");

    let (operation, id, fence) = taken_over(&api).await;
    let headers = [("acceptd-fence", fence.as_str())];
    let body = "{\"message\":\"busy\",\"retryAfter\":\"1h\"}";
    assert_eq!(api.post(&format!("/v1/deliveries/{id}/fail"), &headers, body).await.status, 200);
    let monitor = api.get(&format!("/v1/operations/{operation}")).await.json();
    assert_eq!((&monitor["status"], &monitor["waitingOn"][0]["gate"]), (&json!("running"), &json!("due-time")));
    assert!(monitor["waitingOn"][0]["message"].as_str().unwrap().contains("for attempt 2 of 2"), "{monitor}");
}

#[tokio::test]
async fn stale_and_canceled_calls_change_nothing() {
    let api = Api::start().await;
    let (operation, id, fence) = taken_over(&api).await;
    let call = |name: &str| format!("/v1/deliveries/{id}/{name}");
    let old = (fence.parse::<u64>().unwrap() - 1).to_string();
    for name in ["heartbeat", "complete", "fail"] {
        api.post(&call(name), &[("acceptd-fence", &old)], "").await.is_problem(409, "stale-fence");
    }
    api.post(&call("complete"), &[], "").await.is_problem(428, "fence-required");
    api.post(&call("complete"), &[("acceptd-fence", "x")], "").await.is_problem(400, "invalid-header");
    let fence = ("acceptd-fence", fence.as_str());
    api.post(&call("progress"), &[fence], "").await.is_problem(400, "malformed-json");
    api.post(&call("heartbeat"), &[fence], "{\"lease\":\"soon\"}").await.is_problem(400, "invalid-request");
    let outcome = [fence, ("content-type", "application/vnd.acceptd.outcome+json")];
    api.post(&call("complete"), &outcome, "{\"emits\":[]}").await.is_problem(400, "invalid-request");
    assert_eq!(api.post(&format!("/v1/operations/{operation}/cancel"), &[], "").await.status, 200);
    for name in ["heartbeat", "complete", "fail"] {
        api.post(&call(name), &[fence], "").await.is_problem(409, "canceled");
    }
}
