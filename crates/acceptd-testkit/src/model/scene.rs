//! Who there is in the model: the consumers, their limits, and the events that commands speak of.
//!
//! One consumer has no limit, one a rate for each key, one the same rate and slots beside it, and one works off each
//! key strictly in order. Those with slots have remote targets.

use std::time::Duration;

use acceptd::limit::{LimitUse, Policy};
use acceptd::store::plan::OPERATION_ENDED;
use acceptd::store::{KeyRef, Serving, Wanted};
use acceptd::{Draft, Limit, NewEvent, Route, Weight};

use super::RootEvent;
use crate::factory::{json, key, wanted as wants};

/// Names of the consumers; an event's type is the name of the consumer that would take it.
pub const CONSUMERS: [&str; 5] = ["a", "b", "c", "d", "inbox"];
/// Names of the limits.
pub const LIMITS: [&str; 3] = ["api", "d.lock", "slots"];
/// How many values a key has.
pub const KEYS: u8 = 3;

/// The limit of this name.
pub fn limit(name: &str) -> Limit {
    let limit = Limit::new(name);
    match name {
        "api" => limit.rate("1/2s burst 2").and_then(|limit| limit.key("/k")).unwrap(),
        "slots" => limit.concurrency(2),
        _ => Limit { private: true, ..limit.concurrency(1).key("/k").unwrap() },
    }
}

/// The limits that hold a consumer.
fn limits_of(consumer: &str) -> &'static [&'static str] {
    match consumer {
        "b" => &["api"],
        "c" => &["api", "slots"],
        "d" => &["d.lock"],
        _ => &[],
    }
}

/// A consumer as nodes serve it.
pub fn serving(consumer: &str) -> Serving {
    let used = |name: &&str| LimitUse { limit: (*name).to_owned(), key: limit(name).key };
    let limits = limits_of(consumer).iter().map(used).collect();
    let policy = Policy { limits, ordered: consumer == "d", ..Policy::default() };
    let weight = if consumer == "inbox" { Weight::Inbox } else { Weight::Tracked };
    let mut on = vec![consumer.to_owned()];
    on.extend((consumer == "a").then(|| OPERATION_ENDED.to_owned()));
    Serving { on, consumer: consumer.to_owned(), weight, policy }
}

/// A consumer that has room for so many.
pub fn wanted(consumer: &str, max: usize) -> Wanted {
    let remote_for = ["c", "d"].contains(&consumer).then(|| Duration::from_secs(40));
    Wanted { remote_for, ..wants(consumer, max) }
}

/// The keys that a group of a consumer takes.
pub fn keys_of(consumer: &str, group: &str) -> Vec<KeyRef> {
    let policy = serving(consumer).policy;
    policy.keys(group).map(|(limit, value)| key(limit, value)).collect()
}

/// The event that a root event stands for, of an owner.
pub fn event(root: &RootEvent, owner: Option<&str>) -> NewEvent {
    let mut draft = Draft::new(CONSUMERS[root.kind]);
    draft.id = root.id.map(|id| format!("event {id}"));
    draft.data = root.key.map(|key| json(&format!("{{\"k\":{key}}}")));
    routed(draft, &root.routes, owner)
}

/// An event that is emitted to these consumers.
pub fn emitted(to: &[(usize, Weight)]) -> NewEvent {
    routed(Draft::new("emitted"), to, None)
}

fn routed(draft: Draft, to: &[(usize, Weight)], owner: Option<&str>) -> NewEvent {
    let route = |(to, weight): &(usize, Weight)| {
        let route = serving(CONSUMERS[*to]).route_anyway(&draft, owner);
        Route { weight: *weight, ..route }
    };
    let routes = to.iter().map(route).collect();
    NewEvent { draft, routes }
}
