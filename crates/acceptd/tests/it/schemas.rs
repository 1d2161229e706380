//! Schemas: data is checked when it is accepted and when it is emitted.

use std::collections::BTreeMap;

use acceptd::consumer::Consumer;
use acceptd::{Acceptd, Data, Done, Draft, Emits, ErrorKind, EventDeclaration, Outcome, Settings, Status, Submission};
use serde_json::{Value, json};

use crate::fixture::{Start, Started, accept, end, memory, on, start};

fn schema() -> Value {
    json!({"type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {"name": {"type": "string", "maxLength": 3}, "since": {"type": "string", "format": "date-time"}}})
}

fn declared(builder: Acceptd, kind: &str, schema: Value) -> Acceptd {
    builder.event(kind, EventDeclaration { schema: Some(schema), ..EventDeclaration::default() })
}

fn submission(data: &[Value]) -> Submission {
    let draft = |data: &Value| Draft::new("machine.start").data(Data::json(data).unwrap());
    Submission { events: data.iter().map(draft).collect(), ..Submission::default() }
}

async fn announce(event: Start, mut out: Emits<(Started,)>) -> Outcome {
    out.emit(Started { name: event.name });
    Done::with("done")
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_not_accepted() {
    let engine = declared(on(&memory()), "machine.start", schema()).start().await.unwrap();
    let refused = async |data: &[Value]| {
        let error = engine.accept(submission(data)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        let places: Vec<_> = error.places().iter().map(|p| (p.event, p.pointer.clone(), p.message.clone())).collect();
        (error.message().to_owned(), places)
    };
    let (message, places) = refused(&[json!({"name": 7, "since": "secret"})]).await;
    assert_eq!(
        message,
        "the data does not fit its schema at 2 places; the first is /name: this must be of type string"
    );
    assert_eq!(
        places,
        [
            (0, "/name".into(), "this must be of type string".into()),
            (0, "/since".into(), "this is not of the format date-time".to_owned()),
        ]
    );
    let (message, places) = refused(&[json!({"name": "a"}), json!({}), json!({"name": "long"})]).await;
    assert_eq!(
        message,
        "2 of 3 events are wrong; the first is event 1: the data does not fit its schema: \"name\" is missing"
    );
    assert_eq!((places[0].0, places[1].0, places[1].1.as_str()), (1, 2, "/name"));
    engine.accept(submission(&[json!({"name": "abc"})])).await.unwrap();

    let nothing = Submission { events: vec![Draft::new("machine.start")], ..Submission::default() };
    assert_eq!(engine.accept(nothing).await.unwrap_err().places()[0].message, "this must be of type object");
    let text = Draft::new("machine.start").data(Data::new("text/plain", "abc"));
    let error = engine.accept(Submission { events: vec![text], ..Submission::default() }).await.unwrap_err();
    assert_eq!(error.message(), "the data must be JSON by the schema of its type, not text/plain");
}

#[tokio::test(start_paused = true)]
async fn what_is_emitted_and_does_not_fit_is_a_dead_letter_at_once() {
    let store = memory();
    let engine = declared(on(&store), "machine.started", schema()).consumer(Consumer::new("announce", announce));
    let engine = engine.start().await.unwrap();
    let id = accept(&engine, start("fits not")).await;
    let monitor = end(&engine, id).await;
    assert_eq!(monitor.status, Status::Failed);
    let failure = monitor.failure.unwrap();
    assert_eq!(failure.code, "invalid-data");
    let said = "announce emitted machine.started, and the data does not fit its schema: \
                /name: this value is longer than 3 characters";
    assert_eq!(failure.message, said);
    let chain = store.chain(id).await.unwrap();
    assert_eq!((chain.events.len(), chain.attempts.len()), (1, 1), "nothing is emitted, and nothing is tried again");
    let id = accept(&engine, start("fit")).await;
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn events_say_where_their_schema_is_when_the_address_is_known() {
    let address = Some("https://api.example.com/x".to_owned());
    let kept = async |public_url: Option<String>| {
        let store = memory();
        let settings = Settings { public_url, ..Settings::default() };
        let engine = declared(on(&store).settings(settings), "machine.started", json!(true));
        let engine = engine.consumer(Consumer::new("announce", announce)).start().await.unwrap();
        let id = accept(&engine, start("m1")).await;
        end(&engine, id).await;
        let events = store.chain(id).await.unwrap().events;
        events.into_iter().map(|event| event.draft.dataschema).collect::<Vec<_>>()
    };
    let named = "https://api.example.com/x/schemas/machine.started/1".to_owned();
    assert_eq!(kept(address).await, [None, Some(named)], "a type without a schema names none");
    assert_eq!(kept(None).await, [None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_schema_is_found_before_anything_starts() {
    for (schema, said) in [
        (json!({"type": "text"}), "this is no JSON Schema: at /type: "),
        (json!({"$ref": "https://example.com/a.json"}), "a $ref must stay in the document"),
        (json!({"$ref": "file:///etc/passwd"}), "a $ref must stay in the document"),
        (json!({"$ref": "#/$defs/Nowhere"}), "a $ref must stay in the document"),
        (json!({"properties": {"a": {"pattern": "("}}}), "this is no JSON Schema: at /properties/a/pattern: "),
        (json!("a.json"), "a JSON Schema is an object, true or false"),
        (json!({"anyOf": [{"$ref": "#"}]}), "at # the schema refers to itself without an end"),
    ] {
        let builder = declared(on(&memory()), "machine.start", schema);
        let said = format!("event type machine.start: schema of version 1: {said}");
        let error = builder.check().unwrap_err();
        assert!(error.message().starts_with(&said), "{error}\nand not\n{said}");
        assert!(builder.start().await.err().unwrap().message().starts_with(&said));
    }
    let older = BTreeMap::from([(1, json!(true))]);
    let only_older = EventDeclaration { version: 2, older, ..EventDeclaration::default() };
    let error = on(&memory()).event("a", only_older).check().unwrap_err();
    assert_eq!(error.message(), "event type a: it has older schemas and no current one");
}

#[tokio::test(start_paused = true)]
async fn an_alternative_is_told_of_by_what_it_lacks() {
    let tagged = |kind: &str, field: &str| json!({"type": "object", "required": ["kind", field], "properties": {"kind": {"const": kind}}});
    let schema = json!({"oneOf": [tagged("a", "x"), tagged("b", "y"), {"type": "null"}]});
    let engine = declared(on(&memory()), "machine.start", schema).start().await.unwrap();
    let said = async |data: Value| engine.accept(submission(&[data])).await.unwrap_err().places()[0].message.clone();
    assert_eq!(said(json!({"kind": "b"})).await, "\"y\" is missing");
    assert_eq!(said(json!({"kind": "c"})).await, "this fits none of the alternatives");
}

#[tokio::test(start_paused = true)]
async fn recursive_schemas_check_deep_data() {
    let tree = json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": false});
    let engine = declared(on(&memory()), "machine.start", tree).start().await.unwrap();
    let nested = |leaf: Value| (0..100).fold(leaf, |inner, _| json!({ "next": inner }));
    engine.accept(submission(&[nested(json!({}))])).await.unwrap();
    let error = engine.accept(submission(&[nested(json!({"secret": 1}))])).await.unwrap_err();
    assert_eq!(error.places()[0].message, "\"secret\" is not a property that is known here");
    let many = json!((0..500).collect::<Vec<_>>());
    let engine = declared(on(&memory()), "machine.start", json!({"items": {"type": "string"}})).start().await.unwrap();
    let error = engine.accept(submission(&[many])).await.unwrap_err();
    assert_eq!((error.places().len(), error.places()[99].pointer.as_str()), (100, "/99"));
}
