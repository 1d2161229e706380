//! Settling: each verdict, the fence, and what an attempt leaves while it runs.

use std::sync::Arc;

use acceptd::delivery::{Ending, State};
use acceptd::store::{Settle, Step, Verdict};
use acceptd::{DeliveryId, ErrorKind, Status, Store, Weight};

use crate::factory::*;

/// A delivery that is done ends, and its operation with it.
pub async fn done_ends_the_delivery_and_its_operation(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let settled = run(&*store, "c", done(), at(1)).await;
    assert_eq!((settled.delivery.state, settled.ended), (State::Done, Some(Status::Succeeded)));
    let view = store.operation(id).await.unwrap();
    assert_eq!((view.operation.ended, view.live.len()), (Some((Status::Succeeded, at(1))), 0));
    assert_eq!((view.operation.tracked.done, store.health().backlog), (1, 0));
}

/// Every attempt leaves a record that stays.
pub async fn every_attempt_leaves_a_record(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let first = claim_one(&*store, "c", at(1)).await;
    settle(&*store, &first, retry_at(at(5)), at(2)).await;
    let second = claim_one(&*store, "c", at(6)).await;
    settle(&*store, &second, done(), at(8)).await;
    let attempts = store.chain(id).await.unwrap().attempts;
    let [failed, last] = &attempts[..] else { panic!("two attempts, not {attempts:?}") };
    assert_eq!((failed.waiting_since, failed.due, failed.started, failed.ended), (START, START, at(1), at(2)));
    assert_eq!((failed.ending, failed.number, failed.fence), (Ending::Retry, 1, 1));
    assert_eq!((failed.node, &failed.failure), (Some(node(1)), &Some(failure("it broke"))));
    assert_eq!((last.waiting_since, last.due, last.started, last.ended), (at(2), at(5), at(6), at(8)));
    assert_eq!((last.ending, last.number, last.fence, &last.failure), (Ending::Done, 2, 2, &None));
}

/// A second settle of the same attempt changes nothing and is told so.
pub async fn a_second_settle_changes_nothing(store: Arc<dyn Store>) {
    let id = accept("a").owner("u").deliver_to("c").id_from(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    settle(&*store, &attempt, done_with("1"), at(1)).await;
    let before = store.chain(id).await.unwrap();
    for verdict in
        [done_with("2"), give_up(), retry_at(at(2)), Verdict::Release { unfinished: false }, throttled(at(9))]
    {
        assert_eq!(refusal(&*store, &attempt, verdict, at(2)).await, ErrorKind::AlreadySettled);
    }
    assert_eq!(store.chain(id).await.unwrap(), before);
    assert_eq!(store.results(id).await.unwrap()[0].data, json("1"));
    assert_eq!(told(&*store, "u").await, ["a is done"]);
    assert!(pause_of(&claim(&*store, "c", at(3)).await).is_none(), "a refused throttling shuts nothing");
}

/// A settle with an old fence changes nothing and is told so, whatever the delivery does now.
pub async fn an_old_fence_changes_nothing(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let old = claim_one(&*store, "c", START).await;
    settle(&*store, &old, Verdict::Release { unfinished: false }, START).await;
    let new = claim_one(&*store, "c", at(1)).await;
    let emitting = done_emitting(vec![emit("b", "d", Weight::Tracked)]);
    assert_eq!(refusal(&*store, &old, emitting, at(2)).await, ErrorKind::StaleFence);
    assert_eq!(store.delivery(new.delivery.id).await.unwrap().delivery, new.delivery);
    settle(&*store, &new, done(), at(3)).await;
    assert_eq!(refusal(&*store, &old, done(), at(4)).await, ErrorKind::StaleFence);
    assert_eq!((store.chain(id).await.unwrap().events.len(), store.health().backlog), (1, 0));
}

/// A fence that was never given out is stale as well.
pub async fn a_fence_that_was_never_given_is_refused(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let mut attempt = claim_one(&*store, "c", START).await;
    attempt.delivery.fence += 1;
    assert_eq!(refusal(&*store, &attempt, done(), at(1)).await, ErrorKind::StaleFence);
}

/// There is nothing to settle for a delivery that does not exist.
pub async fn an_unknown_delivery_is_not_found(store: Arc<dyn Store>) {
    let delivery = DeliveryId::from_bytes([9; 16]);
    let settle = Settle { delivery, fence: 1, verdict: done(), now: START };
    assert_eq!(store.settle(settle).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.extend(delivery, 1, at(1), START).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.report(delivery, 1, progress(1), START).await.unwrap_err().kind(), ErrorKind::NotFound);
    let step = Step { delivery, fence: 1, name: "s".into(), value: vec![] };
    assert_eq!(store.remember(step).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A retry waits for its due time and counts the attempt.
pub async fn a_retry_waits_for_its_due_time(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let settled = run(&*store, "c", retry_at(at(9)), at(1)).await;
    assert_eq!((settled.delivery.state, settled.delivery.attempts, settled.ended), (State::Waiting, 1, None));
    let early = claim(&*store, "c", at(8)).await;
    assert_eq!((early.claimed.len(), early.next), (0, Some(at(9))));
    assert_eq!(claim_one(&*store, "c", at(9)).await.delivery.attempts, 2);
}

/// The last attempt that asks for another makes a dead letter.
pub async fn the_last_attempt_makes_a_dead_letter(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    for second in 1..MAX_ATTEMPTS {
        let settled = run(&*store, "c", retry_at(at(0)), at(second.into())).await;
        assert_eq!(settled.delivery.state, State::Waiting);
    }
    let last = run(&*store, "c", retry_at(at(0)), at(9)).await;
    assert_eq!((last.delivery.state, last.delivery.attempts), (State::Dead, MAX_ATTEMPTS));
    assert_eq!((last.ended, status(&*store, id).await), (Some(Status::Failed), Status::Failed));
    let chain = store.chain(id).await.unwrap();
    assert_eq!(chain.operation.failure, Some(failure("it broke")));
    assert_eq!(chain.attempts.last().unwrap().ending, Ending::Dead);
}

/// Giving up makes a dead letter at once and keeps the answer that could not be taken, which is no result.
pub async fn giving_up_makes_a_dead_letter_and_keeps_the_outcome(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let verdict = Verdict::GiveUp { failure: failure("undeclared"), outcome: Some(json("{}")) };
    let settled = run(&*store, "c", verdict, at(1)).await;
    assert_eq!((settled.delivery.state, settled.delivery.attempts), (State::Dead, 1));
    let letter = store.dead_letters(ALL).await.unwrap().items.remove(0);
    assert_eq!((letter.delivery, letter.outcome), (settled.delivery, Some(json("{}"))));
    assert_eq!(store.results(id).await.unwrap(), []);
}

/// A dead letter shows the outcome of its last death only.
pub async fn a_kept_outcome_goes_with_the_next_ending(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let verdict = Verdict::GiveUp { failure: failure("undeclared"), outcome: Some(json("{}")) };
    let dead = run(&*store, "c", verdict, at(1)).await.delivery.id;
    revive(&*store, dead, at(2)).await;
    run(&*store, "c", give_up(), at(3)).await;
    assert_eq!(store.dead_letters(ALL).await.unwrap().items[0].outcome, None);
    revive(&*store, dead, at(4)).await;
    run(&*store, "c", done(), at(5)).await;
    assert_eq!(store.results(id).await.unwrap(), []);
}

/// Snoozed, throttled and released attempts don't count, however many there are.
pub async fn uncounted_attempts_never_use_up_the_limit(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    for round in 0..9 {
        let now = at(10 * round);
        let settled = run(&*store, "c", Verdict::Snooze { due: now }, now).await;
        assert_eq!((settled.delivery.state, settled.delivery.attempts), (State::Waiting, 0));
        assert_eq!(run(&*store, "c", Verdict::Release { unfinished: false }, now).await.delivery.attempts, 0);
        assert_eq!(run(&*store, "c", throttled(at(10 * round + 5)), now).await.delivery.attempts, 0);
    }
    assert_eq!(store.chain(id).await.unwrap().attempts.len(), 27, "each leaves its record");
}

/// Snoozed, it comes back at its due time.
pub async fn a_snoozed_delivery_comes_back_when_it_is_due(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    run(&*store, "c", Verdict::Snooze { due: at(7) }, START).await;
    assert_eq!(claim(&*store, "c", at(6)).await.next, Some(at(7)));
    claim_one(&*store, "c", at(7)).await;
}

/// A throttled attempt pauses its consumer until then, for all its deliveries and for no other consumer.
pub async fn throttling_pauses_the_consumer(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").deliver_to("d").and("b").deliver_to("c").to(&*store).await;
    let settled = run(&*store, "c", throttled(at(9)), at(1)).await;
    assert_eq!((settled.delivery.due, settled.delivery.throttled_since), (at(9), Some(at(1))));
    let paused = claim(&*store, "c", at(8)).await;
    assert_eq!((paused.claimed.len(), pause_of(&paused)), (0, Some(Some(at(9)))));
    assert_eq!(claim(&*store, "d", at(1)).await.claimed.len(), 1);
    let open = claim(&*store, "c", at(9)).await;
    assert_eq!((open.claimed.len(), pause_of(&open)), (2, None));
    let view = store.consumers(at(8)).await.unwrap();
    let closure = view.into_iter().find(|view| view.name == "c").unwrap().closure.unwrap();
    assert_eq!((closure.by.as_str(), closure.reason.as_str()), ("target", "too many requests"));
}

/// Since when a target throttles without a break stays known until something else happens.
pub async fn throttled_since_stays_until_something_else_happens(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    run(&*store, "c", throttled(at(5)), at(1)).await;
    let again = run(&*store, "c", throttled(at(15)), at(6)).await;
    assert_eq!(again.delivery.throttled_since, Some(at(1)));
    let failed = run(&*store, "c", retry_at(at(20)), at(16)).await;
    assert_eq!(failed.delivery.throttled_since, None);
}

/// Emitted events commit with the end of their delivery and keep the operation open.
pub async fn emitted_events_commit_with_the_end(store: Arc<dyn Store>) {
    let id = accept("a").priority(5).id("given").deliver_to("c").id_from(&*store).await;
    let events = vec![emit("b", "d", Weight::Tracked), emit("b", "e", Weight::Untracked)];
    let settled = run(&*store, "c", done_emitting(events), at(1)).await;
    let mut woken = settled.woken;
    woken.sort();
    assert_eq!((settled.ended, woken), (None, vec!["d".to_owned(), "e".to_owned()]));
    let chain = store.chain(id).await.unwrap();
    assert_eq!(chain.events.iter().map(|event| event.depth).collect::<Vec<_>>(), [0, 1, 1]);
    assert_eq!(chain.events[1].cause.as_deref(), Some("given"));
    let next = claim_one(&*store, "d", at(1)).await;
    assert_eq!((next.delivery.operation, next.delivery.priority, next.delivery.due), (id, 5, at(1)));
    let last = settle(&*store, &next, done(), at(2)).await;
    assert_eq!(last.ended, Some(Status::Succeeded));
}

/// An emitted event that nobody takes ends at once.
pub async fn an_emitted_event_that_nobody_takes_ends_at_once(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let settled = run(&*store, "c", done_emitting(vec![acceptd::Draft::new("b").into()]), at(1)).await;
    assert_eq!(settled.ended, Some(Status::Succeeded));
    let chain = store.chain(id).await.unwrap();
    assert_eq!((chain.events.len(), chain.operation.unrouted), (2, 0));
    let routed = serve(&*store, 1, &["b"], at(2)).await.routed;
    assert_eq!(routed, 0, "only root events wait for a consumer");
}

/// The results of an operation are those of its root deliveries.
pub async fn results_are_those_of_root_deliveries(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").deliver_to("d").id_from(&*store).await;
    let verdict = Verdict::Done {
        result: Some(json("1")),
        emit: vec![emit("b", "e", Weight::Tracked)],
        notify: None,
        progress: None,
        pause: None,
    };
    run(&*store, "c", verdict, at(1)).await;
    run(&*store, "d", done_with("2"), at(1)).await;
    run(&*store, "e", done_with("3"), at(1)).await;
    let results = store.results(id).await.unwrap();
    let mut pairs: Vec<_> = results.into_iter().map(|result| (result.consumer, result.data)).collect();
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(pairs, [("c".to_owned(), json("1")), ("d".to_owned(), json("2"))]);
}

/// Results keep their bytes and media type.
pub async fn a_result_is_kept_as_it_was_given(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let data = acceptd::Data::new("application/octet-stream", vec![0, 159, 146, 150]);
    let verdict = Verdict::Done {
        result: Some(data.clone()),
        emit: vec![],
        notify: None,
        progress: Some(progress(10)),
        pause: None,
    };
    let settled = run(&*store, "c", verdict, at(1)).await;
    assert_eq!(store.results(id).await.unwrap()[0].data, data);
    assert_eq!(settled.delivery.progress, Some(progress(10)));
}

/// A running attempt's progress is kept, also by later attempts; an old fence reports nothing.
pub async fn progress_is_kept(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    let (id, fence) = (attempt.delivery.id, attempt.delivery.fence);
    store.report(id, fence, progress(4), at(1)).await.unwrap();
    assert_eq!(store.delivery(id).await.unwrap().delivery.progress, Some(progress(4)));
    settle(&*store, &attempt, retry_at(at(2)), at(2)).await;
    let late = store.report(id, fence, progress(5), at(2)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::AlreadySettled);
    claim_one(&*store, "c", at(2)).await;
    let old = store.report(id, fence, progress(5), at(3)).await.unwrap_err();
    assert_eq!(old.kind(), ErrorKind::StaleFence);
    assert_eq!(store.delivery(id).await.unwrap().delivery.progress, Some(progress(4)));
}

/// A step's first value stays, for this attempt and later ones; an old fence remembers nothing.
pub async fn the_first_value_of_a_step_stays(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    let delivery = attempt.delivery.id;
    let step = |fence, name: &str, value: u8| Step { delivery, fence, name: name.into(), value: vec![value] };
    store.remember(step(1, "launch", 1)).await.unwrap();
    store.remember(step(1, "launch", 2)).await.unwrap();
    store.remember(step(1, "attach", 3)).await.unwrap();
    settle(&*store, &attempt, retry_at(START), at(1)).await;
    assert_eq!(store.remember(step(1, "late", 4)).await.unwrap_err().kind(), ErrorKind::AlreadySettled);
    claim_one(&*store, "c", at(1)).await;
    assert_eq!(store.remember(step(1, "old", 5)).await.unwrap_err().kind(), ErrorKind::StaleFence);
    store.remember(step(2, "launch", 6)).await.unwrap();
    let steps = store.steps(delivery).await.unwrap();
    assert_eq!(steps, [("attach".to_owned(), vec![3]), ("launch".to_owned(), vec![1])]);
}

/// Many settles of one attempt at once: one is taken, the others are told.
pub async fn of_settles_at_once_one_is_taken(store: Arc<dyn Store>) {
    accept("a").owner("u").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    let settles = (0..10).map(|_| try_settle(&*store, &attempt, done(), at(1)));
    let answers = futures_util::future::join_all(settles).await;
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err()).map(acceptd::Error::kind);
    assert_eq!(refused.collect::<Vec<_>>(), [ErrorKind::AlreadySettled; 9]);
    assert_eq!(told(&*store, "u").await.len(), 1);
}
