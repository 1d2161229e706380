//! Weights and notifications: what decides an operation's end, and who is told of it.

use std::sync::Arc;

use acceptd::store::plan::OPERATION_ENDED;
use acceptd::store::{DeadLetters, Serving, Verdict};
use acceptd::{Level, Notice, Status, Store, Weight};

use crate::factory::*;

/// An operation with an owner notifies once when it ends, in the same breath.
pub async fn an_ending_notifies_the_owner_once(store: Arc<dyn Store>) {
    let id = accept("a").owner("u").deliver_to("c").deliver_to("d").id_from(&*store).await;
    assert_eq!(run(&*store, "c", done(), at(1)).await.notified, []);
    let settled = run(&*store, "d", done(), at(2)).await;
    let query = acceptd::store::NotificationQuery { owner: None, after: None, page: ALL };
    let messages = store.notifications(query).await.unwrap().items;
    assert_eq!(messages.iter().map(|message| message.id).collect::<Vec<_>>(), settled.notified);
    let message = &messages[0];
    assert_eq!((message.owner.as_deref(), message.operation, message.level), (Some("u"), id, Level::Success));
    assert_eq!((message.title.as_str(), message.created, message.read), ("a is done", at(2), None));
}

/// Without an owner nobody is told.
pub async fn without_an_owner_nobody_is_told(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    assert_eq!(run(&*store, "c", done(), at(1)).await.notified, []);
}

/// A failure is told with its reason.
pub async fn a_failure_is_told_with_its_reason(store: Arc<dyn Store>) {
    accept("a").owner("u").deliver_to("c").to(&*store).await;
    run(&*store, "c", give_up(), at(1)).await;
    let query = acceptd::store::NotificationQuery { owner: Some("u".into()), after: None, page: ALL };
    let message = store.notifications(query).await.unwrap().items.remove(0);
    assert_eq!((message.title.as_str(), message.text.as_str()), ("a failed", "it is hopeless"));
}

/// A reopened operation notifies again when it ends again.
pub async fn a_reopened_operation_notifies_again(store: Arc<dyn Store>) {
    let id = accept("a").owner("u").deliver_to("c").id_from(&*store).await;
    run(&*store, "c", give_up(), at(1)).await;
    store.retry(DeadLetters::Operation(id), at(2)).await.unwrap();
    run(&*store, "c", give_up(), at(3)).await;
    store.retry(DeadLetters::Operation(id), at(4)).await.unwrap();
    run(&*store, "c", done(), at(5)).await;
    assert_eq!(told(&*store, "u").await, ["a failed", "a failed", "a is done"]);
}

/// A canceled operation tells its owner.
pub async fn a_cancel_notifies(store: Arc<dyn Store>) {
    let id = accept("a").owner("u").deliver_to("c").deliver_to("d").id_from(&*store).await;
    let stopped = store.cancel(id, at(1)).await.unwrap();
    assert_eq!((stopped.notified.len(), told(&*store, "u").await), (1, vec!["a was canceled".to_owned()]));
}

/// A discarded dead letter changes how the operation ended, but is no new ending.
pub async fn a_discard_does_not_notify_again(store: Arc<dyn Store>) {
    accept("a").owner("u").deliver_to("c").to(&*store).await;
    let dead = run(&*store, "c", give_up(), at(1)).await.delivery.id;
    assert_eq!(store.discard(dead, at(2)).await.unwrap().notified, []);
    assert_eq!(told(&*store, "u").await, ["a failed"]);
}

/// A message through the inbox takes the place of the automatic notification, before the end or after it.
pub async fn an_inbox_message_takes_the_automatic_ones_place(store: Arc<dyn Store>) {
    for (owner, first, second) in [("u", "c", "inbox"), ("v", "inbox", "c")] {
        accept("a").owner(owner).deliver_to("c").route("inbox", Weight::Inbox).to(&*store).await;
        for consumer in [first, second] {
            let verdict = if consumer == "inbox" { done_telling("your machine runs") } else { done() };
            run(&*store, consumer, verdict, at(1)).await;
        }
        assert_eq!(told(&*store, owner).await, ["your machine runs"], "{first} before {second}");
    }
}

/// When the inbox delivery dies, the automatic notification is sent after all.
pub async fn a_dead_inbox_delivery_leaves_the_automatic_notification(store: Arc<dyn Store>) {
    accept("a").owner("u").deliver_to("c").route("inbox", Weight::Inbox).to(&*store).await;
    assert_eq!(run(&*store, "c", done(), at(1)).await.ended, Some(Status::Succeeded));
    assert!(told(&*store, "u").await.is_empty(), "the inbox delivery may still tell");
    run(&*store, "inbox", give_up(), at(2)).await;
    assert_eq!(told(&*store, "u").await, ["a is done"]);
}

/// A handler's own message comes beside the automatic one, and may be for somebody else.
pub async fn a_handlers_message_comes_beside_the_automatic_one(store: Arc<dyn Store>) {
    accept("a").owner("u").deliver_to("c").to(&*store).await;
    let notice = Notice { title: "look".into(), owner: Some("v".into()), ..Notice::default() };
    let verdict = Verdict::Done { result: None, emit: vec![], notify: Some(notice), progress: None, pause: None };
    assert_eq!(run(&*store, "c", verdict, at(1)).await.notified.len(), 2);
    assert_eq!(told(&*store, "u").await, ["a is done"]);
    assert_eq!(told(&*store, "v").await, ["look"]);
}

/// Untracked deliveries don't decide the operation's state, and go on after its end.
pub async fn untracked_deliveries_do_not_decide(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").route("hook", Weight::Untracked).id_from(&*store).await;
    assert_eq!(run(&*store, "c", done(), at(1)).await.ended, Some(Status::Succeeded));
    assert_eq!(store.operation(id).await.unwrap().live.len(), 1);
    let settled = run(&*store, "hook", give_up(), at(2)).await;
    assert_eq!((settled.ended, status(&*store, id).await), (None, Status::Succeeded));
    let operation = store.operation(id).await.unwrap().operation;
    assert_eq!((operation.untracked.dead, operation.failure), (1, None));
}

/// Untracked deliveries decide when there is nothing tracked.
pub async fn untracked_deliveries_decide_when_alone(store: Arc<dyn Store>) {
    accept("a").route("hook", Weight::Untracked).route("inbox", Weight::Inbox).to(&*store).await;
    assert_eq!(run(&*store, "inbox", done(), at(1)).await.ended, None);
    assert_eq!(run(&*store, "hook", give_up(), at(2)).await.ended, Some(Status::Failed));
}

/// An operation ends with its last event when that finds only consumers that don't decide.
pub async fn an_event_that_nobody_decides_by_ends_the_operation(store: Arc<dyn Store>) {
    let id = accept("a").owner("u").deliver_to("c").and("inbox").id_from(&*store).await;
    assert_eq!(run(&*store, "c", done(), at(1)).await.ended, None, "an event still waits for a consumer");
    let inbox = Serving { weight: Weight::Inbox, ..serving("inbox", "inbox") };
    let audit = serving("audit", OPERATION_ENDED);
    assert_eq!(declare(&*store, &[], &[&inbox, &audit], at(2)).await.routed, 1);
    assert_eq!(status(&*store, id).await, Status::Succeeded);
    assert_eq!(claim(&*store, "audit", at(2)).await.claimed.len(), 1);
    run(&*store, "inbox", done_telling("it is there"), at(3)).await;
    assert_eq!(told(&*store, "u").await, ["it is there"]);
}

/// One dead letter fails the operation, whatever became of the rest.
pub async fn dead_beats_canceled_beats_done(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").deliver_to("d").deliver_to("e").id_from(&*store).await;
    run(&*store, "c", done(), at(1)).await;
    run(&*store, "d", give_up(), at(1)).await;
    let stopped = store.cancel(id, at(2)).await.unwrap();
    assert_eq!(stopped.operation.status(), Status::Failed);
    let tally = stopped.operation.operation.tracked;
    assert_eq!((tally.total, tally.done, tally.dead, tally.canceled), (3, 1, 1, 1));
    store.retry(DeadLetters::Operation(id), at(3)).await.unwrap();
    assert_eq!(run(&*store, "d", done(), at(3)).await.ended, Some(Status::Canceled));
}

/// The ends of operations are announced, each once, to the consumers that take them; announcements are not announced.
pub async fn an_end_is_announced_once_to_who_takes_it(store: Arc<dyn Store>) {
    let (audit, watch) = (serving("audit", OPERATION_ENDED), serving("watch", "acceptd.*"));
    declare(&*store, &[], &[&serving("c", "a"), &audit, &watch], START).await;
    let id = accept("a").owner("u").deliver_to("c").id_from(&*store).await;
    let settled = run(&*store, "c", done(), at(1)).await;
    assert_eq!((settled.ended, settled.woken), (Some(Status::Succeeded), vec!["audit".to_owned(), "watch".to_owned()]));
    for consumer in ["audit", "watch"] {
        let claims = claim(&*store, consumer, at(1)).await;
        let [told] = &claims.claimed[..] else { panic!("{consumer} is told once: {claims:?}") };
        assert_eq!(
            (&*told.event.draft.kind, told.event.draft.subject.clone()),
            (OPERATION_ENDED, Some(id.to_string()))
        );
        let data: serde_json::Value = serde_json::from_slice(&told.event.draft.data.as_ref().unwrap().bytes).unwrap();
        assert_eq!((&data["operation"], &data["status"]), (&id.to_string().into(), &"succeeded".into()));
        assert_eq!((&data["owner"], &data["progress"]["done"]), (&"u".into(), &1.into()));
        assert_ne!(told.delivery.operation, id, "it is an operation of its own");
        settle(&*store, told, done(), at(2)).await;
        assert!(claim(&*store, consumer, at(3)).await.claimed.is_empty(), "the end of an announcement is none");
    }
    assert_eq!(told(&*store, "u").await, ["a is done"]);
}

/// Every end is announced: by a cancel, by a rescue, of what nobody took, and again when it was open again.
pub async fn every_end_is_announced(store: Arc<dyn Store>) {
    let audit = serving("audit", OPERATION_ENDED);
    declare(&*store, &[], &[&serving("c", "a"), &audit], START).await;
    let announced = async |now| {
        let claims = claim(&*store, "audit", now).await;
        for claimed in &claims.claimed {
            settle(&*store, claimed, done(), now).await;
        }
        claims.claimed.len()
    };
    let canceled = accept("a").deliver_to("c").deliver_to("d").id_from(&*store).await;
    store.cancel(canceled, at(1)).await.unwrap();
    assert_eq!(announced(at(1)).await, 1);
    let untaken = accept("nobody").and("nobody").id_from(&*store).await;
    store.cancel(untaken, at(2)).await.unwrap();
    assert_eq!(announced(at(2)).await, 1);
    let (id, delivery) = dead_letter(&*store, "c", at(3)).await;
    assert_eq!(announced(at(3)).await, 1);
    revive(&*store, delivery, at(4)).await;
    assert_eq!(announced(at(4)).await, 0);
    let mut last = claim_of("c", 1, at(4));
    last.wanted[0].max_attempts = 1;
    store.claim(last).await.unwrap();
    let rescued = store.rescue(node(2), LEASE, at(50)).await.unwrap();
    assert_eq!((rescued.len(), status(&*store, id).await), (1, Status::Failed));
    assert_eq!(announced(at(50)).await, 1);
    accept("a").deliver_to("c").route("hook", Weight::Untracked).to(&*store).await;
    run(&*store, "c", done(), at(51)).await;
    run(&*store, "hook", done(), at(51)).await;
    assert_eq!(announced(at(51)).await, 1, "what is untracked ends nothing");
}
