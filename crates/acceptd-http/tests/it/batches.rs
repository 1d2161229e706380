//! Many items in one request: one operation, accepted whole or not at all, and what became of each.

use serde_json::{Value, json};

use crate::api::Api;

async fn items(api: &Api, id: &str, query: &str) -> Value {
    let reply = api.get(&format!("/v1/operations/{id}/items{query}")).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    reply.json()
}

#[tokio::test]
async fn items_are_one_operation_with_an_event_each() {
    let api = Api::start().await;
    let reply = api.event("test.echo2", &[("prefer", "wait=20")], r#"{"items":[{"n":1},{"n":2},3]}"#).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(reply.json()["progress"]["total"], 6, "each item goes to two consumers");
    let items = items(&api, &reply.id(), "").await;
    let seen: Vec<_> = items["items"].as_array().unwrap().iter().map(|item| item["result"]["other"].clone()).collect();
    assert_eq!(seen, [json!({"n": 1}), json!({"n": 2}), json!(3)]);
    assert_eq!(items["items"][2]["index"], 2);
    assert_eq!(items["items"][2]["state"], "succeeded");
    assert_eq!(items["items"][0]["deliveries"][0]["attempt"], 1);
    assert_eq!(items["nextPageToken"], json!(null));
}

#[tokio::test]
async fn items_that_fail_are_named_and_only_they_are_retried() {
    let api = Api::start().await;
    let events: Vec<_> = ["test.echo", "test.fail", "test.echo"]
        .iter()
        .enumerate()
        .map(|(at, kind)| json!({"specversion": "1.0", "type": kind, "source": "/s", "id": at.to_string(), "data": at}))
        .collect();
    let headers = [("content-type", "application/cloudevents-batch+json"), ("prefer", "wait=20")];
    let reply = api.post("/v1/events", &headers, json!(events).to_string()).await;
    let (id, body) = (reply.id(), reply.json());
    assert_eq!((&body["status"], &body["progress"]["failed"]), (&json!("failed"), &json!(1)));
    let failed = items(&api, &id, "?state=failed").await;
    assert_eq!(failed["items"].as_array().unwrap().len(), 1);
    let item = &failed["items"][0];
    assert_eq!((&item["index"], &item["id"], &item["type"]), (&json!(1), &json!("1"), &json!("test.fail")));
    assert_eq!(item["error"]["message"], "the part is broken");
    assert_eq!(item["deliveries"][0]["error"]["code"], "broken");
    assert_eq!(api.post(&format!("/v1/operations/{id}/retry"), &[], "").await.status, 200);
    let path = format!("/v1/operations/{id}");
    api.until(&path, |reply| reply.json()["status"] == "failed").await;
    let chain = api.get(&format!("{path}/chain")).await.json();
    let attempts = |at: usize| chain["events"][at]["deliveries"][0]["attempts"].as_array().unwrap().len();
    assert_eq!((attempts(0), attempts(1), attempts(2)), (1, 2, 1));
}

#[tokio::test]
async fn the_rest_of_a_batch_can_be_canceled() {
    let api = Api::start().await;
    let batch: Vec<_> = (0..5).map(|n| json!({"region": "eu", "n": n})).collect();
    let id = api.event("limited.work", &[], &json!({ "items": batch }).to_string()).await.id();
    api.gate.add_permits(1);
    api.until(&format!("/v1/operations/{id}"), |reply| reply.json()["progress"]["done"] == 1).await;
    let reply = api.post(&format!("/v1/operations/{id}/cancel"), &[], "").await;
    assert_eq!(reply.json()["status"], "canceled");
    let all = items(&api, &id, "").await;
    let states: Vec<_> = all["items"].as_array().unwrap().iter().map(|item| item["state"].clone()).collect();
    assert_eq!(states, ["succeeded", "canceled", "canceled", "canceled", "canceled"]);
}

#[tokio::test]
async fn pages_of_items_follow_each_other_also_in_one_state() {
    let api = Api::start().await;
    let batch: Vec<_> = (0..7).collect();
    let reply = api.event("test.echo2", &[("prefer", "wait=20")], &json!({ "items": batch }).to_string()).await;
    let id = reply.id();
    for state in ["", "&state=succeeded"] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = items(&api, &id, &format!("?pageSize=3&pageToken={token}{state}")).await;
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["index"].as_u64().unwrap()));
            let Some(next) = page["nextPageToken"].as_str() else { break };
            next.clone_into(&mut token);
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6], "{state}");
    }
    assert_eq!(items(&api, &id, "?state=failed").await["items"], json!([]));
    // A page that is full in the midst of what the store gave goes on right there.
    let kinds: Vec<_> = (0..9).map(|at| if at % 3 == 0 { "test.echo" } else { "test.fail" }).collect();
    let events = (0..).zip(&kinds).map(
        |(at, kind)| json!({"specversion": "1.0", "type": kind, "source": "/pages", "id": at.to_string(), "data": at}),
    );
    let batch = ("content-type", "application/cloudevents-batch+json");
    let body = Value::from_iter(events).to_string();
    let mixed = api.post("/v1/events", &[batch, ("prefer", "wait=20")], body).await.id();
    let (mut failed, mut token) = (Vec::new(), String::new());
    loop {
        let page = items(&api, &mixed, &format!("?pageSize=4&state=failed&pageToken={token}")).await;
        failed.extend(page["items"].as_array().unwrap().iter().map(|item| item["index"].as_u64().unwrap()));
        let Some(next) = page["nextPageToken"].as_str() else { break };
        next.clone_into(&mut token);
    }
    assert_eq!(failed, [1, 2, 4, 5, 7, 8]);
    api.get(&format!("/v1/operations/{id}/items?state=well")).await.is_problem(400, "invalid-request");
    let nil = "00000000-0000-0000-0000-000000000000";
    api.get(&format!("/v1/operations/{nil}/items")).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_batch_is_refused_whole_with_every_mistake() {
    let api = Api::start().await;
    let body = r#"{"items":[{"region":"eu"},{"zone":"a"},{"region":["eu"]}]}"#;
    let reply = api.event("limited.work", &[], body).await;
    reply.is_problem(422, "invalid-data");
    let consumer = "consumer limited: the key of limit cloud-api:";
    let errors = json!([
        {"pointer": "#/items/1/region", "detail": format!("{consumer} /region finds nothing in the data")},
        {"pointer": "#/items/2/region",
            "detail": format!("{consumer} /region finds an array, and a key is a text, a number or a boolean")},
    ]);
    assert_eq!(reply.json()["errors"], errors);
    assert!(reply.json()["detail"].as_str().unwrap().starts_with("2 of 3 events are wrong; the first is event 1: "));
    assert_eq!(api.get("/v1/operations").await.json()["items"], json!([]), "nothing was stored");
    api.event("limited.work", &[], r#"{"items":[]}"#).await.is_problem(400, "invalid-event");
    let many = json!({ "items": vec![0; 10_001] }).to_string();
    api.event("test.echo", &[], &many).await.is_problem(413, "content-too-large");
}

#[tokio::test]
async fn a_single_event_says_where_its_key_is_missing() {
    let api = Api::start().await;
    let reply = api.event("limited.work", &[], r#"{"zone":"a"}"#).await;
    reply.is_problem(422, "invalid-data");
    let detail = "consumer limited: the key of limit cloud-api: /region finds nothing in the data";
    assert_eq!(reply.json()["detail"], detail);
    assert_eq!(reply.json()["errors"], json!([{"pointer": "#/region", "detail": detail}]));
    let event = json!({"specversion": "1.0", "type": "limited.work", "source": "/s", "id": "1", "data": {}});
    let headers = [("content-type", "application/cloudevents+json")];
    let reply = api.post("/v1/events", &headers, event.to_string()).await;
    assert_eq!(reply.is_problem(422, "invalid-data").json()["errors"][0]["pointer"], "#/data/region");
}

#[tokio::test]
async fn what_is_no_batch_is_data() {
    let api = Api::start().await;
    for body in [r#"{"items":[1],"more":1}"#, r#"{"items":1}"#] {
        let reply = api.event("test.nothing", &[], body).await;
        assert_eq!(reply.json()["progress"]["total"], 1, "{body}");
    }
    let reply = api.event("test.whole", &[], r#"{"items":[1,2]}"#).await;
    assert_eq!(reply.json()["progress"]["total"], 1, "the type was declared so");
}

#[tokio::test]
async fn ten_thousand_items_are_one_request_of_more_than_a_mebibyte() {
    let api = Api::start().await;
    let text = "x".repeat(150);
    let batch: Vec<_> = (0..10_000).map(|n| json!({"region": "eu", "n": n, "text": text})).collect();
    let reply = api.event("limited.work", &[], &json!({ "items": batch }).to_string()).await;
    assert_eq!(reply.status, 202, "{:?}", reply.body);
    let id = reply.id();
    let path = format!("/v1/operations/{id}");
    let monitor = api.until(&path, |reply| reply.json()["waitingOn"][0]["gate"] == "lock").await.json();
    assert_eq!(monitor["progress"]["total"], 10_000);
    assert_eq!(monitor["waitingOn"].as_array().unwrap().len(), 1, "all but one wait for the same");
    assert_eq!(monitor["waitingOn"][0]["count"], 9_999);
    // Plain data of this size is refused.
    let large = json!({"region": "eu", "text": "x".repeat(2 << 20)}).to_string();
    api.event("limited.work", &[], &large).await.is_problem(413, "content-too-large");
    let large = json!({"items": "x".repeat(2 << 20)}).to_string();
    api.event("limited.work", &[], &large).await.is_problem(413, "content-too-large");
}
