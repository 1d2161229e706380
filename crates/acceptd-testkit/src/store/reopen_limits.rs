//! Closing and opening again: slots, rates, pauses and changes of limits are what they were.

use std::time::Duration;

use acceptd::limit::LimitChange;
use acceptd::store::{Permit, Permitted, Verdict};
use acceptd::{Limit, Timestamp};

use super::reopen::Reopen;
use crate::factory::*;

/// Slots of running attempts are held again, before anybody registers.
pub async fn running_attempts_hold_their_slots_again(place: &dyn Reopen) {
    let store = place.open();
    let one = Limit::new("one").concurrency(2).key("/k").unwrap();
    let c = held(serving("c", "a"), &[&one]);
    declare(&*store, &[&one], &[&c], START).await;
    for value in ["x", "x", "x", "y"] {
        put(&*store, &c, "u", value, START).await;
    }
    assert_eq!(claim(&*store, "c", START).await.claimed.len(), 3);
    let before = store.limits(at(1)).await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.limits(at(1)).await.unwrap(), before);
    assert!(claim(&*store, "c", at(1)).await.claimed.is_empty());
    declare(&*store, &[&one], &[&c], at(1)).await;
    assert!(claim(&*store, "c", at(1)).await.claimed.is_empty());
    let rescued = store.rescue(node(2), LEASE, at(20)).await.unwrap();
    assert_eq!((rescued.len(), claim(&*store, "c", at(20)).await.claimed.len()), (3, 3));
}

/// What is held for nobody stays held until its time, and no longer.
pub async fn slots_that_linger_are_held_again(place: &dyn Reopen) {
    let store = place.open();
    let one = Limit::new("one").concurrency(1).key("/k").unwrap();
    let c = held(serving("c", "a"), &[&one]);
    declare(&*store, &[&one], &[&c], START).await;
    for value in ["x", "x", "y", "y", "z", "z"] {
        put(&*store, &c, "u", value, START).await;
    }
    let running = claim_remote(&*store, "c", 9, 100, START).await;
    store.cancel(running[0].delivery.operation, at(1)).await.unwrap();
    settle(&*store, &running[1], Verdict::Release { unfinished: true }, at(1)).await;
    drop(store);
    let store = place.open();
    // Past the lease of the node that ran it: of a store that several share, others may be alive.
    store.rescue(node(2), LEASE, at(12)).await.unwrap();
    drop(store);
    let store = place.open();
    let early = claim(&*store, "c", at(12)).await;
    assert_eq!((early.claimed.len(), early.next), (0, Some(at(100))));
    assert_eq!(groups(&claim(&*store, "c", at(100)).await), ["x", "y", "z"]);
}

/// Permits are held again, and can be given back.
pub async fn permits_are_held_again(place: &dyn Reopen) {
    let store = place.open();
    let one = Limit::new("one").concurrency(1);
    declare(&*store, &[&one], &[&serving("c", "a")], START).await;
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    let (delivery, fence) = (attempt.delivery.id, attempt.delivery.fence);
    let permit = |now: Timestamp| Permit { delivery, fence, key: key("one", ""), now };
    let Permitted::Held { id, .. } = store.permit(permit(at(1))).await.unwrap() else { panic!("it is free") };
    drop(store);
    let store = place.open();
    assert_eq!(store.permit(permit(at(2))).await.unwrap(), Permitted::Busy(None));
    store.give_back(id).await.unwrap();
    drop(store);
    let store = place.open();
    assert!(matches!(store.permit(permit(at(3))).await.unwrap(), Permitted::Held { .. }));
    store.rescue(node(2), LEASE, at(20)).await.unwrap();
    drop(store);
    assert_eq!(place.open().limits(at(20)).await.unwrap()[0].in_use, 0);
}

/// A rate goes on where it was.
pub async fn rates_go_on_where_they_were(place: &dyn Reopen) {
    let store = place.open();
    let api = Limit::new("api").rate("1/10s burst 3").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..9 {
        put(&*store, &c, "u", "", START).await;
    }
    let claims = claim(&*store, "c", START).await;
    assert_eq!(claims.claimed.len(), 3);
    drop(store);
    let store = place.open();
    let again = claim(&*store, "c", at(1)).await;
    assert_eq!((again.claimed.len(), again.next), (0, claims.next));
    assert_eq!(claim(&*store, "c", claims.next.unwrap()).await.claimed.len(), 1);
}

/// Pauses of a limit and of a key hold again, and so does a throttling with all that follows from it.
pub async fn pauses_of_limits_hold_again(place: &dyn Reopen) {
    let store = place.open();
    let (all, one) = (Limit::new("all"), Limit::new("one").key("/k").unwrap());
    let api = Limit::new("api").rate("1/s burst 5").unwrap();
    let (c, d, e) =
        (held(serving("c", "a"), &[&all]), held(serving("d", "a"), &[&one]), held(serving("e", "a"), &[&api]));
    declare(&*store, &[&all, &one, &api], &[&c, &d, &e], START).await;
    for serving in [&c, &d, &e] {
        put(&*store, serving, "u", "x", START).await;
        put(&*store, serving, "u", "y", START).await;
    }
    store.pause(of_limit("all", None), pause(START, None)).await.unwrap();
    store.pause(of_limit("one", Some("x")), pause(START, Some(at(50)))).await.unwrap();
    let attempt = claim_together(&*store, &[("e", 1)], START).await.claimed.remove(0);
    let settled = settle(&*store, &attempt, throttled(at(60)), at(1)).await;
    drop(store);
    let store = place.open();
    assert_eq!(store.delivery(settled.delivery.id).await.unwrap().delivery.attempts, 0);
    let together = [("c", 9), ("d", 9), ("e", 9)];
    let claims = claim_together(&*store, &together, at(2)).await;
    assert_eq!((groups(&claims), claims.next), (vec!["y"], Some(at(50))));
    assert_eq!(groups(&claim_together(&*store, &together, at(50)).await), ["x"]);
    let claims = claim_together(&*store, &together, at(60)).await.claimed;
    assert_eq!((claims.len(), claims[0].delivery.consumer.as_str()), (1, "e"), "nothing is saved up");
    assert!(store.resume(of_limit("all", None), at(60)).await.unwrap());
    drop(store);
    assert_eq!(claim(&*place.open(), "c", at(60)).await.claimed.len(), 2);
}

/// A limit without a rate that was throttled still starts with one.
pub async fn a_ramp_goes_on_where_it_was(place: &dyn Reopen) {
    let store = place.open();
    let api = Limit::new("api");
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..9 {
        put(&*store, &c, "u", "", START).await;
    }
    let attempt = claim_together(&*store, &[("c", 1)], START).await.claimed.remove(0);
    settle(&*store, &attempt, throttled(at(10)), at(1)).await;
    drop(store);
    let store = place.open();
    let mut claims = claim(&*store, "c", at(10)).await.claimed;
    assert_eq!(claims.len(), 1);
    settle(&*store, &claims.remove(0), done(), at(11)).await;
    drop(store);
    assert_eq!(claim(&*place.open(), "c", at(12)).await.claimed.len(), 2);
}

/// A change of a limit, and taking it back, survive.
pub async fn changes_of_limits_survive(place: &dyn Reopen) {
    let store = place.open();
    let api = Limit::new("api").concurrency(1);
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..5 {
        put(&*store, &c, "u", "", START).await;
    }
    let change = LimitChange { rate: None, concurrency: Some(Some(2)), by: "someone".into(), at: START };
    store.change_limit("api".into(), Some(change.clone())).await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(claim(&*store, "c", at(1)).await.claimed.len(), 2);
    declare(&*store, &[&api], &[&c], at(1)).await;
    let view = store.limits(at(1)).await.unwrap().remove(0);
    assert_eq!((view.limit.concurrency, view.change), (Some(2), Some(change)));
    store.change_limit("api".into(), None).await.unwrap();
    drop(store);
    let view = place.open().limits(at(1)).await.unwrap().remove(0);
    assert_eq!((view.limit.concurrency, view.change, view.in_use), (Some(1), None, 2));
}

/// What waits stands where it stood: its keys, its turns, its order.
pub async fn lanes_are_what_they_were(place: &dyn Reopen) {
    let store = place.open();
    let own = Limit::new("own").concurrency(1).key("/k").unwrap();
    let (c, d) = (held(serving("c", "a"), &[&own]), ordered(held(serving("d", "a"), &[&own])));
    declare(&*store, &[&own], &[&c, &d], START).await;
    for owner in ["many", "many", "many", "one"] {
        put(&*store, &c, owner, "x", START).await;
    }
    let head = put(&*store, &d, "u", "y", START).await;
    put(&*store, &d, "u", "y", START).await;
    run(&*store, "d", retry_at(at(50)), at(1)).await;
    drop(store);
    let store = place.open();
    assert!(claim(&*store, "d", at(49)).await.claimed.is_empty());
    assert_eq!(claim_one(&*store, "d", at(50)).await.delivery.operation, head);
    let mut turns = Vec::new();
    for second in 50..52 {
        let claimed = claim_one(&*store, "c", at(second)).await;
        settle(&*store, &claimed, done(), at(second)).await;
        turns.extend(claimed.owner);
    }
    assert_eq!(turns, ["many", "one"]);
}

/// A clock that was set is set after opening again, too.
pub async fn a_set_clock_stays_set(place: &dyn Reopen) {
    let store = place.open();
    let (api, one) = (Limit::new("api").rate("1/10s").unwrap(), Limit::new("one").concurrency(1));
    let c = held(serving("c", "a"), &[&api, &one]);
    declare(&*store, &[&api, &one], &[&c], START).await;
    put(&*store, &c, "u", "", START).await;
    put(&*store, &c, "u", "", START).await;
    let running = claim_remote(&*store, "c", 1, 30, START).await.remove(0);
    store.cancel(running.delivery.operation, at(1)).await.unwrap();
    store.pause(of_limit("api", None), pause(START, Some(at(20)))).await.unwrap();
    store.shift(-3_600_000_000, START).await.unwrap();
    let set = |second: u64| at(second) - Duration::from_secs(3_600);
    let before = store.limits(set(2)).await.unwrap();
    assert_eq!(before[0].pause.as_ref().unwrap().until, Some(set(20)));
    drop(store);
    let store = place.open();
    assert_eq!(store.limits(set(2)).await.unwrap(), before);
    assert!(claim(&*store, "c", set(29)).await.claimed.is_empty());
    assert_eq!(claim(&*store, "c", set(30)).await.claimed.len(), 1);
}
