//! Data that does not fit the schema of its type, and where schemas are found.

use acceptd::Settings;
use acceptd_http::HttpSettings;
use serde_json::{Value, json};

use crate::api::{Api, Reply};

const EVENT: (&str, &str) = ("content-type", "application/cloudevents+json");
const EVENTS: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

fn errors(reply: &Reply) -> Vec<(String, String)> {
    let errors = reply.is_problem(422, "invalid-data").json()["errors"].clone();
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    errors.as_array().unwrap().iter().map(|error| (text(error, "pointer"), text(error, "detail"))).collect()
}

fn event(data: Value, dataschema: Option<&str>) -> Value {
    let mut event = json!({"specversion": "1.0", "type": "checked.data", "source": "/s", "id": "1", "data": data});
    if let Some(dataschema) = dataschema {
        event["dataschema"] = json!(dataschema);
    }
    event
}

#[tokio::test]
async fn each_wrong_place_has_its_pointer() {
    let api = Api::start().await;
    let reply = api.event("checked.data", &[], r#"{"cents":"7","note":"a secret"}"#).await;
    assert_eq!(
        errors(&reply),
        [
            ("#/cents".into(), "this must be of type integer".into()),
            ("#/note".into(), "this value is longer than 5 characters".to_owned())
        ]
    );
    assert!(!reply.json().to_string().contains("secret"), "data is not repeated: {reply:?}");
    let reply = api.event("checked.data", &[], "{}").await;
    assert_eq!(errors(&reply), [("#".into(), "\"cents\" is missing".to_owned())]);
    let reply = api.post("/v1/events", &[EVENT], event(json!({"cents": 1.5}), None).to_string()).await;
    assert_eq!(errors(&reply), [("#/data/cents".into(), "this must be of type integer".to_owned())]);
    assert_eq!(api.event("checked.data", &[], r#"{"cents":7}"#).await.status, 202);
    // Without a body the data is null.
    let reply = api.post("/v1/events/checked.data", &[], "").await;
    assert_eq!(errors(&reply), [("#".into(), "this must be of type object".to_owned())]);
}

#[tokio::test]
async fn one_wrong_item_of_a_batch_is_pointed_at_and_nothing_is_accepted() {
    let api = Api::start().await;
    let reply = api.event("checked.data", &[], r#"{"items":[{"cents":1},{"cents":2},{"cents":null}]}"#).await;
    assert_eq!(errors(&reply), [("#/items/2/cents".into(), "this must be of type integer".to_owned())]);
    let batch = json!([event(json!({"cents": 1}), None), event(json!({"cents": "1"}), None)]);
    let reply = api.post("/v1/events", &[EVENTS], batch.to_string()).await;
    assert_eq!(errors(&reply), [("#/1/data/cents".into(), "this must be of type integer".to_owned())]);
    assert_eq!(api.get("/v1/operations").await.json()["items"], json!([]));
}

#[tokio::test]
async fn an_event_may_name_an_older_version() {
    let api = Api::start().await;
    let accept =
        async |data: Value, named: &str| api.post("/v1/events", &[EVENT], event(data, Some(named)).to_string()).await;
    assert_eq!(accept(json!({"cents": "7"}), "http://api.test:8202/schemas/checked.data/1").await.status, 202);
    let reply = accept(json!({"cents": 7}), "http://api.test:8202/schemas/checked.data/1").await;
    assert_eq!(errors(&reply)[0].0, "#/data/cents");
    let reply = accept(json!({"cents": 7}), "http://api.test:8202/schemas/checked.data/9").await;
    assert_eq!(
        errors(&reply),
        [("#".into(), "dataschema names version \"9\" of checked.data, and there is only 1, 2".to_owned())]
    );
}

#[tokio::test]
async fn schemas_are_served_by_version() {
    let url = "https://api.example.com/x".to_owned();
    let settings = Settings { public_url: Some(url.clone()), ..Settings::default() };
    let api = Api::with(HttpSettings { public_url: Some(url), ..HttpSettings::default() }, settings).await;
    let id = api.event("checked.data", &[], r#"{"cents":7}"#).await.id();
    let chain = api.get(&format!("/v1/operations/{id}/chain")).await.json();
    let named = chain["events"][0]["dataschema"].as_str().unwrap();
    let path = named.strip_prefix("https://api.example.com/x").unwrap();
    let reply = api.get(path).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/schema+json"));
    assert_eq!(reply.header("cache-control"), "public, max-age=300");
    assert_eq!(reply.json()["properties"]["cents"]["type"], "integer");
    assert_eq!(api.get("/schemas/checked.data").await.json(), reply.json());
    assert_eq!(api.get("/schemas/checked.data/1").await.json()["properties"]["cents"]["type"], "string");
    for nothing in ["checked.data/3", "checked.data/01", "checked.data/x", "lonely.event", "lonely.event/1", "other"] {
        api.get(&format!("/schemas/{nothing}")).await.is_problem(404, "not-found");
    }
}
