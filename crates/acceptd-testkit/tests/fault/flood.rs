//! More arrives than can be done: memory stays flat, every answer is 202 or a refusal that says when to come back, what
//! was promised is there, and who asks for a status does not wait behind the flood.
//!
//! `ACCEPTD_FAULT_FLOOD` says how many arrive.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acceptd_testkit::harness::api;
use acceptd_testkit::harness::config::{Config, Consumer};
use acceptd_testkit::harness::http::Client;
use acceptd_testkit::harness::server::{Server, Site};
use axum::routing::post;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 256;
const MEMORY_MAX: u64 = 150 << 20;

/// What a flood came to.
struct Flood {
    promised: HashSet<String>,
    refused: usize,
    took: Duration,
    looks: Vec<Duration>,
}

impl Flood {
    fn look_p99(&self) -> Duration {
        self.looks[self.looks.len() * 99 / 100]
    }
}

async fn slow_site(backlog_max: Option<u64>) -> (Site, Config) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let work = || tokio::time::sleep(Duration::from_millis(500));
    let router = axum::Router::new().route("/slow", post(work));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let consumers = vec![Consumer::new("slow", "flood", address)];
    (Site::new(), Config { backlog_max, consumers, ..Config::default() })
}

/// Asks `count` times over all connections, while another client asks how one operation stands.
async fn flood(server: &Server, count: usize) -> Flood {
    let first = accept(&mut server.client()).await.expect("the first is taken");
    let (left, over) = (Arc::new(AtomicUsize::new(count - 1)), Arc::new(AtomicBool::new(false)));
    let looks = tokio::spawn(look(server.client(), first.clone(), Arc::clone(&over)));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(ask(server.client(), Arc::clone(&left)));
    }
    let (mut promised, mut refused) = (HashSet::from([first]), 0);
    while let Some(client) = clients.join_next().await {
        let (ids, refusals) = client.unwrap();
        promised.extend(ids);
        refused += refusals;
    }
    let took = started.elapsed();
    over.store(true, Ordering::SeqCst);
    let mut looks = looks.await.unwrap();
    looks.sort();
    Flood { promised, refused, took, looks }
}

/// The operation's id, or None when it was refused as it should be.
async fn accept(client: &mut Client) -> Option<String> {
    let answer = client.post("/v1/events/flood", &[], br#"{"drop":1}"#).await.expect("every request is answered");
    match answer.status {
        202 => Some(answer.json()["id"].as_str().unwrap().to_owned()),
        503 => {
            let after = answer.header("retry-after").expect("a refusal says when to come back");
            assert!(after.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{after}");
            None
        }
        status => panic!("{status}: {}", String::from_utf8_lossy(&answer.body)),
    }
}

async fn ask(mut client: Client, left: Arc<AtomicUsize>) -> (Vec<String>, usize) {
    let (mut promised, mut refused) = (Vec::new(), 0);
    let take = |left: usize| left.checked_sub(1);
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
        match accept(&mut client).await {
            Some(id) => promised.push(id),
            None => refused += 1,
        }
    }
    (promised, refused)
}

async fn look(mut client: Client, id: String, over: Arc<AtomicBool>) -> Vec<Duration> {
    let mut looks = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let asked = Instant::now();
        let answer = client.get(&format!("/v1/operations/{id}")).await.expect("a status is always answered");
        assert_eq!(answer.status, 200);
        looks.push(asked.elapsed());
        // A person's or a program's rest between two looks.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    looks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_kept_in_little_memory() {
    let count = std::env::var("ACCEPTD_FAULT_FLOOD").map_or(20_000, |text| text.parse().expect("a number"));
    let (site, config) = slow_site(None).await;
    let server = site.start(&config, &[]).await.unwrap();
    let flood = flood(&server, count).await;
    let memory = server.peak_memory();
    println!(
        "flood: {count} accepts over {CONNECTIONS} connections in {:?}, {} MiB at most, status p99 {:?} of {} looks",
        flood.took,
        memory >> 20,
        flood.look_p99(),
        flood.looks.len()
    );
    assert_eq!((flood.promised.len(), flood.refused), (count, 0));
    assert_eq!(listed(&server).await, flood.promised, "what was promised is there, and nothing else");
    assert!(memory <= MEMORY_MAX, "{} MiB", memory >> 20);
    server.kill().await;
    let server = site.start(&config, &[]).await.unwrap();
    println!("flood: killed, it accepts again after {:?} with all that waiting", server.ready_after);
    assert_eq!(listed(&server).await, flood.promised, "and nothing is lost");
    let limit = if cfg!(debug_assertions) { Duration::from_millis(500) } else { Duration::from_millis(50) };
    assert!(flood.look_p99() <= limit, "a status took {:?}", flood.look_p99());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backlog_refuses_and_says_when_to_come_back() {
    let (site, config) = slow_site(Some(2_000)).await;
    let server = site.start(&config, &[]).await.unwrap();
    let flood = flood(&server, 20_000).await;
    let (promised, refused) = (flood.promised.len(), flood.refused);
    println!(
        "flood: {promised} promised, {refused} refused with Retry-After in {:?}, backlog of 2000 at most, \
         status p99 {:?}",
        flood.took,
        flood.look_p99()
    );
    assert_eq!(promised + refused, 20_000);
    assert!(promised >= 2_000 && refused > 0, "{promised} promised, {refused} refused");
    assert_eq!(listed(&server).await, flood.promised, "what was promised is there, and nothing else");
}

async fn listed(server: &Server) -> HashSet<String> {
    api::list(&mut server.client()).await.into_iter().collect()
}
