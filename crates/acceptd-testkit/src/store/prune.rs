//! Pruning: what goes, and what stays.

use std::sync::Arc;

use acceptd::store::{NotificationQuery, Replay};
use acceptd::{ErrorKind, Gate, Limit, Status, Store, Weight};

use crate::factory::*;

/// An operation that ended before then goes with everything that belongs to it.
pub async fn an_ended_operation_goes_with_everything(store: Arc<dyn Store>) {
    let id = accept("a").owner("u").id("1").key("u", "k", 1).deliver_to("c").id_from(&*store).await;
    let delivery = run(&*store, "c", done_with("1"), at(1)).await.delivery.id;
    assert_eq!(store.prune(at(2), at(100), 10).await.unwrap(), 1);
    assert_eq!(store.operation(id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.results(id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.chain(id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.delivery(delivery).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(store.operations(Default::default(), ALL).await.unwrap().items.is_empty());
    let all = NotificationQuery { owner: None, after: None, page: ALL };
    assert!(store.notifications(all).await.unwrap().items.is_empty());
    let again = accept("a").id("1").key("u", "k", 2).deliver_to("c").now(at(100)).to(&*store).await;
    assert_eq!(again.replay, Replay::New, "its event id and its key are free again");
}

/// What ended at that instant or later stays.
pub async fn what_ended_later_stays(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    run(&*store, "c", done(), at(5)).await;
    assert_eq!(store.prune(at(5), at(100), 10).await.unwrap(), 0);
    assert_eq!(status(&*store, id).await, Status::Succeeded);
    assert_eq!(store.prune(at(6), at(100), 10).await.unwrap(), 1);
}

/// What has not ended stays, however old it is.
pub async fn what_has_not_ended_stays(store: Arc<dyn Store>) {
    accept("a").to(&*store).await;
    accept("a").deliver_to("c").to(&*store).await;
    accept("a").deliver_to("c").to(&*store).await;
    claim_one(&*store, "c", START).await;
    assert_eq!(store.prune(at(1_000_000), at(1_000_000), 10).await.unwrap(), 0);
    assert_eq!(store.operations(Default::default(), ALL).await.unwrap().items.len(), 3);
}

/// Dead letters stay until someone retries or discards them, of whichever weight.
pub async fn dead_letters_stay(store: Arc<dyn Store>) {
    let (_, delivery) = dead_letter(&*store, "c", at(1)).await;
    accept("a").deliver_to("c").route("hook", Weight::Untracked).to(&*store).await;
    run(&*store, "c", done(), at(1)).await;
    run(&*store, "hook", give_up(), at(1)).await;
    assert_eq!(store.prune(at(100), at(100), 10).await.unwrap(), 0);
    store.discard(delivery, at(2)).await.unwrap();
    assert_eq!(store.prune(at(100), at(100), 10).await.unwrap(), 1);
}

/// An operation that ended while something untracked still waits stays until that has ended.
pub async fn untracked_deliveries_that_wait_stay(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").route("hook", Weight::Untracked).id_from(&*store).await;
    run(&*store, "c", done(), at(1)).await;
    assert_eq!(store.prune(at(100), at(100), 10).await.unwrap(), 0);
    assert_eq!(status(&*store, id).await, Status::Succeeded);
    run(&*store, "hook", done(), at(2)).await;
    assert_eq!(store.prune(at(100), at(100), 10).await.unwrap(), 1);
}

/// At most so many go at once.
pub async fn at_most_so_many_go_at_once(store: Arc<dyn Store>) {
    for _ in 0..5 {
        accept("a").deliver_to("c").to(&*store).await;
        run(&*store, "c", done(), at(1)).await;
    }
    assert_eq!(store.prune(at(2), at(2), 3).await.unwrap(), 3);
    assert_eq!(store.prune(at(2), at(2), 3).await.unwrap(), 2);
    assert_eq!(store.prune(at(2), at(2), 3).await.unwrap(), 0);
}

/// Pruning leaves keys that are not over, and closures that explain a wait.
pub async fn keys_and_closures_in_use_stay(store: Arc<dyn Store>) {
    let id = accept("a").key("u", "k", 1).deliver_to("c").id_from(&*store).await;
    store.pause("c".into(), pause(at(1), None)).await.unwrap();
    store.resume("c".into(), at(2)).await.unwrap();
    store.prune(at(100), at(100), 10).await.unwrap();
    let again = accept("a").key("u", "k", 1).deliver_to("c").now(at(101)).to(&*store).await;
    assert_eq!((again.operation.id, again.replay), (id, Replay::IdempotencyKey));
    let closures = store.chain(id).await.unwrap().closures;
    assert!(closures.iter().any(|(_, one)| one.gate == Gate::Pause && one.until == Some(at(2))), "{closures:?}");
}

/// A pause outlasts pruning until its end, a person's and a timed one.
pub async fn a_pause_stays(store: Arc<dyn Store>) {
    store.pause("c".into(), pause(START, None)).await.unwrap();
    store.pause("d".into(), pause(START, Some(at(200)))).await.unwrap();
    store.prune(at(100), at(100), 10).await.unwrap();
    assert_eq!(pause_of(&claim(&*store, "c", at(101)).await), Some(None));
    assert_eq!(pause_of(&claim(&*store, "d", at(101)).await), Some(Some(at(200))));
}

/// Pruning forgets no slot that is held, no rate that waits and no pause, though all that held them went.
pub async fn limits_stay_what_they_are(store: Arc<dyn Store>) {
    let (one, api) = (Limit::new("one").concurrency(1), Limit::new("api").rate("1/100s").unwrap().key("/k").unwrap());
    let (c, d) = (held(serving("c", "a"), &[&one]), held(serving("d", "a"), &[&api]));
    declare(&*store, &[&one, &api], &[&c, &d], START).await;
    put(&*store, &c, "u", "", START).await;
    put(&*store, &d, "u", "x", START).await;
    let running = claim_remote(&*store, "c", 1, 60, START).await.remove(0);
    run(&*store, "d", done(), START).await;
    store.cancel(running.delivery.operation, at(1)).await.unwrap();
    store.pause(of_limit("api", Some("y")), pause(at(1), Some(at(70)))).await.unwrap();
    assert_eq!(store.prune(at(2), at(2), 10).await.unwrap(), 2);
    put(&*store, &c, "u", "", at(2)).await;
    put(&*store, &d, "u", "x", at(2)).await;
    put(&*store, &d, "u", "y", at(2)).await;
    let claims = claim_together(&*store, &[("c", 9), ("d", 9)], at(59)).await;
    assert_eq!((claims.claimed.len(), claims.next), (0, Some(at(60))));
    store.prune(at(2), at(80), 10).await.unwrap();
    assert_eq!(groups(&claim_together(&*store, &[("c", 9), ("d", 9)], at(80)).await), ["", "y"]);
    store.prune(at(2), at(10_000), 10).await.unwrap();
    assert_eq!(groups(&claim_together(&*store, &[("c", 9), ("d", 9)], at(10_000)).await), ["x"]);
}
