//! Answers of an HTTP consumer and what becomes of the delivery: every row of the contract's table.

use std::time::Duration;

use acceptd::delivery::Ending;
use acceptd::store::{DeadLetter, Page};
use acceptd::{Acceptd, Data, Engine, RetryPolicy, Status};
use acceptd_http::target::{Push, PushClient};
use axum::body::Body;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::push_receiver::{PATIENCE, Receiver, accept, answer, consumer, end, engine, event, run, until};

const OUTCOME: (&str, &str) = ("content-type", "application/vnd.acceptd.outcome+json");

/// Three attempts that follow one another at once.
fn impatient() -> RetryPolicy {
    let soon = Duration::from_millis(1);
    RetryPolicy { max_attempts: 3, base: soon, max: soon, ..RetryPolicy::default() }
}

async fn dead_letter(engine: &Engine) -> DeadLetter {
    let mut letters = engine.store().dead_letters(Page { before: None, size: 10 }).await.unwrap().items;
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

/// The engine against a target that answers always alike, after one event that failed: its code, its message and
/// the status that the result answers with.
async fn refused(status: u16, headers: &'static [(&str, &str)], body: &'static str) -> (String, String, Option<u16>) {
    let receiver = Receiver::always(status, headers, body).await;
    let engine = engine([consumer(receiver.push())]).await;
    let (status, failure) = run(&engine).await;
    let failure = failure.unwrap();
    assert_eq!(status, Status::Failed);
    assert_eq!(receiver.seen().len(), 1, "a dead letter at once: {failure:?}");
    assert_eq!(dead_letter(&engine).await.delivery.attempts, 1);
    (failure.code, failure.message, failure.status)
}

#[tokio::test]
async fn a_success_is_done_and_its_body_is_the_result() {
    type Case = (u16, &'static [(&'static str, &'static str)], &'static str, Option<Data>);
    let cases: [Case; 5] = [
        (
            200,
            &[("content-type", "application/json")],
            "{\"id\": 7}",
            Some(Data::new("application/json", "{\"id\": 7}")),
        ),
        (201, &[("content-type", "text/plain; charset=utf-8")], "é", Some(Data::new("text/plain; charset=utf-8", "é"))),
        (204, &[], "", None),
        (200, &[], "", None),
        (206, &[("content-type", "image/png")], "\u{1}", Some(Data::new("image/png", "\u{1}"))),
    ];
    for (status, headers, body, result) in cases {
        let receiver = Receiver::always(status, headers, body).await;
        let engine = engine([consumer(receiver.push())]).await;
        let id = accept(&engine, event()).await;
        assert_eq!(end(&engine, id).await, (Status::Succeeded, None), "{status}");
        let results = engine.store().results(id).await.unwrap();
        assert_eq!(results.into_iter().next().map(|result| result.data), result, "{status}");
    }
}

#[tokio::test]
async fn an_outcome_emits_events_that_become_deliveries() {
    let receiver = Receiver::start(|_, seen| async move {
        match seen.header("ce-type") {
            "test.push" => {
                answer(200, &[OUTCOME], r#"{"result":{"a":1},"emit":[{"type":"test.next","data":{"b":2}}]}"#)
            }
            _ => answer(204, &[], ""),
        }
    })
    .await;
    let next = acceptd::Consumer::to("next", ["test.next"], std::sync::Arc::new(receiver.push()));
    let engine = engine([consumer(receiver.push()).emits(["test.next"]), next]).await;
    let id = accept(&engine, event()).await;
    assert_eq!(end(&engine, id).await, (Status::Succeeded, None));
    assert_eq!(engine.store().results(id).await.unwrap()[0].data, Data::new(acceptd::JSON, "{\"a\":1}"));
    let seen = receiver.seen();
    assert_eq!((seen.len(), &seen[1].body[..]), (2, &b"{\"b\":2}"[..]));
    assert_eq!(seen[1].header("ce-type"), "test.next");
    assert_eq!(seen[1].header("ce-source"), "/consumers/push");
    assert_eq!(seen[1].header("ce-causationid"), seen[0].header("ce-id"));
    assert_eq!(seen[1].header("ce-correlationid"), id.to_string());
    assert_ne!(seen[1].header("acceptd-delivery"), seen[0].header("acceptd-delivery"));
}

#[tokio::test]
async fn an_undeclared_event_is_a_dead_letter_that_keeps_the_outcome() {
    let body = r#"{"result":1,"emit":[{"type":"test.surprise","data":{"b":2}}]}"#;
    let receiver = Receiver::always(200, &[OUTCOME], body).await;
    let engine = engine([consumer(receiver.push())]).await;
    assert_eq!(run(&engine).await.1.unwrap().code, "undeclared-emit");
    let letter = dead_letter(&engine).await;
    let kept: serde_json::Value = letter.outcome.unwrap().parse().unwrap();
    assert_eq!(kept, serde_json::json!({"result": 1, "emit": [{"type": "test.surprise", "data": {"b": 2}}]}));
    assert_eq!(receiver.seen().len(), 1, "the work is not done twice");
}

#[tokio::test]
async fn a_malformed_outcome_is_a_dead_letter() {
    for body in ["", "{", "[]", "{\"emits\":[]}", "{\"emit\":[{\"data\":1}]}"] {
        let (code, message, status) = refused(200, &[OUTCOME], body).await;
        assert_eq!((code.as_str(), status), ("bad-outcome", None), "{body}: {message}");
    }
}

#[tokio::test]
async fn refusals_are_dead_letters_with_the_targets_words() {
    let problem = &[("content-type", "application/problem+json")];
    let (code, message, status) = refused(422, problem, r#"{"title":"Bad ami","detail":"ami-1 is gone"}"#).await;
    assert_eq!((code.as_str(), status), ("http-422", Some(422)));
    assert_eq!(message, "the target answered 422 Unprocessable Entity: Bad ami: ami-1 is gone");
    for status in [400, 401, 403, 404, 409, 410, 413, 415, 425, 451] {
        let (code, _, kept) = refused(status, &[], "").await;
        assert_eq!((code, kept), (format!("http-{status}"), Some(status)));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let (code, message, kept) = refused(status, &[("location", "/elsewhere")], "").await;
        assert_eq!((code, kept), (format!("http-{status}"), None));
        assert!(message.ends_with("redirects are not followed"), "{message}");
    }
}

#[tokio::test]
async fn failures_of_the_server_are_tried_again() {
    for status in [408, 500, 502, 503, 504] {
        let receiver = Receiver::start(move |number, _| async move {
            answer(if number < 2 { status } else { 200 }, &[("content-type", "text/plain")], "no luck")
        })
        .await;
        let engine = engine([consumer(receiver.push()).retry_policy(impatient())]).await;
        let id = accept(&engine, event()).await;
        assert_eq!(end(&engine, id).await.0, Status::Succeeded, "{status}");
        let chain = engine.store().chain(id).await.unwrap();
        let endings: Vec<_> = chain.attempts.iter().map(|attempt| attempt.ending).collect();
        assert_eq!(endings, [Ending::Retry, Ending::Retry, Ending::Done]);
        let failure = chain.attempts[0].failure.as_ref().unwrap();
        assert_eq!(failure.code, format!("http-{status}"));
        assert!(failure.message.ends_with(": no luck"), "{}", failure.message);
        let attempts: Vec<_> = receiver.seen().iter().map(|seen| seen.header("acceptd-attempt").to_owned()).collect();
        assert_eq!(attempts, ["1", "2", "3"]);
    }
}

#[tokio::test]
async fn the_last_attempt_that_fails_is_a_dead_letter() {
    let receiver = Receiver::always(500, &[], "").await;
    let engine = engine([consumer(receiver.push()).retry_policy(impatient())]).await;
    let (status, failure) = run(&engine).await;
    let failure = failure.unwrap();
    assert_eq!((status, failure.code.as_str(), failure.status), (Status::Failed, "http-500", None));
    assert_eq!(receiver.seen().len(), 3);
}

#[tokio::test]
async fn a_server_failure_that_says_when_is_tried_then() {
    let receiver = Receiver::always(500, &[("retry-after", "60")], "").await;
    let engine = engine([consumer(receiver.push())]).await;
    let id = accept(&engine, event()).await;
    until("the first attempt's end", async || !engine.store().chain(id).await.unwrap().attempts.is_empty()).await;
    let delivery = engine.store().operation(id).await.unwrap().live.remove(0);
    assert_eq!((delivery.attempts, delivery.due.since(engine.now()).as_secs() >= 50), (1, true), "{delivery:?}");
    let consumers = engine.store().consumers(engine.now()).await.unwrap();
    assert_eq!(consumers[0].closure, None, "only this delivery waits");
}

#[tokio::test]
async fn a_target_that_hangs_is_out_of_time_and_its_connection_closes() {
    let receiver = Receiver::start(|_, _| std::future::pending()).await;
    let engine = engine([consumer(receiver.push()).timeout("200ms").retry(1)]).await;
    assert_eq!(run(&engine).await.1.unwrap().code, "timeout");
    until("the connection's close", async || receiver.dropped() == 1).await;
}

#[tokio::test]
async fn a_body_that_hangs_is_out_of_time() {
    let receiver = Receiver::start(|_, _| async {
        let body = stream::unfold(false, |begun| async move {
            if begun {
                std::future::pending::<()>().await;
            }
            Some((Ok::<_, std::io::Error>("half"), true))
        });
        answer(200, &[], Body::from_stream(body))
    })
    .await;
    let engine = engine([consumer(receiver.push()).timeout("200ms").retry(1)]).await;
    assert_eq!(run(&engine).await.1.unwrap().code, "timeout");
}

#[tokio::test]
async fn cancel_closes_the_connection() {
    let receiver = Receiver::start(|_, _| std::future::pending()).await;
    let engine = engine([consumer(receiver.push())]).await;
    let id = accept(&engine, event()).await;
    until("the request", async || receiver.seen().len() == 1).await;
    assert_eq!(receiver.dropped(), 0);
    engine.cancel(id).await.unwrap();
    until("the connection's close", async || receiver.dropped() == 1).await;
    assert_eq!(end(&engine, id).await.0, Status::Canceled);
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let push = Push::new(PushClient::new().unwrap(), &format!("http://127.0.0.1:{port}/"), None).unwrap();
    let engine = engine([consumer(push).retry_policy(impatient())]).await;
    let id = accept(&engine, event()).await;
    let failure = end(&engine, id).await.1.unwrap();
    assert_eq!(failure.code, "connect");
    assert!(failure.message.contains("refused"), "{}", failure.message);
    assert_eq!(engine.store().chain(id).await.unwrap().attempts.len(), 3, "it is tried again");
}

/// The code of the failure against a server that says just this and closes.
async fn against(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 16 * 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    let push = Push::new(PushClient::new().unwrap(), &url, None).unwrap();
    let engine = engine([consumer(push).retry_policy(impatient())]).await;
    run(&engine).await.1.unwrap().code
}

#[tokio::test]
async fn connections_that_break_are_tried_again() {
    assert_eq!(against(b"").await, "http-broken");
    assert_eq!(against(b"this is not HTTP\r\n\r\n").await, "http-broken");
    assert_eq!(against(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await, "http-body");
}

#[tokio::test]
async fn a_result_that_is_too_large_is_a_dead_letter() {
    let declared = Receiver::start(|_, _| async { answer(200, &[], vec![b'x'; 2_000]) }).await;
    let chunked = Receiver::start(|_, _| async {
        answer(200, &[], Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>("0123456789"))))
    })
    .await;
    for receiver in [declared, chunked] {
        let client = PushClient::new().unwrap().body_max(1_000);
        let push = Push::new(client, &receiver.url, None).unwrap();
        let engine = engine([consumer(push)]).await;
        assert_eq!(run(&engine).await.1.unwrap().code, "result-too-large");
        assert_eq!(receiver.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_endless_error_page_is_cut() {
    let receiver = Receiver::start(|_, _| async {
        let page = stream::repeat_with(|| Ok::<_, std::io::Error>("no "));
        answer(400, &[("content-type", "text/html")], Body::from_stream(page))
    })
    .await;
    let engine = engine([consumer(receiver.push())]).await;
    let failure = run(&engine).await.1.unwrap();
    assert!(failure.message.starts_with("the target answered 400 Bad Request: no no"), "{}", failure.message);
    assert!(failure.message.len() < 400);
}

#[tokio::test]
async fn attempts_run_at_once_and_reuse_their_connections() {
    let together = std::sync::Arc::new(tokio::sync::Barrier::new(16));
    let receiver = Receiver::start(move |_, _| {
        let together = std::sync::Arc::clone(&together);
        async move {
            together.wait().await;
            answer(500, &[("content-type", "text/plain")], "read me to the end")
        }
    })
    .await;
    let engine = engine([consumer(receiver.push()).concurrency(16).retry_policy(impatient())]).await;
    let mut ids = Vec::new();
    for _ in 0..16 {
        ids.push(accept(&engine, event()).await);
    }
    for id in ids {
        end(&engine, id).await;
    }
    let peers: std::collections::BTreeSet<_> = receiver.seen().iter().map(|seen| seen.peer).collect();
    assert_eq!(receiver.seen().len(), 48);
    // A connection may still be on its way back when the next attempt starts.
    assert!((16..32).contains(&peers.len()), "{peers:?}");
}

#[tokio::test]
async fn a_url_that_cannot_work_is_refused_at_once() {
    let client = PushClient::new().unwrap();
    let error = Push::new(client, "gopher://example.org/", None).unwrap_err();
    assert_eq!(error.kind(), acceptd::ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_drain_gives_a_running_attempt_back_uncounted() {
    let receiver = Receiver::start(|_, _| std::future::pending()).await;
    let store = std::sync::Arc::new(acceptd::store::memory::MemoryStore::default());
    let engine = Acceptd::new(store).consumer(consumer(receiver.push())).start().await.unwrap();
    let id = accept(&engine, event()).await;
    until("the request", async || receiver.seen().len() == 1).await;
    tokio::time::timeout(PATIENCE, engine.shut_down(Duration::ZERO)).await.unwrap();
    until("the connection's close", async || receiver.dropped() == 1).await;
    let chain = engine.store().chain(id).await.unwrap();
    assert_eq!((chain.attempts[0].ending, chain.deliveries[0].attempts), (Ending::Released, 0));
}
