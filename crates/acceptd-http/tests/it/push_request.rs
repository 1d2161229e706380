//! What an HTTP consumer is sent.

use std::collections::BTreeSet;

use acceptd::{Data, Draft, Submission, Timestamp, TraceContext};
use acceptd_http::cloudevents::read_headers;
use acceptd_http::signature::Secret;

use crate::push_receiver::{Receiver, accept, consumer, end, engine, event, run};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn full() -> Draft {
    let mut draft = Draft::new("test.push").data(Data::new("application/json; charset=utf-8", "{ \"n\" : 1 }"));
    draft.source = "/orders".into();
    draft.id = Some("order 7 \"€\" 100%".into());
    draft.subject = Some("größe/😀".into());
    draft.time = Some("2026-11-23T03:00:00.250Z".parse().unwrap());
    draft.dataschema = Some("https://example.org/schema".into());
    for (name, value) in [("traceparent", PARENT), ("tracestate", "a=1"), ("partitionkey", "eu 1\u{0}\u{7f}")] {
        draft.extensions.insert(name.into(), value.into());
    }
    draft
}

#[tokio::test]
async fn the_event_in_binary_mode_and_where_it_stands() {
    let receiver = Receiver::always(204, &[], "").await;
    let engine = engine([consumer(receiver.push())]).await;
    let submission = Submission { events: vec![full()], ..Submission::default() }.owner("Zoë 100%");
    let before = engine.now();
    let id = engine.accept(submission).await.unwrap().operation.id;
    end(&engine, id).await;
    let seen = receiver.seen()[0].clone();
    let delivery = engine.store().chain(id).await.unwrap().deliveries[0].id.to_string();
    let deadline: Timestamp = seen.header("acceptd-deadline").parse().unwrap();
    assert!((55..=65).contains(&deadline.since(before).as_secs()), "the consumer's timeout is 60 s: {deadline}");
    let expected = [
        ("ce-specversion", "1.0"),
        ("ce-id", "order%207%20%22%E2%82%AC%22%20100%25"),
        ("ce-source", "/orders"),
        ("ce-type", "test.push"),
        ("ce-time", "2026-11-23T03:00:00.250Z"),
        ("ce-subject", "gr%C3%B6%C3%9Fe/%F0%9F%98%80"),
        ("ce-dataschema", "https://example.org/schema"),
        ("ce-correlationid", &id.to_string()),
        ("ce-partitionkey", "eu%201%00%7F"),
        ("ce-traceparent", PARENT),
        ("ce-tracestate", "a=1"),
        ("tracestate", "a=1"),
        ("content-type", "application/json; charset=utf-8"),
        ("content-length", "11"),
        ("acceptd-operation", &id.to_string()),
        ("acceptd-delivery", &delivery),
        ("acceptd-attempt", "1"),
        ("acceptd-fence", "1"),
        ("acceptd-owner", "Zo%C3%AB%20100%25"),
        ("idempotency-key", &format!("\"{delivery}\"")),
    ];
    for (name, value) in expected {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!((seen.line.as_str(), &seen.body[..]), ("POST /take?token=1", &b"{ \"n\" : 1 }"[..]));
    assert!(seen.header("user-agent").starts_with("acceptd/"));
    for absent in ["ce-causationid", "ce-datacontenttype", "webhook-id", "accept-encoding", "authorization"] {
        assert!(!seen.headers.contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn the_request_stands_in_the_trace_of_its_event() {
    let receiver = Receiver::start(|number, _| async move {
        crate::push_receiver::answer(if number % 2 == 0 { 500 } else { 204 }, &[], "")
    })
    .await;
    let soon = std::time::Duration::from_millis(1);
    let policy = acceptd::RetryPolicy { base: soon, max: soon, ..acceptd::RetryPolicy::default() };
    let engine = engine([consumer(receiver.push()).retry_policy(policy)]).await;
    let ids = [accept(&engine, full()).await, accept(&engine, Draft::new("test.push")).await];
    for id in ids {
        end(&engine, id).await;
    }
    let [one, other] = ids.map(|id| engine.store().chain(id));
    let events = [one.await.unwrap().events.remove(0), other.await.unwrap().events.remove(0)];
    let mut places = BTreeSet::new();
    for seen in receiver.seen().clone() {
        let event = events.iter().find(|event| event.operation.to_string() == seen.header("acceptd-operation"));
        let created = event.unwrap().trace();
        assert_eq!(seen.header("ce-traceparent"), created.to_string());
        let place = TraceContext::parse(seen.header("traceparent"), None).unwrap();
        assert!(place.trace == created.trace && place.span != created.span && place.is_sampled());
        assert!(places.insert(place.span), "each request has a place of its own");
    }
    assert_eq!((places.len(), receiver.seen().len()), (4, 4));
    let own = events[1].trace().trace;
    assert_eq!(own.as_bytes(), ids[1].as_bytes(), "without a trace the operation is one");
}

#[tokio::test]
async fn a_reader_of_cloudevents_gets_the_event_back() {
    let receiver = Receiver::always(204, &[], "").await;
    let engine = engine([consumer(receiver.push())]).await;
    let id = accept(&engine, full()).await;
    end(&engine, id).await;
    let seen = receiver.seen()[0].clone();
    let mut read = read_headers(&seen.headers, seen.body.clone()).unwrap();
    assert_eq!(read.extensions.remove("callercorrelationid"), Some(id.to_string()));
    assert_eq!(read, full());
}

#[tokio::test]
async fn an_event_without_data_has_no_media_type() {
    let receiver = Receiver::always(204, &[], "").await;
    let engine = engine([consumer(receiver.push())]).await;
    let id = accept(&engine, Draft::new("test.push")).await;
    end(&engine, id).await;
    let seen = receiver.seen()[0].clone();
    assert_eq!((seen.body.len(), seen.header("content-length"), seen.header("content-type")), (0, "0", ""));
    assert!(!seen.headers.contains_key("acceptd-owner"));
}

#[tokio::test]
async fn a_media_type_that_is_no_header_is_a_dead_letter() {
    let receiver = Receiver::always(204, &[], "").await;
    let engine = engine([consumer(receiver.push())]).await;
    let id = accept(&engine, Draft::new("test.push").data(Data::new("text/plain\r\nevil: 1", "x"))).await;
    assert_eq!(end(&engine, id).await.1.unwrap().code, "bad-event");
    assert_eq!(receiver.seen().len(), 0);
}

#[tokio::test]
async fn signatures_are_of_the_standard_and_of_each_secret() {
    let receiver = Receiver::always(204, &[], "").await;
    let engine = engine([consumer(receiver.signed(&format!("{SECRET} {OLD_SECRET}")))]).await;
    run(&engine).await;
    let seen = receiver.seen()[0].clone();
    let (id, timestamp) = (seen.header("webhook-id"), seen.header("webhook-timestamp"));
    assert_eq!((id, id.contains('.')), (seen.header("acceptd-delivery"), false));
    let sent = Timestamp::from_millis(timestamp.parse::<i64>().unwrap() * 1_000);
    assert!(engine.now().since(sent).as_secs() < 60, "{timestamp}");
    for secret in [SECRET, OLD_SECRET] {
        let secret = Secret::parse(secret).unwrap();
        let signatures = seen.header("webhook-signature");
        assert!(secret.verify(id, timestamp, &seen.body, signatures), "{signatures}");
        assert!(!secret.verify(id, timestamp, b"other", signatures));
    }
}

#[tokio::test]
async fn the_next_attempt_has_the_same_ids_and_a_higher_fence() {
    let receiver = Receiver::start(|number, _| async move {
        crate::push_receiver::answer(if number == 0 { 500 } else { 204 }, &[], "")
    })
    .await;
    let soon = std::time::Duration::from_millis(1);
    let policy = acceptd::RetryPolicy { base: soon, max: soon, ..acceptd::RetryPolicy::default() };
    let engine = engine([consumer(receiver.signed(SECRET)).retry_policy(policy)]).await;
    let id = accept(&engine, event()).await;
    end(&engine, id).await;
    let seen = receiver.seen();
    for same in ["ce-id", "ce-time", "acceptd-delivery", "idempotency-key", "webhook-id"] {
        assert_eq!(seen[0].header(same), seen[1].header(same), "{same}");
    }
    let fences = [seen[0].header("acceptd-fence"), seen[1].header("acceptd-fence")];
    assert_eq!((fences, seen[1].header("acceptd-attempt")), (["1", "2"], "2"));
}
