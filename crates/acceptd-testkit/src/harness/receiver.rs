//! The consumers of a run: HTTP endpoints in the harness's own process, so that no fault reaches what they remember.
//!
//! Each takes the event type `a.<its name>` and emits two events `b`, which `leaf` takes. A consumer applies an event's
//! effect only when the event is new to it and no newer fence is known: that is all the help acceptd asks for.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Notify;

use super::config::Consumer;
use super::http::Client;
use super::ledger::{Attempt, Call, ConsumerEntry, Ledgers};

/// The type of the events that follow.
pub const FOLLOWS: &str = "b";
/// How many of them follow when an attempt of another consumer is done.
pub const FOLLOW_COUNT: usize = 2;
/// The consumer of those.
pub const LEAF: &str = "leaf";
/// The media type with which they are emitted.
const OUTCOME: &str = "application/vnd.acceptd.outcome+json";
/// For so long a consumer tries to get a call through to a server that is down.
const CALL_PATIENCE: Duration = Duration::from_secs(20);

/// How the consumers behave, and their limit of attempts.
const CONSUMERS: [(&str, u32); 7] = [
    ("prompt", 50),
    ("slow", 50),
    ("flaky", 12),
    ("remote", 50),
    ("late", 50),
    ("poison", POISON_ATTEMPTS),
    (LEAF, 50),
];

/// The limit of attempts of `poison`, whose events kill the server.
pub const POISON_ATTEMPTS: u32 = 3;

/// The limit of attempts of a consumer.
pub fn max_attempts(consumer: &str) -> u32 {
    CONSUMERS.iter().find(|(name, _)| *name == consumer).map_or(u32::MAX, |(_, max)| *max)
}

/// The consumers, listening.
#[derive(Debug, Clone)]
pub struct Receivers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ledgers: Arc<Ledgers>,
    address: SocketAddr,
    server: SocketAddr,
    seen: Mutex<Seen>,
    poisoned: Notify,
}

#[derive(Debug)]
struct Seen {
    applied: HashSet<(String, String)>,
    fences: HashMap<String, Vec<u64>>,
    rng: SmallRng,
}

impl Receivers {
    /// Starts to listen; calls go to `server`.
    pub async fn start(ledgers: Arc<Ledgers>, server: SocketAddr, seed: u64) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let rng = SmallRng::seed_from_u64(seed);
        let seen = Mutex::new(Seen { applied: HashSet::new(), fences: HashMap::new(), rng });
        let receivers = Self(Arc::new(Inner { ledgers, address, server, seen, poisoned: Notify::new() }));
        let router = Router::new().route("/{consumer}", post(receive)).with_state(receivers.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receivers
    }

    /// What the server's configuration says of them.
    pub fn consumers(&self) -> Vec<Consumer> {
        let consumer = |(name, attempts): (&str, u32)| {
            let kind = if name == LEAF { FOLLOWS.to_owned() } else { format!("a.{name}") };
            let consumer = Consumer::new(name, &kind, self.0.address).max_attempts(attempts);
            if name == LEAF { consumer } else { consumer.emits(FOLLOWS) }
        };
        CONSUMERS.into_iter().map(consumer).collect()
    }

    /// Returns when an event has arrived that kills the server.
    pub async fn poisoned(&self) {
        self.0.poisoned.notified().await;
    }

    /// Writes an attempt down before anything is done about it.
    fn note(&self, consumer: String, headers: &HeaderMap) -> Attempt {
        let text = |name: &str| {
            let value = headers.get(name).unwrap_or_else(|| panic!("a delivery has the header {name}"));
            value.to_str().expect("text").to_owned()
        };
        let number = |name: &str| text(name).parse::<u64>().expect("a number");
        let (event, delivery, fence) = (text("ce-id"), text("acceptd-delivery"), number("acceptd-fence"));
        let mut seen = self.0.seen.lock().expect("no panic");
        let fences = seen.fences.entry(delivery.clone()).or_default();
        let is_newest = fences.iter().all(|known| *known < fence);
        fences.push(fence);
        let applied = is_newest && seen.applied.insert((consumer.clone(), event.clone()));
        let (operation, number) = (text("acceptd-operation"), number("acceptd-attempt") as u32);
        let attempt = Attempt { consumer, event, operation, delivery, fence, number, applied };
        self.0.ledgers.consumers.add(ConsumerEntry::Attempt(attempt.clone()));
        attempt
    }

    fn random(&self, range: std::ops::Range<u64>) -> u64 {
        self.0.seen.lock().expect("no panic").rng.random_range(range)
    }

    fn fences(&self, delivery: &str) -> Vec<u64> {
        self.0.seen.lock().expect("no panic").fences.get(delivery).cloned().unwrap_or_default()
    }

    /// Calls acceptd about a delivery until it answers, also while it is down.
    async fn call(&self, delivery: &str, verb: &'static str, fence: u64, body: &str) -> Option<u16> {
        let newest = self.fences(delivery).into_iter().max().unwrap_or(0);
        let path = format!("/v1/deliveries/{delivery}/{verb}");
        let (fence_text, since) = (fence.to_string(), Instant::now());
        let content_type = if verb == "complete" { OUTCOME } else { "application/json" };
        let headers = [("content-type", content_type), ("acceptd-fence", fence_text.as_str())];
        let answer = loop {
            match Client::new(self.0.server).post(&path, &headers, body.as_bytes()).await {
                Ok(answer) if answer.status != 503 => break Some(answer),
                _ if since.elapsed() > CALL_PATIENCE => break None,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let status = answer.as_ref().map(|answer| answer.status);
        let applied = answer.is_some_and(|answer| answer.status == 200 && answer.json()["applied"] == true);
        let call = Call { delivery: delivery.to_owned(), verb, fence, newest, status, applied };
        self.0.ledgers.consumers.add(ConsumerEntry::Call(call));
        status
    }

    /// A target that answered 202 works, shows that it lives, and calls its end in.
    async fn work_elsewhere(self, attempt: Attempt) {
        for _ in 0..self.random(0..3) {
            self.take_time(20..80).await;
            if self.call(&attempt.delivery, "heartbeat", attempt.fence, "{}").await == Some(409) {
                return;
            }
        }
        self.call(&attempt.delivery, "complete", attempt.fence, &outcome(&attempt)).await;
    }

    /// The consumer's own work.
    async fn take_time(&self, milliseconds: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(self.random(milliseconds))).await;
    }
}

/// How a done attempt answers: two events follow.
fn outcome(attempt: &Attempt) -> String {
    let emit: Vec<_> =
        (0..FOLLOW_COUNT).map(|nth| serde_json::json!({ "type": FOLLOWS, "data": { "nth": nth } })).collect();
    serde_json::json!({ "result": { "fence": attempt.fence }, "emit": emit }).to_string()
}

async fn receive(State(receivers): State<Receivers>, Path(consumer): Path<String>, headers: HeaderMap) -> Response {
    let attempt = receivers.note(consumer, &headers);
    let done = || ([("content-type", OUTCOME)], outcome(&attempt)).into_response();
    match attempt.consumer.as_str() {
        "prompt" => done(),
        "slow" => {
            receivers.take_time(50..300).await;
            done()
        }
        "flaky" => match receivers.random(0..100) {
            0..30 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            30..35 => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
            _ => done(),
        },
        "remote" => {
            tokio::spawn(receivers.clone().work_elsewhere(attempt));
            StatusCode::ACCEPTED.into_response()
        }
        "late" => match receivers.fences(&attempt.delivery).as_slice() {
            // It takes the first attempt over, is silent past its lease, and calls when the next one is under way.
            [_only] => StatusCode::ACCEPTED.into_response(),
            [first, ..] => {
                receivers.call(&attempt.delivery, "complete", *first, &outcome(&attempt)).await;
                done()
            }
            [] => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
        "poison" if receivers.fences(&attempt.delivery).len() <= 2 * POISON_ATTEMPTS as usize => {
            receivers.0.poisoned.notify_one();
            // It is never answered: the server dies of it. A server that counts wrongly gets an end at last.
            std::future::pending().await
        }
        "poison" => done(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}
