//! A deploy costs nothing: after SIGTERM nothing new is taken, what is under way is answered, what runs gets its
//! grace, and what is given back has lost no attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acceptd_testkit::harness::config::{Config, Consumer};
use acceptd_testkit::harness::load::Mix;
use acceptd_testkit::harness::server::Site;
use acceptd_testkit::harness::world::{DRAINED_WITHIN, Fault, Plan, play};
use acceptd_testkit::harness::{api, eventually};
use axum::extract::State;
use axum::routing::post;
use tokio::task::JoinSet;

const LIMIT: Duration = Duration::from_secs(20);
const STUBBORN: usize = 10;

const MIX: Mix = &[("prompt", 40), ("slow", 40), ("flaky", 10), ("remote", 10)];

#[tokio::test(flavor = "multi_thread")]
async fn deploys_under_load_lose_nothing() {
    let faults = (1..=5).map(|number| Fault::Terminate(Duration::from_millis(100 * number))).collect();
    let report = play(Plan {
        seed: acceptd_testkit::harness::seed(),
        mix: MIX,
        faults,
        planted: None,
        drained_within: DRAINED_WITHIN,
    })
    .await;
    println!("sigterm: {report}");
    report.assert_kept();
}

/// Counts its first calls and never answers them; answers the later ones.
async fn stubborn(State(calls): State<Arc<AtomicUsize>>) -> &'static str {
    if calls.fetch_add(1, Ordering::SeqCst) < STUBBORN {
        std::future::pending::<()>().await;
    }
    "done"
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_past_the_grace_is_given_back_uncounted() {
    let (site, calls) = (Site::new(), Arc::new(AtomicUsize::new(0)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/stubborn", post(stubborn)).with_state(Arc::clone(&calls));
    tokio::spawn(async move { axum::serve(listener, router).await });
    // One attempt is all it has: if the deploy counted one, it would be a dead letter.
    let consumer = Consumer::new("stubborn", "stubborn", address).max_attempts(1).timeout("1m");
    let config = Config { grace: Some("500ms"), consumers: vec![consumer], ..Config::default() };

    let mut server = site.start(&config, &[]).await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..STUBBORN {
        let mut client = server.client();
        waiting.spawn(async move { client.post("/v1/events/stubborn", &[("prefer", "wait=30")], b"{}").await });
    }
    let all_run = || async { (calls.load(Ordering::SeqCst) == STUBBORN).then_some(()) };
    eventually("all run", LIMIT, all_run).await;

    let (mut late, stopped_at) = (server.client(), Instant::now());
    server.signal("TERM");
    let ended = server.ended(Duration::from_secs(3)).await.expect("it ends within its grace");
    println!("sigterm: ended after {:?} with a grace of 500 ms", stopped_at.elapsed());
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap().expect("a request that is under way gets its answer");
        assert_eq!(answer.status, 202);
    }
    assert!(late.get("/readyz").await.is_err(), "nobody listens any more");

    let server = site.start(&config, &[]).await.unwrap();
    let none_is_live = || async { (api::count_live(&mut server.client()).await == 0).then_some(()) };
    eventually("everything ends", LIMIT, none_is_live).await;
    let mut client = server.client();
    for id in api::list(&mut client).await {
        let operation = api::operation(&mut client, &id).await;
        let endings: Vec<_> = operation.deliveries[0].attempts.iter().map(|attempt| attempt.ending.as_str()).collect();
        assert_eq!((operation.status.as_str(), endings), ("succeeded", vec!["released", "done"]));
    }
}
