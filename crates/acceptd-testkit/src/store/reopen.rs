//! Closing and opening again: a crash forgets nothing that was answered.
//!
//! A case drops its store without saying goodbye, which is all that a crash leaves to a store.

use std::sync::Arc;

use acceptd::delivery::State;
use acceptd::store::{Replay, Step, Verdict};
use acceptd::{ErrorKind, Status, Store, Weight};

use crate::factory::*;

/// A place that a store can be opened at more than once.
pub trait Reopen {
    /// Opens the store with what is kept there. The one opened before has been dropped.
    fn open(&self) -> Arc<dyn Store>;
}

/// Everything that was accepted is there again.
pub async fn what_was_accepted_is_there_again(place: &dyn Reopen) {
    let store = place.open();
    let batch = accept("a").owner("u").priority(3).due(at(9)).id("1").deliver_to("c").and("b").deliver_to("d");
    let id = batch.id_from(&*store).await;
    let waiting = accept("nobody").id_from(&*store).await;
    let before = (store.chain(id).await.unwrap(), store.operations(Default::default(), ALL).await.unwrap());
    drop(store);
    let store = place.open();
    assert_eq!(store.chain(id).await.unwrap(), before.0);
    assert_eq!(store.operations(Default::default(), ALL).await.unwrap(), before.1);
    assert_eq!((store.health().backlog, claim(&*store, "c", at(8)).await.next), (3, Some(at(9))));
    assert_eq!(serve(&*store, 1, &["nobody"], at(1)).await.routed, 1);
    assert_eq!(run(&*store, "nobody", done(), at(1)).await.delivery.operation, waiting);
}

/// Everything that was settled is there again.
pub async fn what_was_settled_is_there_again(place: &dyn Reopen) {
    let store = place.open();
    let id = accept("a").owner("u").deliver_to("c").deliver_to("d").id_from(&*store).await;
    let verdict = Verdict::Done {
        result: Some(json("{\"n\":1}")),
        emit: vec![emit("b", "e", Weight::Untracked)],
        notify: None,
        progress: Some(progress(10)),
        pause: None,
    };
    run(&*store, "c", verdict, at(1)).await;
    let kept = Verdict::GiveUp { failure: failure("undeclared"), outcome: Some(json("[]")) };
    run(&*store, "d", kept, at(2)).await;
    let before = (
        store.chain(id).await.unwrap(),
        store.results(id).await.unwrap(),
        store.dead_letters(ALL).await.unwrap(),
        told(&*store, "u").await,
    );
    drop(store);
    let store = place.open();
    let after = (
        store.chain(id).await.unwrap(),
        store.results(id).await.unwrap(),
        store.dead_letters(ALL).await.unwrap(),
        told(&*store, "u").await,
    );
    assert_eq!(after, before);
    assert_eq!((status(&*store, id).await, store.health().backlog), (Status::Failed, 1));
}

/// What ran when the store was closed is rescued, and fences go on rising.
pub async fn fences_go_on_rising(place: &dyn Reopen) {
    let store = place.open();
    serve(&*store, 1, &["c"], START).await;
    accept("a").deliver_to("c").to(&*store).await;
    let lost = claim_for(&*store, 1, "c", START).await;
    drop(store);
    let store = place.open();
    assert_eq!(store.delivery(lost.delivery.id).await.unwrap().delivery, lost.delivery);
    serve(&*store, 2, &["c"], at(60)).await;
    assert_eq!(store.rescue(node(2), LEASE, at(60)).await.unwrap().len(), 1);
    let next = claim_for(&*store, 2, "c", at(60)).await;
    assert_eq!((next.delivery.fence, next.delivery.attempts), (2, 2));
    assert_eq!(refusal(&*store, &lost, done(), at(61)).await, ErrorKind::StaleFence);
}

/// A target that holds a lease settles after a restart as if nothing had happened, with its steps and progress.
pub async fn a_targets_lease_survives(place: &dyn Reopen) {
    let store = place.open();
    serve(&*store, 1, &["c"], START).await;
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_for(&*store, 1, "c", START).await;
    let (delivery, fence) = (attempt.delivery.id, attempt.delivery.fence);
    store.extend(delivery, fence, at(600), START).await.unwrap();
    store.report(delivery, fence, progress(3), at(1)).await.unwrap();
    store.remember(Step { delivery, fence, name: "launch".into(), value: vec![7] }).await.unwrap();
    drop(store);
    let store = place.open();
    serve(&*store, 2, &["c"], at(60)).await;
    assert!(store.rescue(node(2), LEASE, at(60)).await.unwrap().is_empty());
    assert_eq!(store.delivery(delivery).await.unwrap().delivery.progress, Some(progress(3)));
    assert_eq!(store.steps(delivery).await.unwrap(), [("launch".to_owned(), vec![7])]);
    let settled = settle(&*store, &attempt, done(), at(61)).await;
    assert_eq!((settled.delivery.state, settled.ended), (State::Done, Some(Status::Succeeded)));
}

/// Keys and event ids are known again.
pub async fn replays_are_known_again(place: &dyn Reopen) {
    let store = place.open();
    let id = accept("a").id("1").key("u", "k", 1).deliver_to("c").id_from(&*store).await;
    drop(store);
    let store = place.open();
    let by_key = accept("a").key("u", "k", 1).deliver_to("c").to(&*store).await;
    let by_event = accept("a").id("1").deliver_to("c").to(&*store).await;
    assert_eq!((by_key.replay, by_key.operation.id), (Replay::IdempotencyKey, id));
    assert_eq!((by_event.replay, by_event.operation.id), (Replay::Event, id));
    assert_eq!(accept("a").key("u", "k", 2).deliver_to("c").refused_by(&*store).await, ErrorKind::KeyReused);
}

/// Pauses hold again.
pub async fn pauses_hold_again(place: &dyn Reopen) {
    let store = place.open();
    accept("a").deliver_to("c").deliver_to("d").to(&*store).await;
    store.pause("c".into(), pause(START, None)).await.unwrap();
    store.pause("d".into(), pause(START, Some(at(9)))).await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(pause_of(&claim(&*store, "c", at(8)).await), Some(None));
    assert_eq!(pause_of(&claim(&*store, "d", at(8)).await), Some(Some(at(9))));
    assert_eq!(claim(&*store, "d", at(9)).await.claimed.len(), 1);
}

/// Ids go on ascending, even when the clock stepped back.
pub async fn ids_go_on_ascending(place: &dyn Reopen) {
    let store = place.open();
    accept("a").deliver_to("c").now(at(1_000)).to(&*store).await;
    let last = run(&*store, "c", done_telling("b"), at(1_000)).await;
    drop(store);
    let store = place.open();
    let later = accept("a").deliver_to("c").to(&*store).await.operation;
    assert!(later.id.ordinal() > last.notified[0].ordinal());
}
