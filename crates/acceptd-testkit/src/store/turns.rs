//! Turns: whose delivery is next when many wait, and what strict order means.

use std::sync::Arc;

use acceptd::delivery::State;
use acceptd::limit::{KeySpec, Policy};
use acceptd::store::{Serving, Verdict};
use acceptd::{Limit, OperationId, Store, Timestamp};

use crate::factory::*;

/// Runs whatever comes, one after the other, and tells whose it was.
async fn turns(store: &dyn Store, consumer: &str, count: usize, now: Timestamp) -> Vec<String> {
    let mut turns = Vec::new();
    for _ in 0..count {
        let claims = claim_together(store, &[(consumer, 1)], now).await;
        turns.push(owners(&claims).concat());
        settle(store, &claims.claimed[0], done(), now).await;
    }
    turns
}

/// One at a time, for everybody.
async fn one_at_a_time(store: &dyn Store, policy: Policy) -> Serving {
    let one = Limit::new("one").concurrency(1);
    let c = held(Serving { policy, ..serving("c", "a") }, &[&one]);
    declare(store, &[&one], &[&c], START).await;
    c
}

async fn flood(store: &dyn Store, serving: &Serving, owner: &str, count: usize) -> OperationId {
    let mut batch = accept("a").owner(owner).data("{\"k\":\"x\"}").taken_by(serving);
    for _ in 1..count {
        batch = batch.and("a").data("{\"k\":\"x\"}").taken_by(serving);
    }
    batch.id_from(store).await
}

/// Owners take turns: who comes with one has it within two turns, though another came before with ten thousand.
pub async fn one_owner_does_not_wait_for_ten_thousand_of_another(store: Arc<dyn Store>) {
    let c = one_at_a_time(&*store, Policy::default()).await;
    flood(&*store, &c, "many", 10_000).await;
    assert_eq!(turns(&*store, "c", 2, START).await, ["many", "many"]);
    put(&*store, &c, "one", "x", at(1)).await;
    let next = turns(&*store, "c", 2, at(1)).await;
    assert!(next.contains(&"one".to_owned()), "{next:?}");
    assert_eq!(turns(&*store, "c", 2, at(2)).await, ["many", "many"]);
}

/// Owners take turns also within one claim.
pub async fn owners_share_one_claim(store: Arc<dyn Store>) {
    let c = serving("c", "a");
    declare(&*store, &[], &[&c], START).await;
    flood(&*store, &c, "b", 50).await;
    flood(&*store, &c, "a", 2).await;
    flood(&*store, &c, "c", 50).await;
    let claims = claim_together(&*store, &[("c", 12)], START).await;
    let count = |owner: &str| owners(&claims).into_iter().filter(|one| *one == owner).count();
    assert_eq!((count("a"), count("b"), count("c")), (2, 5, 5));
}

/// Who has a weight has so many turns in a row.
pub async fn weights_are_turns_in_a_row(store: Arc<dyn Store>) {
    let weights = [("big".to_owned(), 3)].into();
    let c = one_at_a_time(&*store, Policy { weights, ..Policy::default() }).await;
    flood(&*store, &c, "big", 30).await;
    flood(&*store, &c, "small", 30).await;
    let single = turns(&*store, "c", 8, START).await;
    assert_eq!(single, ["big", "big", "big", "small", "big", "big", "big", "small"]);
    let free = Serving { policy: Policy { limits: Vec::new(), ..c.policy.clone() }, ..c };
    declare(&*store, &[], &[&free], at(1)).await;
    let claims = claim_together(&*store, &[("c", 12)], at(1)).await;
    let of_big = owners(&claims).into_iter().filter(|owner| *owner == "big").count();
    assert_eq!((claims.claimed.len(), of_big), (12, 9));
}

/// `fair_by` says who takes turns in place of the owner.
pub async fn turns_can_be_by_something_else(store: Arc<dyn Store>) {
    let fair_by = Some("/k".parse::<KeySpec>().unwrap());
    let c = one_at_a_time(&*store, Policy { fair_by, ..Policy::default() }).await;
    for owner in ["first", "second", "third"] {
        put(&*store, &c, owner, "x", START).await;
    }
    put(&*store, &c, "other", "y", START).await;
    assert_eq!(turns(&*store, "c", 4, START).await, ["first", "other", "second", "third"]);
}

/// Within an owner the highest priority goes first, then the oldest; a priority takes no turn from others.
pub async fn within_an_owner_priority_goes_first_then_age(store: Arc<dyn Store>) {
    let c = one_at_a_time(&*store, Policy::default()).await;
    for (owner, priority) in [("a", 0), ("a", 0), ("a", 9), ("b", -9), ("b", 0)] {
        accept("a").owner(owner).priority(priority).taken_by(&c).to(&*store).await;
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        let claimed = claim_one(&*store, "c", START).await;
        seen.push((claimed.owner.clone().unwrap(), claimed.delivery.priority, claimed.delivery.id));
        settle(&*store, &claimed, done(), START).await;
    }
    let places: Vec<_> = seen.iter().map(|(owner, priority, _)| (owner.as_str(), *priority)).collect();
    assert_eq!(places, [("a", 9), ("b", 0), ("a", 0), ("b", -9), ("a", 0)]);
    assert!(seen[2].2 < seen[4].2, "the older one first");
}

/// Groups take turns at a limit that they share, whatever their size; a new one does not get ahead for ever.
pub async fn groups_take_turns(store: Arc<dyn Store>) {
    let (one, own) = (Limit::new("one").concurrency(1), Limit::new("own").key("/k").unwrap());
    let c = held(serving("c", "a"), &[&one, &own]);
    declare(&*store, &[&one, &own], &[&c], START).await;
    flood(&*store, &c, "many", 100).await;
    put(&*store, &c, "one", "y", START).await;
    let mut seen = Vec::new();
    for round in 0..9_u64 {
        let mut claims = claim(&*store, "c", at(round)).await;
        if round < 3 {
            put(&*store, &c, &format!("new {round}"), &format!("new {round}"), at(round)).await;
        }
        let claimed = claims.claimed.remove(0);
        seen.push(claimed.delivery.lane.group.clone());
        settle(&*store, &claimed, done(), at(round)).await;
    }
    let place = |group: &str| seen.iter().position(|one| one == group).expect("each has its turn");
    assert!(place("y") <= 1 && place("new 0") <= 4 && place("new 1") <= 5 && place("new 2") <= 7, "{seen:?}");
    assert_eq!(seen.iter().filter(|group| *group == "x").count(), 5, "{seen:?}");
}

async fn in_order(store: &dyn Store) -> Serving {
    let c = ordered(held(serving("c", "a"), &[&Limit::new("own").key("/k").unwrap()]));
    declare(store, &[&Limit::new("own").key("/k").unwrap()], &[&c], START).await;
    c
}

/// Those of a key run one after the other in the order of accepting, whatever their owner and priority.
pub async fn ordered_deliveries_run_in_the_order_of_accepting(store: Arc<dyn Store>) {
    let c = in_order(&*store).await;
    for (owner, priority) in [("a", 0), ("b", 9), ("a", 0), ("c", -9)] {
        let data = "{\"k\":\"x\"}";
        accept("a").owner(owner).priority(priority).data(data).taken_by(&c).to(&*store).await;
    }
    put(&*store, &c, "other", "y", START).await;
    let claims = claim(&*store, "c", START).await;
    assert_eq!(owners(&claims), ["a", "other"], "one of each key");
    assert!(claim(&*store, "c", at(1)).await.claimed.is_empty());
    let mut running = claims.claimed.into_iter().next().unwrap();
    for owner in ["b", "a", "c"] {
        assert_eq!(settle(&*store, &running, done(), at(1)).await.woken, ["c"]);
        running = claim_one(&*store, "c", at(1)).await;
        assert_eq!(running.owner.as_deref(), Some(owner));
    }
}

/// A head that waits for its next attempt holds its key, and no other.
pub async fn a_retrying_head_holds_its_key(store: Arc<dyn Store>) {
    let c = in_order(&*store).await;
    let head = put(&*store, &c, "u", "x", START).await;
    put(&*store, &c, "u", "x", START).await;
    run(&*store, "c", retry_at(at(50)), at(1)).await;
    put(&*store, &c, "u", "x", at(2)).await;
    put(&*store, &c, "u", "y", at(2)).await;
    let claims = claim(&*store, "c", at(2)).await;
    assert_eq!((groups(&claims), claims.next), (vec!["y"], Some(at(50))));
    assert!(claim(&*store, "c", at(49)).await.claimed.is_empty());
    let again = claim_one(&*store, "c", at(50)).await;
    assert_eq!(again.delivery.operation, head);
    settle(&*store, &again, done(), at(51)).await;
    assert_eq!(claim(&*store, "c", at(51)).await.claimed.len(), 1);
}

/// A head whose due time is later holds those that came after it.
pub async fn a_head_that_is_due_later_holds_its_key(store: Arc<dyn Store>) {
    let c = in_order(&*store).await;
    let head = accept("a").data("{\"k\":\"x\"}").due(at(9)).taken_by(&c).id_from(&*store).await;
    put(&*store, &c, "u", "x", START).await;
    assert_eq!(claim(&*store, "c", at(8)).await.next, Some(at(9)));
    assert_eq!(claim_one(&*store, "c", at(9)).await.delivery.operation, head);
}

/// A head that gave up lets the next go on; retried, it goes first again.
pub async fn a_dead_head_lets_the_next_go_on(store: Arc<dyn Store>) {
    let c = in_order(&*store).await;
    let ids = [put(&*store, &c, "u", "x", START).await, put(&*store, &c, "u", "x", START).await];
    let last = put(&*store, &c, "u", "x", START).await;
    let dead = run(&*store, "c", give_up(), at(1)).await;
    assert_eq!((dead.delivery.operation, dead.delivery.state), (ids[0], State::Dead));
    let next = claim_one(&*store, "c", at(2)).await;
    assert_eq!(next.delivery.operation, ids[1]);
    revive(&*store, dead.delivery.id, at(3)).await;
    assert!(claim(&*store, "c", at(3)).await.claimed.is_empty(), "the one that runs has to end first");
    settle(&*store, &next, done(), at(4)).await;
    for id in [ids[0], last] {
        assert_eq!(run(&*store, "c", done(), at(4)).await.delivery.operation, id);
    }
}

/// A head that was canceled, waiting, retrying or running, lets the next go on.
pub async fn a_canceled_head_lets_the_next_go_on(store: Arc<dyn Store>) {
    let c = in_order(&*store).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(put(&*store, &c, "u", "x", START).await);
    }
    assert_eq!(store.cancel(ids[0], at(1)).await.unwrap().woken, ["c"]);
    let settled = run(&*store, "c", retry_at(at(900)), at(2)).await;
    assert_eq!(settled.delivery.operation, ids[1]);
    assert!(claim(&*store, "c", at(3)).await.claimed.is_empty());
    store.cancel(ids[1], at(3)).await.unwrap();
    assert_eq!(claim_one(&*store, "c", at(3)).await.delivery.operation, ids[2]);
    store.cancel(ids[2], at(4)).await.unwrap();
    assert_eq!(claim_one(&*store, "c", at(4)).await.delivery.operation, ids[3]);
}

/// Released, snoozed and throttled heads stay heads.
pub async fn a_head_stays_head_until_it_ends(store: Arc<dyn Store>) {
    let c = in_order(&*store).await;
    let head = put(&*store, &c, "u", "x", START).await;
    put(&*store, &c, "u", "x", START).await;
    let mut now = START;
    let release = Verdict::Release { unfinished: false };
    for verdict in [release, Verdict::Snooze { due: at(20) }, throttled(at(40)), retry_at(at(60))] {
        let settled = run(&*store, "c", verdict, now).await;
        assert_eq!(settled.delivery.operation, head);
        now = settled.delivery.due.max(now);
    }
    assert_eq!(claim_one(&*store, "c", now).await.delivery.operation, head);
}
