//! Holds the three ledgers against the promises. Pure: it reads what was written down and asks nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use super::ledger::{Answered, ApiEntry, Attempt, Delivery, Ledgers, Operation, is_end};
use super::receiver::{FOLLOW_COUNT, FOLLOWS, LEAF, max_attempts};

/// What is promised, and so what can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// O1: what was answered 202 is found later, under one id.
    NothingLost,
    /// O2: nothing exists that nobody asked for, and nothing twice.
    NothingInvented,
    /// O3: a delivery is settled once, and its effect is applied once.
    SettledOnce,
    /// O4: a delivery is done exactly when all that follows from it exists.
    Whole,
    /// O5: fences only grow, and an old one decides nothing.
    Fenced,
    /// O5: no delivery runs more often than its limit of attempts.
    Bounded,
    /// O9: what has ended stays as it is.
    EndsStay,
    /// O10: everything ends, soon after the faults have stopped.
    EverythingEnds,
    /// O14: the only server error is 503; nothing panics.
    OnlyRefuses,
}

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: Promise,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.what)
    }
}

/// Checks every promise; an empty list is a proof for this run.
pub fn check(ledgers: &Ledgers) -> Vec<Violation> {
    let mut checker = Checker { ledgers, operations: ledgers.operations(), violations: Vec::new() };
    checker.accepts();
    checker.server_errors();
    checker.endings();
    for operation in &checker.operations.clone() {
        checker.wholeness(operation);
        for delivery in &operation.deliveries {
            checker.records(delivery);
        }
    }
    checker.notifications();
    checker.attempts();
    checker.calls();
    checker.violations
}

struct Checker<'a> {
    ledgers: &'a Ledgers,
    operations: Vec<Operation>,
    violations: Vec<Violation>,
}

impl Checker<'_> {
    fn expect(&mut self, promise: Promise, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(Violation { promise, what: what() });
        }
    }

    /// O1 and O2: requests that were promised and operations that exist are the same, one for one. A request whose
    /// only answers were lost may be there or not, but once.
    fn accepts(&mut self) {
        let mut unclaimed: BTreeMap<String, Operation> = BTreeMap::new();
        for operation in self.operations.clone() {
            let id = operation.id.clone();
            let twice = unclaimed.insert(id.clone(), operation).is_some();
            self.expect(Promise::NothingInvented, !twice, || format!("operation {id} is listed twice"));
        }
        let mut unknown_events = HashSet::new();
        for (key, (request, answers)) in self.ledgers.requests() {
            let ids: BTreeSet<_> = answers.iter().filter_map(accepted).collect();
            self.expect(Promise::NothingInvented, ids.len() <= 1, || format!("{key} was accepted as {ids:?}"));
            for id in ids {
                let found = unclaimed.remove(id);
                self.expect(Promise::NothingLost, found.is_some(), || {
                    format!("{key} was promised as {id}: it is gone")
                });
            }
            if answers.iter().all(|answer| accepted(answer).is_none()) {
                unknown_events.extend(request.events.iter().cloned());
            }
        }
        for operation in unclaimed.into_values() {
            let roots = operation.events.iter().filter(|event| event.cause.is_none());
            let mut asked_for = roots.map(|event| unknown_events.remove(&event.id));
            let asked_for = !operation.events.is_empty() && asked_for.all(|asked_for| asked_for);
            let id = &operation.id;
            self.expect(Promise::NothingInvented, asked_for, || format!("nobody asked for operation {id}, or twice"));
        }
    }

    /// O14.
    fn server_errors(&mut self) {
        for entry in self.ledgers.clients.entries() {
            if let Answered::Refused(status) = entry.answer {
                let key = &entry.request.key;
                self.expect(Promise::OnlyRefuses, status == 503, || format!("{key} was answered {status}"));
            }
        }
    }

    /// O9 and O10: the statuses that clients saw, and the last one.
    fn endings(&mut self) {
        let mut ended: HashMap<String, String> = HashMap::new();
        let operations = self.operations.clone();
        let last = operations.iter().map(|operation| (operation.id.clone(), operation.status.clone()));
        let seen = self.ledgers.api.entries().into_iter().filter_map(|entry| match entry {
            ApiEntry::Seen { operation, status } => Some((operation, status)),
            ApiEntry::Final(_) | ApiEntry::Notification { .. } => None,
        });
        for (id, status) in seen.chain(last) {
            let known = status != "HTTP 404";
            self.expect(Promise::NothingLost, known, || format!("{id} was promised and is not found"));
            if let Some(end) = ended.get(&id) {
                let stays = *end == status;
                self.expect(Promise::EndsStay, stays, || format!("{id} had ended {end} and is {status}"));
            }
            if is_end(&status) {
                ended.insert(id, status);
            }
        }
        for Operation { id, status, .. } in &operations {
            self.expect(Promise::EverythingEnds, is_end(status), || format!("operation {id} is still {status}"));
        }
    }

    /// O4: a done delivery has its two events, each with its delivery; another one has none.
    fn wholeness(&mut self, operation: &Operation) {
        let id = &operation.id;
        for event in &operation.events {
            let deliveries = operation.deliveries.iter().filter(|delivery| delivery.event == event.id);
            let consumers: Vec<_> = deliveries.map(|delivery| delivery.consumer.as_str()).collect();
            let expected = event.kind.strip_prefix("a.").unwrap_or(LEAF);
            let whole = consumers == [expected];
            self.expect(Promise::Whole, whole, || format!("{id}: {} {} has {consumers:?}", event.kind, event.id));
        }
        let mut expected = 0;
        for delivery in operation.deliveries.iter().filter(|delivery| delivery.consumer != LEAF) {
            let follow = |event: &&super::ledger::Event| event.cause.as_ref() == Some(&delivery.event);
            let count = operation.events.iter().filter(follow).count();
            let due = if delivery.state == "done" { FOLLOW_COUNT } else { 0 };
            expected += due;
            self.expect(Promise::Whole, count == due, || {
                format!("{id}: {} is {} and {count} events follow", delivery.id, delivery.state)
            });
        }
        let follow = operation.events.iter().filter(|event| event.kind == FOLLOWS).count();
        self.expect(Promise::Whole, follow == expected, || format!("{id}: {follow} events follow, not {expected}"));
    }

    /// O3 and O5 by the records of a delivery.
    fn records(&mut self, delivery: &Delivery) {
        let Delivery { id, state, attempts, consumer, .. } = delivery;
        let grows = attempts.windows(2).all(|pair| pair[0].fence < pair[1].fence);
        self.expect(Promise::Fenced, grows, || format!("delivery {id}: the fences of {attempts:?} don't grow"));
        let done = attempts.iter().filter(|attempt| attempt.ending == "done").count();
        let expected = usize::from(state == "done");
        self.expect(Promise::SettledOnce, done == expected, || format!("delivery {id} is {state} with {attempts:?}"));
        let counted = attempts.iter().filter(|attempt| counts(&attempt.ending)).count();
        let bounded = counted <= max_attempts(consumer) as usize;
        self.expect(Promise::Bounded, bounded, || format!("delivery {id} of {consumer} counted {counted} attempts"));
    }

    /// O4: every end of an operation with an owner has one notification, and no other operation has any.
    fn notifications(&mut self) {
        let mut found: HashMap<String, usize> = HashMap::new();
        for entry in self.ledgers.api.entries() {
            if let ApiEntry::Notification { operation } = entry {
                *found.entry(operation).or_default() += 1;
            }
        }
        for Operation { id, owner, status, .. } in self.operations.clone() {
            let count = found.remove(&id).unwrap_or(0);
            let due = usize::from(owner.is_some() && is_end(&status));
            self.expect(Promise::Whole, count == due, || {
                format!("{id} ({status}) has {count} notifications, not {due}")
            });
        }
        self.expect(Promise::Whole, found.is_empty(), || format!("notifications of nothing: {found:?}"));
    }

    /// O2, O3, O5 and O9 by what arrived at the consumers.
    fn attempts(&mut self) {
        let operations = self.operations.clone();
        let known: HashMap<_, _> =
            operations.iter().flat_map(|operation| &operation.deliveries).map(|found| (&found.id, found)).collect();
        let mut arrived: BTreeMap<String, Vec<Attempt>> = BTreeMap::new();
        for attempt in self.ledgers.attempts() {
            arrived.entry(attempt.delivery.clone()).or_default().push(attempt);
        }
        for (id, attempts) in &arrived {
            let Some(delivery) = known.get(id) else {
                let what = format!("delivery {id} ran for an event {} that does not exist", attempts[0].event);
                self.violations.push(Violation { promise: Promise::NothingInvented, what });
                continue;
            };
            let fences: Vec<_> = attempts.iter().map(|attempt| attempt.fence).collect();
            let grow = fences.windows(2).all(|pair| pair[0] < pair[1]);
            self.expect(Promise::Fenced, grow, || format!("delivery {id} arrived with the fences {fences:?}"));
            let free = delivery.attempts.iter().filter(|attempt| !counts(&attempt.ending)).count();
            let bounded = attempts.len() - free.min(attempts.len()) <= max_attempts(&delivery.consumer) as usize;
            let times = attempts.len();
            self.expect(Promise::Bounded, bounded, || {
                format!("delivery {id} of {} ran {times} times", delivery.consumer)
            });
            let settled = delivery.attempts.iter().filter(|attempt| matches!(&*attempt.ending, "done" | "dead"));
            let last = settled.map(|attempt| attempt.fence).max().unwrap_or(u64::MAX);
            let rests = fences.iter().all(|fence| *fence <= last);
            self.expect(Promise::EndsStay, rests, || {
                format!("delivery {id} ended with {last} and ran with {fences:?}")
            });
        }
        for delivery in known.values().filter(|delivery| delivery.state == "done") {
            let id = &delivery.id;
            let attempts = arrived.get(id).map(Vec::as_slice).unwrap_or_default();
            let applied = attempts.iter().filter(|attempt| attempt.applied).count();
            self.expect(Promise::SettledOnce, applied == 1, || {
                format!("delivery {id} is done, applied {applied} times")
            });
        }
    }

    /// O5: a call with an old fence is refused; O14 for calls.
    fn calls(&mut self) {
        for call in self.ledgers.calls() {
            let stale = call.fence < call.newest;
            self.expect(Promise::Fenced, !(call.applied && stale), || {
                format!("a call with an old fence was taken: {call:?}")
            });
            let status = call.status.unwrap_or(0);
            self.expect(Promise::OnlyRefuses, status < 500, || format!("a call was answered {status}: {call:?}"));
        }
    }
}

fn accepted(answer: &Answered) -> Option<&String> {
    match answer {
        Answered::Accepted { operation } => Some(operation),
        Answered::Refused(_) | Answered::Unknown => None,
    }
}

/// Whether an attempt that ended so counts.
fn counts(ending: &str) -> bool {
    !matches!(ending, "released" | "snoozed" | "throttled")
}
