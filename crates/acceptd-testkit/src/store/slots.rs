//! Slots that outlast what is heard of an attempt, and slots of calls within one.

use std::sync::Arc;

use acceptd::store::{Claimed, HoldId, Permit, Permitted, Serving, Verdict};
use acceptd::{ErrorKind, Limit, Result, Store, Timestamp};

use crate::factory::*;

/// How long a target may go on in these cases, in seconds.
const REMOTE_FOR: u64 = 100;

/// A consumer with one slot, and two deliveries of which one runs since [`START`] on node 1.
async fn one_runs(store: &dyn Store, remote: bool) -> (Serving, Claimed) {
    let one = Limit::new("one").concurrency(1);
    let c = held(serving("c", "a"), &[&one]);
    declare(store, &[&one], &[&c], START).await;
    put(store, &c, "u", "", START).await;
    put(store, &c, "u", "", START).await;
    let running = match remote {
        true => claim_remote(store, "c", 1, REMOTE_FOR, START).await.remove(0),
        false => claim_together(store, &[("c", 1)], START).await.claimed.remove(0),
    };
    (c, running)
}

/// The slot is held until then, and free from then on.
async fn is_held_until(store: &dyn Store, seconds: u64, now: Timestamp) {
    let early = claim(store, "c", now).await;
    assert_eq!((early.claimed.len(), early.next), (0, Some(at(seconds))));
    let view = store.limits(now).await.unwrap().remove(0);
    assert_eq!((view.in_use, view.keys[0].holders[0].until), (1, Some(at(seconds))));
    assert!(claim(store, "c", at(seconds - 1)).await.claimed.is_empty());
    assert!(!claim(store, "c", at(seconds)).await.claimed.is_empty());
}

async fn is_free(store: &dyn Store, now: Timestamp) {
    assert_eq!(claim(store, "c", now).await.claimed.len(), 1);
    assert_eq!(store.limits(now).await.unwrap()[0].in_use, 1);
}

/// A remote target may still be working on what was rescued: its slot stays held until the attempt's deadline.
pub async fn a_rescued_attempt_holds_its_slot_until_its_deadline(store: Arc<dyn Store>) {
    let (_, running) = one_runs(&*store, true).await;
    assert_eq!(running.delivery.deadline, Some(at(REMOTE_FOR)));
    assert_eq!(store.rescue(node(2), LEASE, at(20)).await.unwrap().len(), 1);
    is_held_until(&*store, REMOTE_FOR, at(20)).await;
}

/// The same for what was canceled.
pub async fn a_canceled_attempt_holds_its_slot_until_its_deadline(store: Arc<dyn Store>) {
    let (_, running) = one_runs(&*store, true).await;
    store.cancel(running.delivery.operation, at(5)).await.unwrap();
    is_held_until(&*store, REMOTE_FOR, at(5)).await;
}

/// The same for what was released or is to be retried while its target may still be working on it.
pub async fn an_unfinished_attempt_holds_its_slot_until_its_deadline(store: Arc<dyn Store>) {
    let (_, running) = one_runs(&*store, true).await;
    settle(&*store, &running, Verdict::Release { unfinished: true }, at(5)).await;
    is_held_until(&*store, REMOTE_FOR, at(5)).await;
    let again = claim_running(&*store, at(REMOTE_FOR)).await;
    settle(&*store, &again, done(), at(REMOTE_FOR)).await;
    let last = claim_remote(&*store, "c", 1, REMOTE_FOR, at(200)).await.remove(0);
    let verdict = Verdict::Retry { due: at(201), failure: failure("it took too long"), unfinished: true };
    settle(&*store, &last, verdict, at(201)).await;
    is_held_until(&*store, 200 + REMOTE_FOR, at(202)).await;
}

/// What runs now, to be settled.
async fn claim_running(store: &dyn Store, now: Timestamp) -> Claimed {
    let view = store.limits(now).await.unwrap().remove(0);
    let id = view.keys[0].holders[0].id;
    let acceptd::store::DeliveryView { delivery, event, owner, .. } = store.delivery(id.delivery).await.unwrap();
    Claimed { start: now, delivery, event, owner, keys: Vec::new() }
}

/// The last attempt that may still be going on holds its slot, too, though its delivery is a dead letter.
pub async fn the_last_unfinished_attempt_holds_its_slot(store: Arc<dyn Store>) {
    let (c, _) = one_runs(&*store, true).await;
    let runs = claim_running(&*store, START).await;
    let mut wanted = claim_of("c", 1, at(1));
    (wanted.wanted[0].max_attempts, wanted.wanted[0].remote_for) = (1, Some(std::time::Duration::from_secs(60)));
    settle(&*store, &runs, done(), at(1)).await;
    let last = store.claim(wanted).await.unwrap().claimed.remove(0);
    let verdict = Verdict::Retry { due: at(2), failure: failure("it took too long"), unfinished: true };
    assert!(settle(&*store, &last, verdict, at(2)).await.ended.is_some());
    put(&*store, &c, "u", "", at(2)).await;
    is_held_until(&*store, 61, at(2)).await;
}

/// A target that keeps its delivery may be working on it until its lease is over.
pub async fn a_lease_says_how_long_the_slot_is_held(store: Arc<dyn Store>) {
    let (_, running) = one_runs(&*store, true).await;
    store.extend(running.delivery.id, running.delivery.fence, at(40), at(1)).await.unwrap();
    store.cancel(running.delivery.operation, at(2)).await.unwrap();
    is_held_until(&*store, 40, at(2)).await;
}

/// What ends well, fails, or was released before it began holds nothing any more.
pub async fn a_clean_end_holds_nothing(store: Arc<dyn Store>) {
    let release = Verdict::Release { unfinished: false };
    let (_, mut running) = one_runs(&*store, true).await;
    for verdict in [release, retry_at(at(1)), Verdict::Snooze { due: at(1) }, give_up()] {
        settle(&*store, &running, verdict, at(1)).await;
        running = claim_remote(&*store, "c", 1, REMOTE_FOR, at(1)).await.remove(0);
    }
    settle(&*store, &running, done(), at(1)).await;
    assert_eq!(store.limits(at(1)).await.unwrap()[0].in_use, 0);
}

/// A target that ends with its node holds nothing once the attempt was taken from it.
pub async fn a_local_target_holds_nothing_once_its_attempt_is_over(store: Arc<dyn Store>) {
    let (_, running) = one_runs(&*store, false).await;
    assert_eq!(running.delivery.deadline, None);
    settle(&*store, &running, Verdict::Release { unfinished: true }, at(1)).await;
    is_free(&*store, at(1)).await;
    let running = claim_running(&*store, at(1)).await;
    let verdict = Verdict::Retry { due: at(900), failure: failure("it took too long"), unfinished: true };
    settle(&*store, &running, verdict, at(2)).await;
    is_free(&*store, at(2)).await;
    let rescued = store.rescue(node(2), LEASE, at(50)).await.unwrap();
    assert_eq!((rescued.len(), rescued[0].woken.as_slice()), (1, [].as_slice()));
    is_free(&*store, at(50)).await;
    let running = claim_running(&*store, at(50)).await;
    store.cancel(running.delivery.operation, at(51)).await.unwrap();
    assert_eq!(store.limits(at(51)).await.unwrap()[0].in_use, 0);
}

/// When an attempt's end becomes known after all, its slots are free at once; those of one that runs are not.
pub async fn a_late_end_frees_held_slots(store: Arc<dyn Store>) {
    let one = Limit::new("one").concurrency(1);
    let c = held(serving("c", "a"), &[&one]);
    declare(&*store, &[&one], &[&c], START).await;
    put(&*store, &c, "u", "", START).await;
    put(&*store, &c, "u", "", START).await;
    let running = claim_remote(&*store, "c", 1, REMOTE_FOR, START).await.remove(0);
    let attempt = HoldId::of(&running.delivery);
    assert!(store.give_back(attempt).await.unwrap().is_empty(), "it runs");
    assert!(claim(&*store, "c", at(1)).await.claimed.is_empty());
    store.cancel(running.delivery.operation, at(2)).await.unwrap();
    assert!(claim(&*store, "c", at(2)).await.claimed.is_empty(), "its target may be working on it");
    assert_eq!(store.give_back(attempt).await.unwrap(), ["c"]);
    claim_one(&*store, "c", at(3)).await;
}

/// Who takes no slot has no deadline either: there is nothing to hold.
pub async fn without_a_limit_there_is_no_deadline(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    assert_eq!(claim_remote(&*store, "c", 1, REMOTE_FOR, START).await[0].delivery.deadline, None);
}

/// When the clock was set, what is held for nobody is held as long as before.
pub async fn a_set_clock_moves_held_slots(store: Arc<dyn Store>) {
    for (round, hour) in [(0, 3_600_000_000_i64), (1, -3_600_000_000)] {
        let (start, one) = (1_000 * round, Limit::new("one").concurrency(1));
        let c = held(serving("c", "a"), &[&one]);
        declare(&*store, &[&one], &[&c], at(start)).await;
        put(&*store, &c, "u", "", at(start)).await;
        put(&*store, &c, "u", "", at(start)).await;
        let running = claim_remote(&*store, "c", 1, REMOTE_FOR, at(start)).await.remove(0);
        store.shift(hour, START).await.unwrap();
        let set = |second: u64| Timestamp::from_micros(at(start + second).as_micros() + hour);
        let moved = store.delivery(running.delivery.id).await.unwrap().delivery;
        assert_eq!(moved.deadline, Some(set(REMOTE_FOR)));
        store.cancel(running.delivery.operation, set(1)).await.unwrap();
        store.shift(-hour, START).await.unwrap();
        assert!(claim(&*store, "c", at(start + REMOTE_FOR - 1)).await.claimed.is_empty());
        let next = claim_one(&*store, "c", at(start + REMOTE_FOR)).await;
        settle(&*store, &next, done(), at(start + REMOTE_FOR)).await;
    }
}

/// An attempt that runs without limits of its own, and a limit to ask for.
async fn asking(store: &dyn Store, limit: Limit) -> Claimed {
    declare(store, &[&limit], &[&serving("c", "a")], START).await;
    accept("a").deliver_to("c").to(store).await;
    claim_one(store, "c", START).await
}

async fn permit(store: &dyn Store, attempt: &Claimed, value: &str, now: Timestamp) -> Result<Permitted> {
    let (delivery, fence) = (attempt.delivery.id, attempt.delivery.fence);
    store.permit(Permit { delivery, fence, key: key("api", value), now }).await
}

fn held_by(permitted: Permitted) -> (HoldId, Timestamp) {
    match permitted {
        Permitted::Held { id, grant } => (id, grant.start),
        Permitted::Busy(again) => panic!("it is busy until {again:?}"),
    }
}

/// A call within an attempt holds a slot of its key until it gives it back.
pub async fn a_permit_holds_its_key_until_it_is_given_back(store: Arc<dyn Store>) {
    let attempt = asking(&*store, Limit::new("api").concurrency(1).key("/k").unwrap()).await;
    let (x, _) = held_by(permit(&*store, &attempt, "x", at(1)).await.unwrap());
    assert_eq!(permit(&*store, &attempt, "x", at(1)).await.unwrap(), Permitted::Busy(None));
    let (y, _) = held_by(permit(&*store, &attempt, "y", at(1)).await.unwrap());
    assert!(x != y && x.delivery == attempt.delivery.id);
    assert_eq!(store.limits(at(1)).await.unwrap()[0].in_use, 2);
    store.give_back(x).await.unwrap();
    held_by(permit(&*store, &attempt, "x", at(2)).await.unwrap());
    assert_eq!(permit(&*store, &attempt, "y", at(2)).await.unwrap(), Permitted::Busy(None));
}

/// Permits and deliveries hold the same slots, and wake each other's consumers.
pub async fn permits_and_deliveries_share_their_slots(store: Arc<dyn Store>) {
    let api = Limit::new("api").concurrency(1);
    let d = held(serving("d", "d"), &[&api]);
    let attempt = asking(&*store, api.clone()).await;
    declare(&*store, &[&api], &[&serving("c", "a"), &d], START).await;
    let (permitted, _) = held_by(permit(&*store, &attempt, "", START).await.unwrap());
    accept("d").taken_by(&d).to(&*store).await;
    assert!(claim(&*store, "d", at(1)).await.claimed.is_empty());
    assert_eq!(store.give_back(permitted).await.unwrap(), ["d"]);
    let running = claim_one(&*store, "d", at(2)).await;
    assert_eq!(permit(&*store, &attempt, "", at(2)).await.unwrap(), Permitted::Busy(None));
    settle(&*store, &running, done(), at(3)).await;
    held_by(permit(&*store, &attempt, "", at(3)).await.unwrap());
}

/// Permits keep the rate, and say when to ask again.
pub async fn permits_keep_the_rate(store: Arc<dyn Store>) {
    let attempt = asking(&*store, Limit::new("api").rate("1/10s").unwrap()).await;
    let (_, start) = held_by(permit(&*store, &attempt, "", START).await.unwrap());
    assert_eq!(start, START);
    let Permitted::Busy(Some(again)) = permit(&*store, &attempt, "", at(1)).await.unwrap() else { panic!("not yet") };
    assert!(again >= at(9) && again < at(11), "{again:?}");
    let (_, start) = held_by(permit(&*store, &attempt, "", again).await.unwrap());
    assert!(start >= at(10), "{start:?}");
}

/// What an attempt still holds ends with it, however it ends.
pub async fn permits_end_with_their_attempt(store: Arc<dyn Store>) {
    let mut attempt = asking(&*store, Limit::new("api").concurrency(1)).await;
    for verdict in [Verdict::Release { unfinished: true }, retry_at(START), throttled(START), done()] {
        held_by(permit(&*store, &attempt, "", START).await.unwrap());
        settle(&*store, &attempt, verdict, START).await;
        assert_eq!(store.limits(START).await.unwrap()[0].in_use, 0);
        attempt = match claim(&*store, "c", START).await.claimed.pop() {
            Some(next) => next,
            None => return,
        };
    }
    panic!("it was done in the end");
}

/// A rescue and a cancel end the permits of an attempt.
pub async fn permits_end_with_a_rescue_or_a_cancel(store: Arc<dyn Store>) {
    let attempt = asking(&*store, Limit::new("api").concurrency(1)).await;
    held_by(permit(&*store, &attempt, "", START).await.unwrap());
    store.rescue(node(2), LEASE, at(20)).await.unwrap();
    let attempt = claim_one(&*store, "c", at(20)).await;
    held_by(permit(&*store, &attempt, "", at(20)).await.unwrap());
    store.cancel(attempt.delivery.operation, at(21)).await.unwrap();
    assert_eq!(store.limits(at(21)).await.unwrap()[0].in_use, 0);
}

/// Nobody holds anything for an attempt that is over.
pub async fn an_old_fence_gets_no_permit(store: Arc<dyn Store>) {
    let old = asking(&*store, Limit::new("api").concurrency(1)).await;
    settle(&*store, &old, Verdict::Release { unfinished: false }, START).await;
    assert_eq!(permit(&*store, &old, "", START).await.unwrap_err().kind(), ErrorKind::AlreadySettled);
    let new = claim_one(&*store, "c", START).await;
    assert_eq!(permit(&*store, &old, "", START).await.unwrap_err().kind(), ErrorKind::StaleFence);
    held_by(permit(&*store, &new, "", START).await.unwrap());
    store.cancel(new.delivery.operation, at(1)).await.unwrap();
    assert_eq!(permit(&*store, &new, "", at(1)).await.unwrap_err().kind(), ErrorKind::Canceled);
    assert_eq!(store.limits(at(1)).await.unwrap()[0].in_use, 0);
}
