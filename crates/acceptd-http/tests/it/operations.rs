//! Monitor, result, cancel, retry, and the list.

use serde_json::json;

use crate::api::Api;

#[tokio::test]
async fn a_success() {
    let api = Api::start().await;
    let id = api.ended("test.teapot2", "{}").await;
    assert_eq!(api.get(&format!("/v1/operations/{id}")).await.json()["error"]["code"], "what", "no script for it");

    let id = api.ended("test.nothing", "{}").await;
    let monitor = api.get(&format!("/v1/operations/{id}")).await;
    let body = monitor.json();
    assert_eq!((&body["status"], &body["done"], &body["error"]), (&json!("succeeded"), &json!(true), &json!(null)));
    assert_eq!(body["progress"], json!({"total": 1, "done": 1, "failed": 0, "percent": 100, "message": null}));
    assert_eq!(body["resourceLocation"], body["links"]["result"]);
    assert!(!monitor.headers.contains_key("retry-after"));
    assert_eq!(monitor.header("cache-control"), "private, no-cache");
    assert_eq!(monitor.header("vary"), "Prefer");
    let result = api.get(&format!("/v1/operations/{id}/result")).await;
    assert_eq!((result.status.as_u16(), result.body.len()), (204, 0));
}

#[tokio::test]
async fn results_of_one_and_of_several_consumers() {
    let api = Api::start().await;
    api.gate.add_permits(1);
    let one = api.ended("test.gated", "{ \"a\" : 1 }").await;
    let result = api.get(&format!("/v1/operations/{one}/result")).await;
    assert_eq!((result.status.as_u16(), result.header("content-type")), (200, "application/json"));
    assert_eq!(result.body, "{ \"a\" : 1 }", "the bytes as they came");
    assert_eq!(result.header("x-content-type-options"), "nosniff");
    assert_eq!(api.get(&format!("/v1/operations/{one}")).await.json()["result"], json!({"a": 1}));

    let several = api.ended("test.echo", "[7]").await;
    let result = api.get(&format!("/v1/operations/{several}/result")).await;
    assert_eq!(result.json(), json!({"other": [7], "scripted": [7]}));

    let event = |id: u8| {
        let data = json!({ "n": id });
        json!({"specversion": "1.0", "type": "test.gated", "source": "/s", "id": id.to_string(), "data": data})
    };
    api.gate.add_permits(2);
    let headers = [("content-type", "application/cloudevents-batch+json"), ("prefer", "wait=20")];
    let batch = api.post("/v1/events", &headers, json!([event(1), event(2)]).to_string()).await;
    assert_eq!(batch.json()["result"], json!({"scripted": [{"n": 1}, {"n": 2}]}), "in the order of the events");
}

#[tokio::test]
async fn a_result_that_is_not_json() {
    let api = Api::start().await;
    api.gate.add_permits(1);
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-type", "test.gated"),
        ("ce-source", "/s"),
        ("ce-id", "1"),
        ("content-type", "image/png"),
        ("prefer", "wait=20"),
    ];
    let reply = api.post("/v1/events", &headers, b"\x89PNG\xff".to_vec()).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["result"]), (200, &json!(null)));
    let result = api.get(&format!("/v1/operations/{}/result", reply.id())).await;
    assert_eq!((result.header("content-type"), result.body.as_ref()), ("image/png", b"\x89PNG\xff".as_slice()));
}

#[tokio::test]
async fn a_failure() {
    let api = Api::start().await;
    let id = api.ended("test.fail", "{}").await;
    let body = api.get(&format!("/v1/operations/{id}")).await.json();
    let error = &body["error"];
    assert_eq!((&body["status"], &body["resourceLocation"]), (&json!("failed"), &json!(null)));
    assert_eq!((&error["code"], &error["message"]), (&json!("broken"), &json!("the part is broken")));
    assert_eq!((&error["status"], &error["title"]), (&json!(500), &json!("The operation failed")));
    let result = api.get(&format!("/v1/operations/{id}/result")).await;
    result.is_problem(500, "operation-failed");
    assert_eq!(result.json()["code"], "broken");
    let id = api.ended("test.teapot", "{}").await;
    api.get(&format!("/v1/operations/{id}/result")).await.is_problem(418, "operation-failed");
}

#[tokio::test]
async fn result_while_it_runs_and_after_a_cancel() {
    let api = Api::start().await;
    let id = api.event("test.gated", &[], "{}").await.id();
    let path = format!("/v1/operations/{id}/result");
    let pending = api.get(&path).await;
    assert_eq!((pending.status.as_u16(), pending.header("retry-after")), (202, "2"));
    assert_eq!(pending.json()["id"], id.as_str());
    assert_eq!(pending.header("content-location"), format!("/v1/operations/{id}"));

    let canceled = api.post(&format!("/v1/operations/{id}/cancel"), &[], "").await;
    assert_eq!((canceled.status.as_u16(), &canceled.json()["status"]), (200, &json!("canceled")));
    api.get(&path).await.is_problem(410, "operation-canceled");
    api.post(&format!("/v1/operations/{id}/cancel"), &[], "").await.is_problem(409, "conflict");
    api.post(&format!("/v1/operations/{id}/retry"), &[], "").await.is_problem(409, "conflict");
}

#[tokio::test]
async fn entity_tags_and_waiting() {
    let api = Api::start().await;
    let id = api.event("test.gated", &[], "{}").await.id();
    let path = format!("/v1/operations/{id}");
    let seen = api.until(&path, |reply| reply.json()["status"] == "running").await;
    let tag = seen.header("etag").to_owned();
    assert!(tag.starts_with("W/\"") && tag.ends_with('"') && tag.len() > 10);
    for known in [tag.clone(), tag.replace("W/", ""), format!("\"x\", {tag}"), "*".to_owned()] {
        let same = api.get_with(&path, &[("if-none-match", &known)]).await;
        assert_eq!((same.status.as_u16(), same.body.len(), same.header("etag")), (304, 0, tag.as_str()));
    }
    assert_eq!(api.get_with(&path, &[("if-none-match", "\"x\"")]).await.status, 200);

    let short = api.get_with(&path, &[("prefer", "wait=1"), ("if-none-match", &tag)]).await;
    assert_eq!(short.status, 304, "nothing changed in time");
    let waiting = tokio::spawn({
        let (api, path) = (api.clone(), path.clone());
        async move { api.get_with(&path, &[("prefer", "wait=20")]).await }
    });
    let changed = tokio::spawn({
        let (api, path) = (api.clone(), path.clone());
        async move { api.get_with(&path, &[("prefer", "wait=20"), ("if-none-match", &tag)]).await }
    });
    api.gate.add_permits(1);
    for reply in [waiting.await.unwrap(), changed.await.unwrap()] {
        assert_eq!((reply.status.as_u16(), reply.header("preference-applied")), (200, "wait=20"));
        assert_eq!(reply.json()["status"], "succeeded");
    }
}

#[tokio::test]
async fn the_chain_has_everything() {
    let api = Api::start().await;
    let id = api.ended("test.unscripted", "{\"deep\":{\"big\":12345678901234567890}}").await;
    let reply = api.get(&format!("/v1/operations/{id}/chain")).await;
    let text = std::str::from_utf8(&reply.body).unwrap();
    assert!(text.contains("\"data\":{\"deep\":{\"big\":12345678901234567890}}"), "data stays as it came: {text}");
    let chain = reply.json();
    assert_eq!((&chain["operation"], &chain["status"]), (&json!(id), &json!("failed")));
    let delivery = &chain["events"][0]["deliveries"][0];
    assert_eq!((&delivery["consumer"], &delivery["state"]), (&json!("scripted"), &json!("dead")));
    let attempts = delivery["attempts"].as_array().unwrap();
    let endings: Vec<_> = attempts.iter().map(|attempt| (&attempt["number"], &attempt["ending"])).collect();
    assert_eq!(endings, [(&json!(1), &json!("retry")), (&json!(2), &json!("dead"))]);
    assert_eq!(attempts[0]["error"]["code"], "what");
    assert!(attempts.iter().all(|attempt| attempt["waits"].is_array()));
}

#[tokio::test]
async fn lists_and_their_pages() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let owner = if n % 2 == 0 { "even" } else { "odd" };
        ids.push(api.event("lonely.event", &[("acceptd-owner", owner)], "{}").await.id());
    }
    let failed = api.ended("test.fail", "{}").await;
    let of = |list: &serde_json::Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/operations?pageSize=2&type=lonely.event&pageToken={token}")).await.json();
        assert!(of(&page).len() <= 2);
        seen.extend(of(&page));
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    ids.reverse();
    assert_eq!(seen, ids, "newest first, each once");
    // A token is good for its own list and filters only.
    for path in ["operations?type=test.fail", "operations?owner=even", "operations?status=queued", "dead-letters?"] {
        api.get(&format!("/v1/{path}&pageToken={token}")).await.is_problem(400, "bad-page-token");
    }
    let odd = api.get("/v1/operations?owner=odd&status=queued").await.json();
    assert_eq!(of(&odd).len(), 2);
    let list = api.get("/v1/operations?status=failed&pageSize=100000").await.json();
    assert_eq!(of(&list), [failed]);
    assert_eq!(list["items"][0]["error"]["code"], "broken");
    assert_eq!(of(&api.get("/v1/operations?owner=nobody").await.json()).len(), 0);
}
