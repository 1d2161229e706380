//! Short builders for tests of a store: `accept("a").owner("u").deliver_to("c").to(&store).await`.
//!
//! Time is counted in seconds from [`START`]; nodes are numbered; every consumer has [`MAX_ATTEMPTS`] attempts.

use std::time::Duration;

use acceptd::limit::{LimitUse, Policy};
use acceptd::store::{
    Accept, Accepted, Claim, Claimed, Claims, DeadLetters, IdempotencyKey, KeyRef, Page, Pausable, Register,
    Registered, Serving, Settle, Settled, Stopped, Verdict, Wanted,
};
use acceptd::{
    Closure, Data, DeliveryId, Draft, ErrorKind, Failure, Gate, Limit, NewEvent, NodeId, Notice, OperationId,
    ProgressReport, Result, Route, Status, Store, Timestamp, Weight,
};

/// When every test begins.
pub const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
/// How long a node may be silent in these tests.
pub const LEASE: Duration = Duration::from_secs(10);
/// The attempts of every consumer in these tests.
pub const MAX_ATTEMPTS: u32 = 3;
/// A page that is larger than any listing of these tests.
pub const ALL: Page = Page { before: None, size: 1_000 };

/// So many seconds after [`START`].
pub fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// So many milliseconds after [`START`].
pub fn at_ms(millis: u64) -> Timestamp {
    START + Duration::from_millis(millis)
}

/// The node of this number.
pub fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

/// An operation to accept, being put together.
#[derive(Debug, Clone)]
pub struct Accepting(Accept);

/// Begins an operation with one root event of this type that nobody takes yet.
pub fn accept(kind: &'static str) -> Accepting {
    Accepting(Accept {
        events: vec![Draft::new(kind).into()],
        owner: None,
        due: START,
        priority: 0,
        idempotency: None,
        backlog_max: 1_000_000,
        now: START,
    })
}

impl Accepting {
    fn last(&mut self) -> &mut NewEvent {
        self.0.events.last_mut().expect("there is a first event")
    }

    /// Adds a root event of this type; what follows is about it.
    pub fn and(mut self, kind: &'static str) -> Self {
        self.0.events.push(Draft::new(kind).into());
        self
    }

    /// Takes every root event away.
    pub fn nothing(mut self) -> Self {
        self.0.events.clear();
        self
    }

    /// Delivers the last event to a consumer that decides the operation's state.
    pub fn deliver_to(self, consumer: &str) -> Self {
        self.route(consumer, Weight::Tracked)
    }

    /// Delivers the last event to a consumer.
    pub fn route(mut self, consumer: &str, weight: Weight) -> Self {
        self.last().routes.push(Route { weight, ..Route::to(consumer) });
        self
    }

    /// Delivers the last event to a consumer at the place that its policy finds, once owner and data are said.
    pub fn taken_by(mut self, serving: &Serving) -> Self {
        let owner = self.0.owner.clone();
        let route = serving.route(&self.last().draft, owner.as_deref()).unwrap();
        self.last().routes.push(route);
        self
    }

    /// Gives the last event its data.
    pub fn data(mut self, text: &str) -> Self {
        self.last().draft.data = Some(json(text));
        self
    }

    /// Gives the last event its subject.
    pub fn subject(mut self, subject: &str) -> Self {
        self.last().draft.subject = Some(subject.to_owned());
        self
    }

    /// Gives the last event its producer's id.
    pub fn id(mut self, id: &str) -> Self {
        self.last().draft.id = Some(id.to_owned());
        self
    }

    /// Gives the last event a source.
    pub fn source(mut self, source: &'static str) -> Self {
        self.last().draft.source = source.into();
        self
    }

    /// Replaces the last event's draft.
    pub fn draft(mut self, draft: Draft) -> Self {
        self.last().draft = draft;
        self
    }

    /// Names the owner.
    pub fn owner(mut self, owner: &str) -> Self {
        self.0.owner = Some(owner.to_owned());
        self
    }

    /// Sets the earliest start.
    pub fn due(mut self, due: Timestamp) -> Self {
        self.0.due = due;
        self
    }

    /// Sets the priority.
    pub fn priority(mut self, priority: i8) -> Self {
        self.0.priority = priority;
        self
    }

    /// Adds an idempotency key that is kept for an hour; `request` stands for the request's content.
    pub fn key(mut self, scope: &str, key: &str, request: u8) -> Self {
        let expires = self.0.now + Duration::from_secs(3_600);
        let fingerprint = [request; 32];
        self.0.idempotency =
            Some(IdempotencyKey { scope: scope.to_owned(), key: key.to_owned(), fingerprint, expires });
        self
    }

    /// Sets the most deliveries that may wait.
    pub fn backlog_max(mut self, max: u64) -> Self {
        self.0.backlog_max = max;
        self
    }

    /// Moves the accept, and its due time, to a later instant.
    pub fn now(mut self, now: Timestamp) -> Self {
        self.0.now = now;
        self.0.due = self.0.due.max(now);
        self
    }

    /// What a store is asked.
    pub fn build(self) -> Accept {
        self.0
    }

    /// Accepts it.
    pub async fn to(self, store: &dyn Store) -> Accepted {
        store.accept(self.0).await.unwrap()
    }

    /// Accepts it and answers the operation's id.
    pub async fn id_from(self, store: &dyn Store) -> OperationId {
        self.to(store).await.operation.id
    }

    /// Tries to accept it and answers why that was refused.
    pub async fn refused_by(self, store: &dyn Store) -> ErrorKind {
        store.accept(self.0).await.unwrap_err().kind()
    }
}

/// An event to emit to one consumer.
pub fn emit(kind: &'static str, consumer: &str, weight: Weight) -> NewEvent {
    let route = Route { weight, ..Route::to(consumer) };
    NewEvent { draft: Draft::new(kind), routes: vec![route] }
}

/// A consumer with room for so many.
pub fn wanted(consumer: &str, max: usize) -> Wanted {
    Wanted { consumer: consumer.to_owned(), max, max_attempts: MAX_ATTEMPTS, remote_for: None }
}

/// A claim by node 1.
pub fn claim_of(consumer: &str, max: usize, now: Timestamp) -> Claim {
    Claim { wanted: vec![wanted(consumer, max)], node: node(1), now }
}

/// Claims up to 100 deliveries of a consumer for node 1.
pub async fn claim(store: &dyn Store, consumer: &str, now: Timestamp) -> Claims {
    store.claim(claim_of(consumer, 100, now)).await.unwrap()
}

/// Claims for several consumers together, up to so many deliveries of each, for node 1.
pub async fn claim_together(store: &dyn Store, wants: &[(&str, usize)], now: Timestamp) -> Claims {
    let wanted = wants.iter().map(|(consumer, max)| wanted(consumer, *max)).collect();
    store.claim(Claim { wanted, node: node(1), now }).await.unwrap()
}

/// Claims up to so many deliveries of a consumer whose target may go on for so many seconds with what nobody hears of.
pub async fn claim_remote(store: &dyn Store, consumer: &str, max: usize, seconds: u64, now: Timestamp) -> Vec<Claimed> {
    let remote_for = Some(Duration::from_secs(seconds));
    let wanted = vec![Wanted { remote_for, ..wanted(consumer, max) }];
    store.claim(Claim { wanted, node: node(1), now }).await.unwrap().claimed
}

/// When the pause of a claim's first paused consumer ends.
pub fn pause_of(claims: &Claims) -> Option<Option<Timestamp>> {
    claims.paused.first().map(|(_, until)| *until)
}

/// Claims the next delivery of a consumer for node 1; there must be one.
pub async fn claim_one(store: &dyn Store, consumer: &str, now: Timestamp) -> Claimed {
    claim_for(store, 1, consumer, now).await
}

/// Claims the next delivery of a consumer for a node; there must be one.
pub async fn claim_for(store: &dyn Store, number: u8, consumer: &str, now: Timestamp) -> Claimed {
    let claim = Claim { node: node(number), ..claim_of(consumer, 1, now) };
    store.claim(claim).await.unwrap().claimed.pop().expect("a delivery is due")
}

/// Tries to settle an attempt.
pub async fn try_settle(store: &dyn Store, attempt: &Claimed, verdict: Verdict, now: Timestamp) -> Result<Settled> {
    let (delivery, fence) = (attempt.delivery.id, attempt.delivery.fence);
    store.settle(Settle { delivery, fence, verdict, now }).await
}

/// Settles an attempt.
pub async fn settle(store: &dyn Store, attempt: &Claimed, verdict: Verdict, now: Timestamp) -> Settled {
    try_settle(store, attempt, verdict, now).await.unwrap()
}

/// Why a settle is refused.
pub async fn refusal(store: &dyn Store, attempt: &Claimed, verdict: Verdict, now: Timestamp) -> ErrorKind {
    try_settle(store, attempt, verdict, now).await.unwrap_err().kind()
}

/// Claims the next delivery of a consumer and settles it.
pub async fn run(store: &dyn Store, consumer: &str, verdict: Verdict, now: Timestamp) -> Settled {
    let attempt = claim_one(store, consumer, now).await;
    settle(store, &attempt, verdict, now).await
}

/// Ended well, with nothing to say.
pub fn done() -> Verdict {
    Verdict::Done { result: None, emit: Vec::new(), notify: None, progress: None, pause: None }
}

/// Ended well with a result.
pub fn done_with(result: &str) -> Verdict {
    Verdict::Done { result: Some(json(result)), emit: Vec::new(), notify: None, progress: None, pause: None }
}

/// Ended well, and these events follow.
pub fn done_emitting(emit: Vec<NewEvent>) -> Verdict {
    Verdict::Done { result: None, emit, notify: None, progress: None, pause: None }
}

/// Ended well with a message to the owner.
pub fn done_telling(title: &str) -> Verdict {
    let notice = Notice { title: title.to_owned(), ..Notice::default() };
    Verdict::Done { result: None, emit: Vec::new(), notify: Some(notice), progress: None, pause: None }
}

/// Failed; try again then.
pub fn retry_at(due: Timestamp) -> Verdict {
    Verdict::Retry { due, failure: failure("it broke"), unfinished: false }
}

/// Throttled until then.
pub fn throttled(due: Timestamp) -> Verdict {
    Verdict::Throttled { due, failure: failure("too many requests"), limit: None }
}

/// A dead letter at once.
pub fn give_up() -> Verdict {
    Verdict::GiveUp { failure: failure("it is hopeless"), outcome: None }
}

/// A failure with this message.
pub fn failure(message: &str) -> Failure {
    Failure::new("broken", message)
}

/// A JSON document.
pub fn json(text: &str) -> Data {
    Data::new(acceptd::JSON, text.to_owned())
}

/// A progress of so many units of ten.
pub fn progress(done: u64) -> ProgressReport {
    ProgressReport { done, total: 10, message: Some("counting".to_owned()) }
}

/// A pause by a person, or a timed one when it has an end.
pub fn pause(from: Timestamp, until: Option<Timestamp>) -> Closure {
    let by = if until.is_some() { "target" } else { "someone" };
    Closure { gate: Gate::Pause, from, until, by: by.to_owned(), reason: "for the test".to_owned() }
}

/// Registers a node that serves consumers, each for events of the type with its own name.
pub async fn serve(store: &dyn Store, number: u8, consumers: &[&str], now: Timestamp) -> Registered {
    let serving = consumers.iter().map(|consumer| serving(consumer, consumer)).collect();
    register(store, number, serving, now).await
}

/// Registers a node.
pub async fn register(store: &dyn Store, number: u8, consumers: Vec<Serving>, now: Timestamp) -> Registered {
    store.register(Register { node: node(number), consumers, limits: Vec::new(), lease: LEASE, now }).await.unwrap()
}

/// A consumer that a node serves, for events of one pattern.
pub fn serving(consumer: &str, on: &str) -> Serving {
    let (on, policy) = (vec![on.to_owned()], Policy::default());
    Serving { on, consumer: consumer.to_owned(), weight: Weight::Tracked, policy }
}

/// Says that limits hold a consumer; each is counted by its own key.
pub fn held(serving: Serving, limits: &[&Limit]) -> Serving {
    let mut uses: Vec<_> =
        limits.iter().map(|limit| LimitUse { limit: limit.name.clone(), key: limit.key.clone() }).collect();
    uses.sort_by(|one, other| one.limit.cmp(&other.limit));
    Serving { policy: Policy { limits: uses, ..serving.policy }, ..serving }
}

/// Says that a consumer's deliveries of a key run strictly one after the other.
pub fn ordered(serving: Serving) -> Serving {
    Serving { policy: Policy { ordered: true, ..serving.policy }, ..serving }
}

/// Registers node 1 with limits and the consumers that they hold, each for events of the type with its own name.
pub async fn declare(store: &dyn Store, limits: &[&Limit], consumers: &[&Serving], now: Timestamp) -> Registered {
    let limits = limits.iter().map(|limit| (*limit).clone()).collect();
    let consumers = consumers.iter().map(|serving| (*serving).clone()).collect();
    store.register(Register { node: node(1), consumers, limits, lease: LEASE, now }).await.unwrap()
}

/// A limit's key.
pub fn key(limit: &str, key: &str) -> KeyRef {
    KeyRef { limit: limit.into(), key: key.into() }
}

/// A limit, or one of its keys, to pause or resume.
pub fn of_limit(limit: &str, key: Option<&str>) -> Pausable {
    Pausable::Limit { limit: limit.to_owned(), key: key.map(str::to_owned) }
}

/// An operation's status.
pub async fn status(store: &dyn Store, operation: OperationId) -> Status {
    store.operation(operation).await.unwrap().status()
}

/// An operation with one dead letter in a consumer.
pub async fn dead_letter(store: &dyn Store, consumer: &str, now: Timestamp) -> (OperationId, DeliveryId) {
    let operation = accept("a").deliver_to(consumer).now(now).id_from(store).await;
    let attempt = claim_one(store, consumer, now).await;
    assert_eq!(attempt.delivery.operation, operation, "nothing else may be waiting");
    settle(store, &attempt, give_up(), now).await;
    (operation, attempt.delivery.id)
}

/// Retries one dead letter.
pub async fn revive(store: &dyn Store, delivery: DeliveryId, now: Timestamp) -> Stopped {
    store.retry(DeadLetters::Delivery(delivery), now).await.unwrap()
}

/// The titles of all notifications of an owner, oldest first.
pub async fn told(store: &dyn Store, owner: &str) -> Vec<String> {
    let query = acceptd::store::NotificationQuery { owner: Some(owner.to_owned()), after: Some(0), page: ALL };
    let listing = store.notifications(query).await.unwrap();
    listing.items.into_iter().map(|notification| notification.title).collect()
}

/// Accepts an event with `{"k": key}` for a consumer, of an owner, due now.
pub async fn put(store: &dyn Store, serving: &Serving, owner: &str, key: &str, now: Timestamp) -> OperationId {
    let data = format!("{{\"k\":{key:?}}}");
    accept("a").owner(owner).data(&data).taken_by(serving).now(now).id_from(store).await
}

/// Who has the deliveries of a claim: their owners, in its order.
pub fn owners(claims: &Claims) -> Vec<&str> {
    claims.claimed.iter().map(|claimed| claimed.owner.as_deref().unwrap_or_default()).collect()
}

/// The groups of the deliveries of a claim, in its order.
pub fn groups(claims: &Claims) -> Vec<&str> {
    claims.claimed.iter().map(|claimed| &claimed.delivery.lane.group[..]).collect()
}
