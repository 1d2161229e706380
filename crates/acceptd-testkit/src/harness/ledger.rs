//! What everyone saw, kept by the harness and never by the server: entries are only ever added.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Entries in the order in which they happened.
#[derive(Debug)]
pub struct Ledger<T>(Mutex<Vec<T>>);

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T: Clone> Ledger<T> {
    /// Adds an entry.
    pub fn add(&self, entry: T) {
        self.0.lock().expect("no panic").push(entry);
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<T> {
        self.0.lock().expect("no panic").clone()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last of them.
    pub fn last(&self, count: usize) -> Vec<T> {
        let entries = self.0.lock().expect("no panic");
        entries[entries.len().saturating_sub(count)..].to_vec()
    }
}

/// The three ledgers of a run.
#[derive(Debug, Default)]
pub struct Ledgers {
    /// What clients sent and were answered.
    pub clients: Ledger<ClientEntry>,
    /// What consumers were sent, did and called.
    pub consumers: Ledger<ConsumerEntry>,
    /// What the API said of operations.
    pub api: Ledger<ApiEntry>,
}

impl Ledgers {
    /// Every request with everything that came of it, in the order of the keys.
    pub fn requests(&self) -> BTreeMap<String, (Arc<Request>, Vec<Answered>)> {
        let mut requests = BTreeMap::new();
        for ClientEntry { request, answer } in self.clients.entries() {
            let (_, answers) = requests.entry(request.key.clone()).or_insert_with(|| (request, Vec::new()));
            answers.push(answer);
        }
        requests
    }

    /// What arrived at consumers.
    pub fn attempts(&self) -> Vec<Attempt> {
        let attempt = |entry| match entry {
            ConsumerEntry::Attempt(attempt) => Some(attempt),
            ConsumerEntry::Call(_) => None,
        };
        self.consumers.entries().into_iter().filter_map(attempt).collect()
    }

    /// What consumers called.
    pub fn calls(&self) -> Vec<Call> {
        let call = |entry| match entry {
            ConsumerEntry::Call(call) => Some(call),
            ConsumerEntry::Attempt(_) => None,
        };
        self.consumers.entries().into_iter().filter_map(call).collect()
    }

    /// The operations at the end.
    pub fn operations(&self) -> Vec<Operation> {
        let operation = |entry| match entry {
            ApiEntry::Final(operation) => Some(operation),
            ApiEntry::Seen { .. } | ApiEntry::Notification { .. } => None,
        };
        self.api.entries().into_iter().filter_map(operation).collect()
    }
}

/// Something a client asks for, under one idempotency key, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its idempotency key.
    pub key: String,
    /// The type of its events.
    pub kind: String,
    /// The ids of its events; empty when acceptd gives the id.
    pub events: Vec<String>,
    /// Who is told how it ends.
    pub owner: Option<String>,
}

/// One line of the clients' ledger.
#[derive(Debug, Clone)]
pub struct ClientEntry {
    /// What was asked for.
    pub request: Arc<Request>,
    /// What came of it.
    pub answer: Answered,
}

/// What a client got for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// 202, or 200: the promise.
    Accepted {
        /// The operation's id.
        operation: String,
    },
    /// Another status.
    Refused(u16),
    /// No answer: it may have been accepted or not.
    Unknown,
}

/// One line of the consumers' ledger.
#[derive(Debug, Clone)]
pub enum ConsumerEntry {
    /// An event arrived.
    Attempt(Attempt),
    /// The consumer called about a delivery.
    Call(Call),
}

/// An event as it arrived at a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The consumer.
    pub consumer: String,
    /// The event's id.
    pub event: String,
    /// `Acceptd-Operation`.
    pub operation: String,
    /// `Acceptd-Delivery`.
    pub delivery: String,
    /// `Acceptd-Fence`.
    pub fence: u64,
    /// `Acceptd-Attempt`.
    pub number: u32,
    /// Whether its effect was applied: only when the event was new and no newer attempt was known.
    pub applied: bool,
}

/// A call of `/v1/deliveries/{id}/…` by a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The delivery.
    pub delivery: String,
    /// `complete`, `heartbeat`, …
    pub verb: &'static str,
    /// The fence it was called with.
    pub fence: u64,
    /// The highest fence that the consumer had been sent before it called.
    pub newest: u64,
    /// The answer; None when there never was one.
    pub status: Option<u16>,
    /// Whether it changed something.
    pub applied: bool,
}

/// One line of the API's ledger.
#[derive(Debug, Clone)]
pub enum ApiEntry {
    /// The status of an operation at some moment of the run.
    Seen {
        /// The operation.
        operation: String,
        /// Its status.
        status: String,
    },
    /// An operation at the end, with its whole chain.
    Final(Operation),
    /// A notification at the end.
    Notification {
        /// The operation it is about.
        operation: String,
    },
}

/// An operation at the end of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: String,
    /// Its owner.
    pub owner: Option<String>,
    /// Its events.
    pub events: Vec<Event>,
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
}

/// An event of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The id of the event before it.
    pub cause: Option<String>,
}

/// A delivery of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: String,
    /// Its event.
    pub event: String,
    /// Its consumer.
    pub consumer: String,
    /// `done`, `dead`, …
    pub state: String,
    /// The records of its attempts, oldest first.
    pub attempts: Vec<Record>,
}

/// The record of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Its fence.
    pub fence: u64,
    /// `done`, `retry`, `lost`, …
    pub ending: String,
}

/// Whether a status or a state is an end.
pub fn is_end(word: &str) -> bool {
    matches!(word, "succeeded" | "failed" | "canceled" | "done" | "dead")
}
