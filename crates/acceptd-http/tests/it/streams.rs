//! Server-sent events: snapshots, the end, and coming back.

use acceptd_http::HttpSettings;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::api::{Api, LONG};

/// A client of one stream.
struct Client {
    body: Body,
    text: String,
}

#[derive(Debug)]
struct Message {
    id: i64,
    event: String,
    data: Value,
}

impl Client {
    async fn open(api: &Api, path: &str, last: Option<i64>) -> Self {
        let mut request = Request::get(path).header("host", "api.test");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = api.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next block of lines; None at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let frame = tokio::time::timeout(LONG, self.body.frame()).await.expect("a stream went silent")?;
            self.text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    /// The next message; None at the end.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let (Some(id), Some(event), Some(data)) = (field("id: "), field("event: "), field("data: ")) else {
                continue;
            };
            let data = serde_json::from_str(data).unwrap();
            return Some(Message { id: id.parse().unwrap(), event: event.to_owned(), data });
        }
    }
}

async fn status_of(api: &Api, path: &str, last: i64) -> u16 {
    api.get_with(path, &[("last-event-id", &last.to_string())]).await.status.as_u16()
}

#[tokio::test]
async fn an_operation_to_its_end_and_back() {
    let api = Api::start().await;
    let id = api.event("test.gated", &[], "{}").await.id();
    let path = format!("/v1/operations/{id}/stream");
    let mut client = Client::open(&api, &path, None).await;
    assert_eq!(client.block().await.unwrap(), "retry: 2000");
    let first = client.next().await.unwrap();
    assert_eq!((first.event.as_str(), first.data["id"].as_str()), ("operation", Some(id.as_str())));
    let mut seen = vec![first];
    while seen.last().unwrap().data["status"] != "running" {
        seen.push(client.next().await.unwrap());
    }
    let middle = seen.last().unwrap().id;
    // Another client that has seen this much gets only what follows.
    let mut late = Client::open(&api, &path, Some(middle)).await;
    api.gate.add_permits(1);
    for client in [&mut client, &mut late] {
        let last = client.next().await.unwrap();
        assert_eq!((last.event.as_str(), &last.data["status"]), ("operation", &Value::from("succeeded")));
        let end = client.next().await.unwrap();
        assert_eq!(end.event, "end");
        assert!(client.next().await.is_none(), "closed after the end");
        assert!(middle < last.id && last.id < end.id);
        assert_eq!(status_of(&api, &path, end.id).await, 204, "nothing more to come back for");
        // Whoever lost the stream between the two still gets the end.
        let mut again = Client::open(&api, &path, Some(last.id)).await;
        assert_eq!(again.next().await.unwrap().event, "end");
    }
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id), "ids ascend");
    let mut fresh = Client::open(&api, &path, None).await;
    assert_eq!(fresh.next().await.unwrap().data["status"], "succeeded");
    assert_eq!(fresh.next().await.unwrap().event, "end");
}

#[tokio::test]
async fn a_retried_operation_streams_again() {
    let api = Api::start().await;
    let id = api.ended("test.fail", "{}").await;
    let path = format!("/v1/operations/{id}/stream");
    let mut client = Client::open(&api, &path, None).await;
    assert_eq!(client.next().await.unwrap().data["status"], "failed");
    let end = client.next().await.unwrap();
    assert_eq!(status_of(&api, &path, end.id).await, 204);
    assert_eq!(api.post(&format!("/v1/operations/{id}/retry"), &[], "").await.status, 200);
    let mut again = Client::open(&api, &path, Some(end.id)).await;
    loop {
        let message = again.next().await.unwrap();
        assert!(message.id > end.id);
        if message.event == "end" {
            break;
        }
    }
}

#[tokio::test]
async fn streams_are_counted_and_show_that_they_live() {
    let heartbeat = std::time::Duration::from_millis(1);
    let http = HttpSettings { streams_max: 1, heartbeat, ..HttpSettings::default() };
    let api = Api::with(http, acceptd::Settings::default()).await;
    let id = api.event("test.gated", &[], "{}").await.id();
    let path = format!("/v1/operations/{id}/stream");
    let mut client = Client::open(&api, &path, None).await;
    while client.block().await.unwrap() != ": heartbeat" {}
    api.get(&path).await.is_problem(503, "too-many-streams");
    api.get("/v1/notifications/stream").await.is_problem(503, "too-many-streams");
    drop(client);
    Client::open(&api, &path, None).await;
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let api = Api::start().await;
    let id = api.event("lonely.event", &[], "{}").await.id();
    let mut operation = Client::open(&api, &format!("/v1/operations/{id}/stream"), None).await;
    let mut inbox = Client::open(&api, "/v1/notifications/stream", None).await;
    assert_eq!(operation.next().await.unwrap().event, "operation");
    api.engine.shut_down(LONG).await;
    assert!(operation.next().await.is_none() && inbox.next().await.is_none());
}

#[tokio::test]
async fn notifications_as_they_come() {
    let api = Api::start().await;
    let tell = async |owner: &str| {
        let headers = [("acceptd-owner", owner), ("prefer", "wait=20")];
        assert_eq!(api.event("test.nothing", &headers, "{}").await.status, 200);
    };
    tell("anna").await;
    let mut client = Client::open(&api, "/v1/notifications/stream?owner=anna", None).await;
    assert_eq!(client.block().await.unwrap(), "retry: 2000");
    tell("ben").await;
    tell("anna").await;
    let first = client.next().await.unwrap();
    assert_eq!((first.event.as_str(), &first.data["owner"]), ("notification", &Value::from("anna")));
    tell("anna").await;
    let second = client.next().await.unwrap();
    drop(client);
    tell("anna").await;
    let mut again = Client::open(&api, "/v1/notifications/stream?owner=anna", Some(first.id)).await;
    assert_eq!(again.next().await.unwrap().data, second.data, "what was missed comes first");
    assert!(again.next().await.unwrap().id > second.id);
}
