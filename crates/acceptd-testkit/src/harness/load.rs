//! Clients that ask for work while the server is being broken, and keep account of what they were promised.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::sync::watch;

use super::http::{Answer, Client};
use super::ledger::{Answered, ApiEntry, ClientEntry, Ledgers, Request};

/// How many of a hundred requests are for each event type `a.…`.
pub type Mix = &'static [(&'static str, u64)];

/// Everything a client needs.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the server is, in every life.
    pub server: std::net::SocketAddr,
    /// What clients ask for.
    pub mix: Mix,
    /// Where they note it.
    pub ledgers: Arc<Ledgers>,
    /// True when they shall finish the request they are at and stop.
    pub stop: watch::Receiver<bool>,
}

/// In which form a request goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Typed,
    Structured,
    Binary,
    Batch,
}

impl Load {
    /// Runs one client: one request after the other, each sent until it is answered or given up.
    pub async fn client(self, name: usize, seed: u64) {
        let mut client = Client::new(self.server);
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut promised: Vec<(Form, Arc<Request>)> = Vec::new();
        for number in 0.. {
            if *self.stop.borrow() {
                return;
            }
            let again = (!promised.is_empty() && rng.random_ratio(1, 20)).then(|| rng.random_range(0..promised.len()));
            let (form, request) = match again {
                // A client that forgot that it was answered: it must get the same operation.
                Some(index) => promised[index].clone(),
                None => self.new_request(format!("client-{name}-{number}"), &mut rng),
            };
            if self.send(&mut client, form, &request, &mut rng).await {
                promised.push((form, request));
            }
            if rng.random_ratio(1, 10) && !promised.is_empty() {
                self.look(&mut client, rng.random_range(0..10_000)).await;
            }
            // How fast clients ask: the load, not a wait for something.
            tokio::time::sleep(Duration::from_millis(rng.random_range(5..40))).await;
        }
    }

    /// Sends one event of this type until it is accepted.
    pub async fn one(&self, kind: &str, key: &str) {
        let request = Arc::new(Request { key: key.to_owned(), kind: kind.to_owned(), events: Vec::new(), owner: None });
        let mut rng = SmallRng::seed_from_u64(0);
        self.send(&mut Client::new(self.server), Form::Typed, &request, &mut rng).await;
    }

    fn new_request(&self, key: String, rng: &mut SmallRng) -> (Form, Arc<Request>) {
        let mut left = rng.random_range(0..self.mix.iter().map(|(_, share)| share).sum());
        let kind = self.mix.iter().find(|(_, share)| {
            let found = left < *share;
            left = left.saturating_sub(*share);
            found
        });
        let (form, count) = match rng.random_range(0..10) {
            0..4 => (Form::Typed, 0),
            4..7 => (Form::Structured, 1),
            7..9 => (Form::Binary, 1),
            _ => (Form::Batch, rng.random_range(2..8)),
        };
        let events = (0..count).map(|nth| format!("{key}.{nth}")).collect();
        let owner = rng.random_bool(0.5).then(|| format!("owner-{}", rng.random_range(0..5)));
        let kind = format!("a.{}", kind.expect("a share").0);
        (form, Arc::new(Request { key, kind, events, owner }))
    }

    /// Sends a request until it is answered. Most clients ask again after a lost answer, some give up: for acceptd
    /// both are the same, and neither may have it twice. True when it was accepted.
    async fn send(&self, client: &mut Client, form: Form, request: &Arc<Request>, rng: &mut SmallRng) -> bool {
        let gives_up = form != Form::Typed && rng.random_ratio(1, 4);
        loop {
            let answer = self.post(client, form, request).await;
            let answered = match &answer {
                Ok(answer) if matches!(answer.status, 200 | 202) => {
                    let id = answer.json()["id"].as_str().expect("an operation has an id").to_owned();
                    Answered::Accepted { operation: id }
                }
                Ok(answer) => Answered::Refused(answer.status),
                Err(_) => Answered::Unknown,
            };
            let accepted = matches!(answered, Answered::Accepted { .. });
            let ends = accepted || answered == Answered::Unknown && gives_up;
            self.ledgers.clients.add(ClientEntry { request: Arc::clone(request), answer: answered });
            if ends {
                return accepted;
            }
            // A client's rest before it asks again.
            tokio::time::sleep(Duration::from_millis(rng.random_range(5..30))).await;
        }
    }

    async fn post(&self, client: &mut Client, form: Form, request: &Request) -> std::io::Result<Answer> {
        let Request { key, kind, events, owner } = request;
        let quoted = format!("\"{key}\"");
        let mut headers = vec![("idempotency-key", quoted.as_str())];
        headers.extend(owner.as_ref().map(|owner| ("acceptd-owner", owner.as_str())));
        let payload = json!({ "key": key });
        let data = payload.to_string();
        let event =
            |id: &String| json!({ "specversion": "1.0", "id": id, "source": "/fault", "type": kind, "data": payload });
        match form {
            Form::Typed => client.post(&format!("/v1/events/{kind}"), &headers, data.as_bytes()).await,
            Form::Structured => {
                headers.push(("content-type", "application/cloudevents+json"));
                client.post("/v1/events", &headers, event(&events[0]).to_string().as_bytes()).await
            }
            Form::Binary => {
                headers.extend([("ce-specversion", "1.0"), ("ce-id", &events[0]), ("ce-source", "/fault")]);
                headers.push(("ce-type", kind));
                client.post("/v1/events", &headers, data.as_bytes()).await
            }
            Form::Batch => {
                headers.push(("content-type", "application/cloudevents-batch+json"));
                let batch = serde_json::Value::from_iter(events.iter().map(event));
                client.post("/v1/events", &headers, batch.to_string().as_bytes()).await
            }
        }
    }

    /// Looks at one of the operations that were promised, and writes down how it stands.
    async fn look(&self, client: &mut Client, pick: usize) {
        let lately = self.ledgers.clients.last(300).into_iter().filter_map(|entry| match entry.answer {
            Answered::Accepted { operation } => Some(operation),
            Answered::Refused(_) | Answered::Unknown => None,
        });
        let lately: Vec<String> = lately.collect();
        let Some(operation) = lately.get(pick % lately.len().max(1)).cloned() else { return };
        let Ok(answer) = client.get(&format!("/v1/operations/{operation}")).await else { return };
        let status = match answer.status {
            200 => answer.json()["status"].as_str().expect("a status").to_owned(),
            status => format!("HTTP {status}"),
        };
        self.ledgers.api.add(ApiEntry::Seen { operation, status });
    }
}
