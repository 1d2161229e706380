//! One store of the model: runs commands on it, and takes pictures of everything it shows.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use acceptd::store::{
    Accept, Chain, Claim, Claims, ConsumerResult, ConsumerView, DeadLetter, DeadLetters, DeliveryView, GroupCount,
    Health, HoldId, IdempotencyKey, Item, LimitView, NotificationQuery, OperationFilter, Page, Permit, Permitted,
    Register, Replay, Settle, Standing, Step, Stopped, Verdict,
};
use acceptd::{DeliveryId, Gate, NodeId, Notice, Notification, NotificationId, OperationId, Result, Store, Timestamp};

use super::scene::{self, CONSUMERS, LIMITS};
use super::{Command, Ending, Fence, Request};
use crate::factory::{ALL, LEASE, failure, json, key, node, of_limit, progress};
use crate::store::reopen::Reopen;

/// A store and what has been seen of it.
pub struct Side<'a> {
    place: &'a dyn Reopen,
    store: Option<Arc<dyn Store>>,
    operations: Vec<OperationId>,
    deliveries: Vec<DeliveryId>,
    notifications: Vec<NotificationId>,
    attempts: Vec<(DeliveryId, u64)>,
    names: HashMap<String, usize>,
    reopened: u8,
    permits: Vec<HoldId>,
    seen: Seen,
}

/// What the last command gave out.
#[derive(Debug, Default)]
pub struct Seen {
    /// What a claim gave.
    pub claims: Claims,
    /// The permit that was given.
    pub permitted: Option<Permitted>,
    /// The permit that was given back.
    pub given_back: Option<HoldId>,
}

/// Everything that a store shows.
#[derive(Debug)]
pub struct Picture {
    /// Its operations, oldest first: everything of them.
    pub operations: Vec<OperationPicture>,
    /// Dead letters.
    pub dead_letters: Vec<DeadLetter>,
    /// Notifications.
    pub notifications: Vec<Notification>,
    /// Consumers.
    pub consumers: Vec<ConsumerView>,
    /// Limits.
    pub limits: Vec<LimitView>,
    /// What holds each group of a live delivery.
    pub standings: Vec<(String, String, Standing)>,
    /// Its health.
    pub health: Health,
}

/// Everything of an operation.
#[derive(Debug)]
pub struct OperationPicture {
    /// Its chain.
    pub chain: Chain,
    /// Its results.
    pub results: Vec<ConsumerResult>,
    /// Its deliveries that have not ended.
    pub live: Vec<DeliveryView>,
    /// The steps of its deliveries.
    pub steps: Vec<Vec<(String, Vec<u8>)>>,
    /// Its items.
    pub items: Vec<Item>,
    /// What waits and runs of it.
    pub groups: Vec<GroupCount>,
}

impl<'a> Side<'a> {
    /// Opens the store at a place.
    pub fn new(place: &'a dyn Reopen) -> Self {
        Self {
            place,
            store: Some(place.open()),
            operations: Vec::new(),
            deliveries: Vec::new(),
            notifications: Vec::new(),
            attempts: Vec::new(),
            names: HashMap::new(),
            reopened: 0,
            permits: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// What the last command gave out.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("it is open between commands")
    }

    /// The node of this number; a restarted process is another node.
    fn node(&self, number: u8) -> NodeId {
        node(number + 3 * self.reopened)
    }

    /// Runs a command and tells the answer, ids apart.
    pub async fn perform(&mut self, command: &Command, now: Timestamp) -> String {
        self.seen = Seen::default();
        let answer = match command {
            Command::Accept(request) => self.accept(request, now).await,
            Command::Claim { consumers, node, max } => self.claim(consumers, *node, *max, now).await,
            Command::Permit { .. } | Command::GiveBack(_) => self.permit(command, now).await,
            Command::Settle { attempt, fence, verdict } => self.settle((*attempt, *fence), verdict, now).await,
            Command::Cancel(number) => match back(&self.operations, *number) {
                Some(id) => stopped(self.store().cancel(id, now).await),
                None => String::new(),
            },
            Command::RetryAll(number) => match back(&self.operations, *number) {
                Some(id) => stopped(self.store().retry(DeadLetters::Operation(id), now).await),
                None => String::new(),
            },
            Command::RetryOne(number) => match back(&self.deliveries, *number) {
                Some(id) => stopped(self.store().retry(DeadLetters::Delivery(id), now).await),
                None => String::new(),
            },
            Command::Discard(number) => match back(&self.deliveries, *number) {
                Some(id) => stopped(self.store().discard(id, now).await),
                None => String::new(),
            },
            Command::Read(number) => match back(&self.notifications, *number) {
                Some(id) => told(self.store().read(id, now).await),
                None => String::new(),
            },
            Command::Reopen => {
                self.store = None;
                self.store = Some(self.place.open());
                self.reopened += 1;
                String::new()
            }
            Command::Wait(_) => String::new(),
            Command::Extend { .. } | Command::Report { .. } | Command::Remember { .. } => {
                self.while_running(command, now).await
            }
            _ => self.control(command, now).await,
        };
        self.anonymous(&answer)
    }

    async fn accept(&mut self, request: &Request, now: Timestamp) -> String {
        let answer = self.store().accept(accept(request, now)).await;
        if let Ok(accepted) = &answer
            && accepted.replay == Replay::New
        {
            self.operations.push(accepted.operation.id);
        }
        told(answer.map(|mut accepted| {
            accepted.woken.sort();
            accepted
        }))
    }

    async fn claim(&mut self, consumers: &[usize], number: u8, max: usize, now: Timestamp) -> String {
        let wanted = consumers.iter().map(|consumer| scene::wanted(CONSUMERS[*consumer], max)).collect();
        let claim = Claim { wanted, node: self.node(number), now };
        let answer = self.store().claim(claim).await;
        self.seen.claims = answer.as_ref().ok().cloned().unwrap_or_default();
        let claimed = answer.iter().flat_map(|claims| &claims.claimed);
        let attempts: Vec<_> = claimed.map(|claimed| (claimed.delivery.id, claimed.delivery.fence)).collect();
        self.attempts.extend(attempts);
        told(answer)
    }

    async fn permit(&mut self, command: &Command, now: Timestamp) -> String {
        if let Command::GiveBack(number) = command {
            let Some(id) = back(&self.permits, *number) else { return String::new() };
            self.seen.given_back = Some(id);
            return told(self.store().give_back(id).await);
        }
        let Command::Permit { attempt, fence, limit, key: value } = command else { return String::new() };
        let Some((delivery, fence)) = self.attempt(*attempt, *fence) else { return String::new() };
        let value = if LIMITS[*limit] == "slots" { String::new() } else { value.to_string() };
        let permit = Permit { delivery, fence, key: key(LIMITS[*limit], &value), now };
        let answer = self.store().permit(permit).await;
        self.seen.permitted = answer.as_ref().ok().cloned();
        self.permits.extend(self.seen.permitted.iter().filter_map(|permitted| match permitted {
            Permitted::Held { id, .. } => Some(*id),
            Permitted::Busy(_) => None,
        }));
        told(answer)
    }

    fn attempt(&self, number: usize, fence: Fence) -> Option<(DeliveryId, u64)> {
        let (delivery, own) = back(&self.attempts, number)?;
        let fence = match fence {
            Fence::Own => own,
            Fence::Old => own - 1,
            Fence::Ahead => own + 1,
        };
        Some((delivery, fence))
    }

    async fn settle(&self, attempt: (usize, Fence), ending: &Ending, now: Timestamp) -> String {
        let Some((delivery, fence)) = self.attempt(attempt.0, attempt.1) else { return String::new() };
        let settle = Settle { delivery, fence, verdict: verdict(ending, now), now };
        told(self.store().settle(settle).await.map(|mut settled| {
            settled.woken.sort();
            settled.notified.sort();
            settled
        }))
    }

    async fn while_running(&self, command: &Command, now: Timestamp) -> String {
        let (Command::Extend { attempt, fence, .. }
        | Command::Report { attempt, fence, .. }
        | Command::Remember { attempt, fence, .. }) = command
        else {
            return String::new();
        };
        let Some((delivery, fence)) = self.attempt(*attempt, *fence) else { return String::new() };
        let store = self.store();
        told(match command {
            Command::Extend { seconds, .. } => store.extend(delivery, fence, later(now, *seconds), now).await,
            Command::Report { done, .. } => store.report(delivery, fence, progress(*done), now).await,
            Command::Remember { name, value, .. } => {
                let name = if *name { "one" } else { "other" }.to_owned();
                store.remember(Step { delivery, fence, name, value: vec![*value] }).await
            }
            _ => Ok(()),
        })
    }

    async fn control(&self, command: &Command, now: Timestamp) -> String {
        let store = self.store();
        match command {
            Command::Pause { consumer, seconds } => {
                let until = seconds.map(|seconds| later(now, seconds));
                let closure = crate::factory::pause(now, until);
                debug_assert_eq!(closure.gate, Gate::Pause);
                told(store.pause(CONSUMERS[*consumer].into(), closure).await)
            }
            Command::Resume(consumer) => told(store.resume(CONSUMERS[*consumer].into(), now).await),
            Command::PauseLimit { limit, key, seconds } => {
                let closure = crate::factory::pause(now, seconds.map(|seconds| later(now, seconds)));
                let key = key.map(|key| key.to_string());
                told(store.pause(of_limit(LIMITS[*limit], key.as_deref()), closure).await)
            }
            Command::ResumeLimit { limit, key } => {
                let key = key.map(|key| key.to_string());
                told(store.resume(of_limit(LIMITS[*limit], key.as_deref()), now).await)
            }
            Command::Register { node: number, consumers } => {
                let consumers = consumers.iter().map(|consumer| scene::serving(CONSUMERS[*consumer])).collect();
                let limits = LIMITS.iter().map(|name| scene::limit(name)).collect();
                let register = Register { node: self.node(*number), consumers, limits, lease: LEASE, now };
                told(store.register(register).await.map(|mut registered| {
                    registered.woken.sort();
                    registered
                }))
            }
            Command::Heartbeat(number) => told(store.heartbeat(self.node(*number), now, None).await.map(|mut shut| {
                shut.sort_by(|one, other| one.0.cmp(&other.0));
                shut
            })),
            Command::Rescue(number) => told(store.rescue(self.node(*number), LEASE, now).await.map(|mut rescued| {
                rescued.sort_by_key(|rescued| rescued.delivery.id);
                rescued
            })),
            Command::Prune { age, max } => {
                let before = now - Duration::from_secs(*age);
                told(store.prune(before, now, *max).await)
            }
            _ => String::new(),
        }
    }

    /// Takes a picture of everything.
    pub async fn picture(&self, now: Timestamp) -> Picture {
        let store = self.store();
        let mut operations = Vec::new();
        for id in all_operations(store).await {
            operations.push(picture_of(store, id).await);
        }
        operations.reverse();
        let query = NotificationQuery { owner: None, after: Some(0), page: ALL };
        let notifications = store.notifications(query).await.unwrap().items;
        let mut consumers = store.consumers(now).await.unwrap();
        consumers.sort_by(|one, other| one.name.cmp(&other.name));
        let dead_letters = store.dead_letters(ALL).await.unwrap().items;
        let limits = store.limits(now).await.unwrap();
        let live = operations.iter().flat_map(|one| &one.live).map(|view| &view.delivery);
        let mut groups: Vec<_> = live.map(|one| (one.consumer.clone(), one.lane.group.clone())).collect();
        groups.sort();
        groups.dedup();
        let standings = store.standing(groups.clone(), now).await.unwrap();
        let standings = groups.into_iter().zip(standings);
        let standings = standings.map(|((consumer, group), standing)| (consumer, group, standing)).collect();
        let health = store.health();
        Picture { operations, dead_letters, notifications, consumers, limits, standings, health }
    }

    /// Remembers what a picture shows for the first time, so that commands can speak of it.
    pub fn discover(&mut self, picture: &Picture) {
        let deliveries = picture.operations.iter().flat_map(|picture| &picture.chain.deliveries);
        let mut seen: Vec<_> = deliveries.map(|delivery| delivery.id).collect();
        seen.sort();
        let newest = self.deliveries.iter().max().copied();
        self.deliveries.extend(seen.into_iter().filter(|id| newest.is_none_or(|newest| *id > newest)));
        let newest = self.notifications.iter().max().copied();
        let ids = picture.notifications.iter().map(|notification| notification.id);
        self.notifications.extend(ids.filter(|id| newest.is_none_or(|newest| *id > newest)));
    }

    /// A text with each id replaced by the order of its first appearance on this side.
    pub fn anonymous(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for (at, _) in text.match_indices('-') {
            // An id has 8-4-4-4-12 characters; only its first dash has all of them around it.
            let from = at.saturating_sub(8);
            let Some(id) = text.get(from..from + 36).filter(|id| from >= copied && is_id(id)) else { continue };
            let next = self.names.len();
            let name = self.names.entry(id.to_owned()).or_insert(next);
            out.push_str(&text[copied..from]);
            out.push_str(&format!("#{name}"));
            copied = from + 36;
        }
        out + &text[copied..]
    }
}

fn is_id(text: &str) -> bool {
    let dashes = text.char_indices().filter(|(_, c)| *c == '-').map(|(at, _)| at);
    dashes.eq([8, 13, 18, 23]) && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

async fn all_operations(store: &dyn Store) -> Vec<OperationId> {
    let mut page = Page { before: None, size: 4 };
    let mut ids = Vec::new();
    loop {
        let listing = store.operations(OperationFilter::default(), page).await.unwrap();
        ids.extend(listing.items.iter().map(|view| view.operation.id));
        page.before = listing.next;
        if page.before.is_none() {
            return ids;
        }
    }
}

async fn picture_of(store: &dyn Store, id: OperationId) -> OperationPicture {
    let mut chain = store.chain(id).await.unwrap();
    chain.attempts.sort_by_key(|attempt| (attempt.started, attempt.delivery, attempt.fence));
    chain.closures.sort_by_key(|(name, closure)| (name.clone(), closure.from, closure.until));
    let mut results = store.results(id).await.unwrap();
    results.sort_by_key(|result| (result.consumer.clone(), result.data.bytes.clone()));
    let (mut live, mut steps) = (Vec::new(), Vec::new());
    for delivery in &chain.deliveries {
        if !delivery.state.has_ended() {
            live.push(store.delivery(delivery.id).await.unwrap());
        }
        if delivery.fence > 0 {
            steps.push(store.steps(delivery.id).await.unwrap());
        }
    }
    let items = store.items(id, None, ALL.size).await.unwrap().items;
    let groups = store.groups(id).await.unwrap();
    OperationPicture { chain, results, live, steps, items, groups }
}

/// An answer as text; of a refusal only the kind counts.
fn told<T: Debug>(answer: Result<T>) -> String {
    match answer {
        Ok(answer) => format!("{answer:#?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn stopped(answer: Result<Stopped>) -> String {
    told(answer.map(|mut stopped| {
        stopped.running.sort();
        stopped.woken.sort();
        stopped.notified.sort();
        stopped
    }))
}

fn back<T: Copy>(all: &[T], number: usize) -> Option<T> {
    let number = number.checked_rem(all.len())?;
    all.iter().rev().nth(number).copied()
}

fn later(now: Timestamp, seconds: u64) -> Timestamp {
    now + Duration::from_secs(seconds)
}

fn accept(request: &Request, now: Timestamp) -> Accept {
    let owner = request.owner.map(|owner| format!("owner {owner}"));
    let key = |(key, request): (u8, u8)| IdempotencyKey {
        scope: "caller".to_owned(),
        key: key.to_string(),
        fingerprint: [request; 32],
        expires: later(now, 3_600),
    };
    Accept {
        events: request.events.iter().map(|root| scene::event(root, owner.as_deref())).collect(),
        owner,
        due: later(now, request.delay),
        priority: request.priority,
        idempotency: request.key.map(key),
        backlog_max: request.backlog_max,
        now,
    }
}

fn verdict(ending: &Ending, now: Timestamp) -> Verdict {
    match ending {
        Ending::Done { result, emit: events, notify } => Verdict::Done {
            result: result.then(|| json("{}")),
            emit: events.iter().map(|to| scene::emitted(to)).collect(),
            notify: notify.then(|| Notice { title: "a word".to_owned(), ..Notice::default() }),
            progress: result.then(|| progress(10)),
            pause: None,
        },
        Ending::Retry { seconds, unfinished } => {
            Verdict::Retry { due: later(now, *seconds), failure: failure("it broke"), unfinished: *unfinished }
        }
        Ending::Snooze(seconds) => Verdict::Snooze { due: later(now, *seconds) },
        Ending::Throttled { seconds, limit } => Verdict::Throttled {
            due: later(now, *seconds),
            failure: failure("too many"),
            limit: limit.map(|limit| LIMITS[limit].to_owned()),
        },
        Ending::Release { unfinished } => Verdict::Release { unfinished: *unfinished },
        Ending::GiveUp(keep) => Verdict::GiveUp { failure: failure("no"), outcome: keep.then(|| json("[]")) },
    }
}
