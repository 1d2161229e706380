//! The API within an axum application, whose own handlers accept events.

use std::sync::Arc;

use acceptd::store::memory::MemoryStore;
use acceptd::{Acceptd, Done, Event, Outcome, consumer};
use acceptd_http::{Accepted, Api, FrontDoor, HttpSettings, Refusal};
use axum::body::Body;
use axum::extract::FromRef;
use axum::routing::post;
use axum::{Json, Router};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Event, Serialize, Deserialize)]
#[event("ec2.start", no_schema)]
struct StartEc2 {
    ami: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("nobody.knows", no_schema)]
struct Unknown {}

#[consumer]
async fn start_ec2(event: StartEc2) -> Outcome {
    Done::with(serde_json::json!({ "id": format!("i-{}", event.ami) }))
}

/// An application's state, of which the API is a part.
#[derive(Clone)]
struct Shop {
    api: Api,
    team: &'static str,
}

impl FromRef<Shop> for Api {
    fn from_ref(shop: &Shop) -> Self {
        shop.api.clone()
    }
}

async fn start_machine(
    axum::extract::State(shop): axum::extract::State<Shop>,
    front: FrontDoor,
    Json(body): Json<StartEc2>,
) -> Result<Accepted<StartEc2>, Refusal> {
    front.accept(body).owner(shop.team).priority(3).await
}

async fn unknown(front: FrontDoor) -> Result<Accepted<Unknown>, Refusal> {
    front.accept(Unknown {}).await
}

async fn application() -> Router {
    let engine = Acceptd::new(Arc::new(MemoryStore::default())).consumer(start_ec2::consumer()).start().await.unwrap();
    let api = Api::new(engine, HttpSettings { mounted_at: "/acceptd".into(), ..HttpSettings::default() });
    Router::new()
        .route("/machines", post(start_machine))
        .route("/unknown", post(unknown))
        .nest("/acceptd", api.router())
        .with_state(Shop { api, team: "ops" })
}

struct Reply {
    status: StatusCode,
    headers: http::HeaderMap,
    json: Value,
}

async fn call(app: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header("host", "shop.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = TowerToHyperService::new(app.clone()).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Reply { status: parts.status, headers: parts.headers, json }
}

const MACHINE: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_handler_answers_202_with_all_headers() {
    let app = application().await;
    let key = ("idempotency-key", "\"k-1\"");
    let reply = call(&app, "POST", "/machines", &[MACHINE, key], r#"{"ami":"a1"}"#).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.json);
    let id = reply.json["id"].as_str().unwrap().to_owned();
    let header = |name: &str| reply.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("location"), format!("http://shop.test/acceptd/v1/operations/{id}/result"));
    assert_eq!(header("operation-location"), format!("http://shop.test/acceptd/v1/operations/{id}"));
    assert_eq!(header("content-location"), format!("/acceptd/v1/operations/{id}"));
    assert!(header("retry-after").parse::<u64>().is_ok());
    assert_eq!((reply.json["owner"].as_str(), reply.json["type"].as_str()), (Some("ops"), Some("ec2.start")));
    let waited = ("prefer", "wait=20");
    let monitor = call(&app, "GET", &format!("/acceptd/v1/operations/{id}"), &[waited], "").await;
    assert_eq!((monitor.status, monitor.json["status"].as_str()), (StatusCode::OK, Some("succeeded")));
    let again = call(&app, "POST", "/machines", &[MACHINE, key], r#"{"ami":"a1"}"#).await;
    assert_eq!(
        (again.json["id"].as_str(), again.headers["idempotent-replayed"].to_str().unwrap()),
        (Some(id.as_str()), "true")
    );
    let other = call(&app, "POST", "/machines", &[MACHINE, key], r#"{"ami":"a2"}"#).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_caller_may_prefer_to_wait_and_may_not_say_who_it_is() {
    let app = application().await;
    let headers = [MACHINE, ("prefer", "wait=20"), ("acceptd-owner", "somebody-else"), ("acceptd-delay", "1h")];
    let reply = call(&app, "POST", "/machines", &headers, r#"{"ami":"a1"}"#).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(reply.headers["preference-applied"].to_str().unwrap(), "wait=20");
    assert_eq!((reply.json["owner"].as_str(), reply.json["result"]["id"].as_str()), (Some("ops"), Some("i-a1")));
}

#[tokio::test]
async fn a_refusal_is_a_problem() {
    let app = application().await;
    let reply = call(&app, "POST", "/unknown", &[], "").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.json["type"].as_str(), Some("http://shop.test/acceptd/problems/unknown-event-type"));
    let wrong = call(&app, "POST", "/machines", &[MACHINE, ("idempotency-key", "\"open")], r#"{"ami":"a1"}"#).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.json);
}
