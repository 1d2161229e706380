//! `GET /v1/catalog`.

use serde_json::Value;

use crate::api::Api;

fn edge<'a>(catalog: &'a Value, kind: &str, consumer: Option<&str>, event: &str) -> &'a Value {
    let edges = catalog["edges"].as_array().unwrap();
    let is_it = |edge: &&Value| {
        edge["kind"] == kind && edge["event"] == event && edge.get("consumer").and_then(Value::as_str) == consumer
    };
    edges.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} of {event} in {catalog}"))
}

#[tokio::test]
async fn the_catalog_says_what_is_declared_and_what_was_seen() {
    let api = Api::start().await;
    api.ended("test.echo", "{}").await;
    let catalog = api.get("/v1/catalog").await.json();
    assert_eq!(edge(&catalog, "emits", Some("scripted"), "next.step")["state"], "neverSeen");
    assert_eq!(edge(&catalog, "takes", Some("other"), "test.echo2")["state"], "neverSeen");
    let seen = edge(&catalog, "takes", Some("scripted"), "test.echo");
    assert_eq!((seen["state"].as_str(), seen["observed"]["count"].as_u64()), (Some("seen"), Some(1)));
    assert!(seen["observed"]["medianMs"].is_number() && seen["observed"]["days"].as_array().unwrap().len() == 1);
    assert_eq!(edge(&catalog, "accepts", None, "test.echo")["observed"]["count"], 1);
    let limited = catalog["consumers"].as_array().unwrap().iter().find(|one| one["name"] == "limited").unwrap();
    assert_eq!(limited["limits"][0], "cloud-api");
    assert_eq!(catalog["limits"][1]["rate"], "1/h");
}

#[tokio::test]
async fn days_are_checked() {
    let api = Api::start().await;
    assert_eq!(api.get("/v1/catalog?days=7").await.status, 200);
    for wrong in ["0", "-1", "x", "9999"] {
        api.get(&format!("/v1/catalog?days={wrong}")).await.is_problem(400, "invalid-request");
    }
    api.get("/v1/catalog?day=7").await.is_problem(400, "invalid-request");
}
