//! Claiming: who runs what, and in which order.

use std::sync::Arc;

use acceptd::delivery::State;
use acceptd::{DeliveryId, Status, Store, Timestamp};

use crate::factory::*;

async fn claimed_kinds(store: &dyn Store, now: Timestamp) -> Vec<String> {
    let claims = claim(store, "c", now).await;
    claims.claimed.into_iter().map(|claimed| claimed.event.draft.kind.into_owned()).collect()
}

/// A claimed delivery runs with a counted attempt and a new fence, and stored so.
pub async fn a_claim_counts_the_attempt_and_raises_the_fence(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let claimed = claim_one(&*store, "c", at(3)).await.delivery;
    assert_eq!((claimed.state, claimed.attempts, claimed.fence), (State::Running, 1, 1));
    assert_eq!((claimed.waiting_since, claimed.since, claimed.node), (START, at(3), Some(node(1))));
    assert_eq!(claimed.max_attempts, MAX_ATTEMPTS);
    assert_eq!(store.delivery(claimed.id).await.unwrap().delivery, claimed);
}

/// A claim comes with the event and the operation's owner.
pub async fn a_claim_comes_with_event_and_owner(store: Arc<dyn Store>) {
    let accepted = accept("a").owner("u").deliver_to("c").to(&*store).await;
    let claimed = claim_one(&*store, "c", START).await;
    assert_eq!((claimed.owner.as_deref(), claimed.event.operation), (Some("u"), accepted.operation.id));
    assert_eq!(claimed.event.key, claimed.delivery.event);
}

/// What runs is not handed out again.
pub async fn a_running_delivery_is_not_claimed_again(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    claim_one(&*store, "c", START).await;
    assert!(claim(&*store, "c", at(1_000)).await.claimed.is_empty());
}

/// Every claim of a delivery raises its fence by one.
pub async fn each_claim_raises_the_fence(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    for fence in 1..=5 {
        let attempt = claim_one(&*store, "c", at(fence)).await;
        assert_eq!((attempt.delivery.fence, attempt.delivery.attempts), (fence, 1));
        settle(&*store, &attempt, acceptd::store::Verdict::Release { unfinished: false }, at(fence)).await;
    }
}

/// The highest priority is claimed first.
pub async fn the_highest_priority_goes_first(store: Arc<dyn Store>) {
    for (kind, priority) in [("low", -100), ("high", 100), ("middle", 0)] {
        accept(kind).priority(priority).deliver_to("c").to(&*store).await;
    }
    assert_eq!(claimed_kinds(&*store, START).await, ["high", "middle", "low"]);
}

/// Within a priority the earliest due is claimed first.
pub async fn the_earliest_due_goes_first(store: Arc<dyn Store>) {
    for (kind, due) in [("third", at(9)), ("first", at(1)), ("second", at(5))] {
        accept(kind).due(due).deliver_to("c").to(&*store).await;
    }
    assert_eq!(claimed_kinds(&*store, at(10)).await, ["first", "second", "third"]);
}

/// Of deliveries that are due at the same instant the oldest goes first.
pub async fn the_oldest_goes_first_among_equals(store: Arc<dyn Store>) {
    for kind in ["first", "second", "third"] {
        accept(kind).deliver_to("c").to(&*store).await;
    }
    assert_eq!(claimed_kinds(&*store, START).await, ["first", "second", "third"]);
}

/// A higher priority that is not due yet holds nobody up.
pub async fn a_priority_that_is_not_due_holds_nobody_up(store: Arc<dyn Store>) {
    accept("later").priority(100).due(at(9)).deliver_to("c").to(&*store).await;
    accept("now").deliver_to("c").to(&*store).await;
    assert_eq!(claimed_kinds(&*store, START).await, ["now"]);
}

/// Nothing is claimed before it is due, and the claim says when the next is.
pub async fn a_claim_says_when_the_next_is_due(store: Arc<dyn Store>) {
    assert_eq!(claim(&*store, "c", START).await.next, None);
    accept("a").due(at(9)).deliver_to("c").to(&*store).await;
    accept("a").due(at(5)).priority(-1).deliver_to("c").to(&*store).await;
    let early = claim(&*store, "c", at(4)).await;
    assert_eq!((early.claimed.len(), early.next), (0, Some(at(5))));
    let later = claim(&*store, "c", at(5)).await;
    assert_eq!((later.claimed.len(), later.next), (1, Some(at(9))));
    let last = claim(&*store, "c", at(9)).await;
    assert_eq!((last.claimed.len(), last.next), (1, None));
}

/// A claim gives at most what was asked for.
pub async fn a_claim_gives_at_most_max(store: Arc<dyn Store>) {
    for _ in 0..5 {
        accept("a").deliver_to("c").to(&*store).await;
    }
    assert_eq!(store.claim(claim_of("c", 3, START)).await.unwrap().claimed.len(), 3);
    assert_eq!(store.claim(claim_of("c", 3, START)).await.unwrap().claimed.len(), 2);
    assert_eq!(store.claim(claim_of("c", 0, START)).await.unwrap().claimed.len(), 0);
}

/// A claim gives deliveries of its consumer only.
pub async fn a_claim_gives_its_consumers_deliveries_only(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").deliver_to("d").to(&*store).await;
    let claims = claim(&*store, "c", START).await;
    assert_eq!(claims.claimed.iter().map(|one| one.delivery.consumer.as_str()).collect::<Vec<_>>(), ["c"]);
    assert!(claim(&*store, "nobody", START).await.claimed.is_empty());
}

/// The limit of attempts is that of whoever claimed last.
pub async fn the_limit_of_attempts_is_that_of_the_last_claim(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    run(&*store, "c", retry_at(at(1)), at(1)).await;
    let mut fewer = claim_of("c", 1, at(1));
    fewer.wanted[0].max_attempts = 2;
    let attempt = store.claim(fewer).await.unwrap().claimed.remove(0);
    let settled = settle(&*store, &attempt, retry_at(at(2)), at(2)).await;
    assert_eq!((settled.delivery.state, settled.delivery.attempts), (State::Dead, 2));
}

/// Many claims at once never hand out the same delivery twice.
pub async fn claims_at_once_share_nothing(store: Arc<dyn Store>) {
    for _ in 0..50 {
        accept("a").deliver_to("c").to(&*store).await;
    }
    let claims = (0..10).map(|_| store.claim(claim_of("c", 7, START)));
    let mut ids: Vec<DeliveryId> = Vec::new();
    for claims in futures_util::future::join_all(claims).await {
        ids.extend(claims.unwrap().claimed.iter().map(|claimed| claimed.delivery.id));
    }
    ids.sort();
    let claimed = ids.len();
    ids.dedup();
    assert_eq!((claimed, ids.len()), (50, 50));
}

/// An operation runs from its first claim on, also between its attempts.
pub async fn an_operation_runs_from_its_first_claim_on(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    assert_eq!(status(&*store, id).await, Status::Queued);
    let attempt = claim_one(&*store, "c", at(1)).await;
    assert_eq!(status(&*store, id).await, Status::Running);
    settle(&*store, &attempt, retry_at(at(9)), at(2)).await;
    assert_eq!(status(&*store, id).await, Status::Running);
    assert_eq!(store.operation(id).await.unwrap().operation.started, Some(at(1)));
}
