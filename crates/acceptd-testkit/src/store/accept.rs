//! Accepting: what is stored, and what was accepted before.

use std::collections::BTreeMap;
use std::sync::Arc;

use acceptd::delivery::State;
use acceptd::store::{KnownEvent, Replay};
use acceptd::{Draft, ErrorKind, Status, Store};

use crate::factory::*;

/// A new operation is queued and can be found.
pub async fn a_new_operation_is_queued(store: Arc<dyn Store>) {
    let accepted = accept("a").owner("u").priority(7).deliver_to("c").to(&*store).await;
    assert_eq!(accepted.replay, Replay::New);
    assert_eq!(accepted.woken, ["c"]);
    let view = store.operation(accepted.operation.id).await.unwrap();
    assert_eq!(view.operation, accepted.operation);
    assert_eq!((view.status(), view.operation.kind.as_str()), (Status::Queued, "a"));
    assert_eq!((view.operation.owner.as_deref(), view.operation.priority), (Some("u"), 7));
    assert_eq!((view.operation.created, view.operation.ended), (START, None));
}

/// Each route of each event is one waiting delivery.
pub async fn each_route_is_one_waiting_delivery(store: Arc<dyn Store>) {
    let accepted = accept("a").deliver_to("c").deliver_to("d").and("b").deliver_to("c").due(at(5)).to(&*store).await;
    let mut woken = accepted.woken;
    woken.sort();
    assert_eq!(woken, ["c", "d"]);
    let view = store.operation(accepted.operation.id).await.unwrap();
    assert_eq!((view.operation.tracked.total, view.live.len()), (3, 3));
    for delivery in &view.live {
        assert_eq!((delivery.state, delivery.attempts, delivery.fence), (State::Waiting, 0, 0));
        assert_eq!((delivery.since, delivery.due), (START, at(5)));
    }
}

/// An operation has at least one event.
pub async fn an_operation_without_events_is_refused(store: Arc<dyn Store>) {
    assert_eq!(accept("a").nothing().refused_by(&*store).await, ErrorKind::InvalidArgument);
}

/// Everything that was said of an event is kept as it was said.
pub async fn an_event_is_kept_as_it_was_said(store: Arc<dyn Store>) {
    let draft = Draft {
        kind: "a".into(),
        source: "/shop".into(),
        id: Some("4711".into()),
        subject: Some("a cart".into()),
        time: Some(at(1)),
        dataschema: Some("https://example.com/schema".into()),
        data: Some(acceptd::Data::new("text/plain; charset=latin1", vec![0, 255, 10])),
        extensions: BTreeMap::from([("tenant".into(), "ä".into())]),
    };
    let id = accept("a").draft(draft.clone()).deliver_to("c").id_from(&*store).await;
    let chain = store.chain(id).await.unwrap();
    let event = &chain.events[0];
    assert_eq!((&event.draft, event.depth, &event.cause, event.accepted), (&draft, 0, &None, START));
    assert_eq!(claim_one(&*store, "c", START).await.event, *event);
}

/// The same key and request finds the operation as it is now, and stores nothing.
pub async fn the_same_key_finds_the_operation_as_it_is_now(store: Arc<dyn Store>) {
    let first = accept("a").key("u", "k", 1).deliver_to("c").to(&*store).await;
    run(&*store, "c", done(), at(1)).await;
    let again = accept("a").key("u", "k", 1).deliver_to("c").now(at(2)).to(&*store).await;
    assert_eq!((again.operation.id, again.replay), (first.operation.id, Replay::IdempotencyKey));
    assert_eq!(again.operation.ended, Some((Status::Succeeded, at(1))));
    assert!(again.woken.is_empty());
    assert_eq!(store.operations(Default::default(), ALL).await.unwrap().items.len(), 1);
}

/// The same key with another request is refused, and nothing is stored.
pub async fn the_same_key_for_another_request_is_refused(store: Arc<dyn Store>) {
    accept("a").key("u", "k", 1).deliver_to("c").to(&*store).await;
    assert_eq!(accept("a").key("u", "k", 2).deliver_to("c").refused_by(&*store).await, ErrorKind::KeyReused);
    assert_eq!(store.health().backlog, 1);
}

/// Keys of other scopes, and other keys of the same scope, are other requests.
pub async fn another_scope_or_key_is_another_request(store: Arc<dyn Store>) {
    accept("a").key("u", "k", 1).deliver_to("c").to(&*store).await;
    assert_eq!(accept("a").key("v", "k", 2).deliver_to("c").to(&*store).await.replay, Replay::New);
    assert_eq!(accept("a").key("u", "l", 2).deliver_to("c").to(&*store).await.replay, Replay::New);
}

/// A key that is over can be used again for anything.
pub async fn a_key_that_is_over_is_free(store: Arc<dyn Store>) {
    let first = accept("a").key("u", "k", 1).deliver_to("c").to(&*store).await;
    let before = accept("a").now(at(3_599)).key("u", "k", 1).deliver_to("c").to(&*store).await;
    assert_eq!(before.operation.id, first.operation.id);
    let after = accept("a").now(at(3_600)).key("u", "k", 2).deliver_to("c").to(&*store).await;
    assert_eq!(after.replay, Replay::New);
    let again = accept("a").now(at(3_601)).key("u", "k", 2).deliver_to("c").to(&*store).await;
    assert_eq!(again.operation.id, after.operation.id, "the key now stands for the later request");
}

/// A known event finds its first operation as it is now.
pub async fn a_known_event_finds_its_first_operation(store: Arc<dyn Store>) {
    let first = accept("a").id("1").deliver_to("c").to(&*store).await;
    run(&*store, "c", done(), at(1)).await;
    let again = accept("a").id("1").deliver_to("c").now(at(2)).to(&*store).await;
    assert_eq!((again.operation.id, again.replay), (first.operation.id, Replay::Event));
    assert_eq!(again.operation.ended, Some((Status::Succeeded, at(1))));
    assert!(again.woken.is_empty() && store.health().backlog == 0);
}

/// An id belongs to its source.
pub async fn an_id_of_another_source_is_another_event(store: Arc<dyn Store>) {
    accept("a").id("1").deliver_to("c").to(&*store).await;
    assert_eq!(accept("a").id("1").source("/other").deliver_to("c").to(&*store).await.replay, Replay::New);
}

/// Events without an id are always new.
pub async fn events_without_an_id_are_new(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    assert_eq!(accept("a").deliver_to("c").to(&*store).await.replay, Replay::New);
}

/// Known events of a batch are skipped and listed; the others are accepted.
pub async fn known_events_of_a_batch_are_skipped_and_listed(store: Arc<dyn Store>) {
    let first = accept("a").id("1").deliver_to("c").id_from(&*store).await;
    let batch = accept("a").id("1").deliver_to("c").and("b").id("2").deliver_to("c").to(&*store).await;
    assert_eq!((batch.replay, batch.operation.kind.as_str()), (Replay::New, "b"));
    assert_eq!(batch.known, [KnownEvent { id: "1".into(), operation: first }]);
    assert_eq!((batch.operation.tracked.total, store.health().backlog), (1, 2));
}

/// A batch of known events only finds the operation of its first event.
pub async fn a_batch_of_known_events_finds_the_first_operation(store: Arc<dyn Store>) {
    accept("a").id("1").deliver_to("c").to(&*store).await;
    let second = accept("a").id("2").deliver_to("c").id_from(&*store).await;
    let batch = accept("a").id("2").deliver_to("c").and("a").id("1").deliver_to("c").to(&*store).await;
    assert_eq!((batch.replay, batch.operation.id), (Replay::Event, second));
}

/// The same event twice in a batch counts once.
pub async fn the_same_event_twice_in_a_batch_counts_once(store: Arc<dyn Store>) {
    let batch = accept("a").id("1").deliver_to("c").and("b").id("1").deliver_to("c").to(&*store).await;
    assert_eq!((batch.replay, batch.operation.tracked.total), (Replay::New, 1));
    assert!(batch.known.is_empty(), "it was not accepted in another operation");
}

/// An accept that would pass the backlog's cap is refused whole.
pub async fn a_full_backlog_refuses_all_or_nothing(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").backlog_max(2).to(&*store).await;
    let two = accept("a").id("1").deliver_to("c").deliver_to("d").backlog_max(2);
    assert_eq!(two.clone().refused_by(&*store).await, ErrorKind::Overloaded);
    assert_eq!(store.health().backlog, 1);
    assert_eq!(two.backlog_max(3).to(&*store).await.replay, Replay::New, "the refused event is not known");
}

/// Running deliveries count for the backlog, ended ones don't.
pub async fn the_backlog_is_what_waits_or_runs(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").backlog_max(1).to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    assert_eq!(accept("a").deliver_to("c").backlog_max(1).refused_by(&*store).await, ErrorKind::Overloaded);
    settle(&*store, &attempt, done(), at(1)).await;
    accept("a").deliver_to("c").backlog_max(1).to(&*store).await;
}

/// A root event that no consumer takes counts as one, until it is routed or canceled.
pub async fn an_unrouted_event_counts_for_the_backlog(store: Arc<dyn Store>) {
    let waits = accept("a").backlog_max(1).to(&*store).await;
    assert_eq!(accept("a").backlog_max(1).refused_by(&*store).await, ErrorKind::Overloaded);
    store.cancel(waits.operation.id, at(2)).await.unwrap();
    assert_eq!(store.health().backlog, 0);
    accept("a").backlog_max(1).to(&*store).await;
    assert_eq!(store.health().backlog, 1);
}

/// A replay is answered even when the backlog is full.
pub async fn a_replay_is_answered_with_a_full_backlog(store: Arc<dyn Store>) {
    let id = accept("a").id("1").key("u", "k", 1).deliver_to("c").id_from(&*store).await;
    let by_key = accept("a").key("u", "k", 1).deliver_to("c").backlog_max(0).to(&*store).await;
    let by_event = accept("a").id("1").deliver_to("c").backlog_max(0).to(&*store).await;
    assert_eq!((by_key.operation.id, by_event.operation.id), (id, id));
}

/// A root event that nobody takes keeps its operation waiting.
pub async fn an_event_that_nobody_takes_waits(store: Arc<dyn Store>) {
    let accepted = accept("a").to(&*store).await;
    assert_eq!((accepted.operation.unrouted, accepted.woken.len()), (1, 0));
    let id = accept("a").and("b").deliver_to("c").id_from(&*store).await;
    let settled = run(&*store, "c", done(), at(1)).await;
    assert_eq!((settled.ended, status(&*store, id).await), (None, Status::Running), "the other event still waits");
}
