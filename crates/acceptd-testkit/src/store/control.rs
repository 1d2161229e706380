//! Gates and nodes: pauses, registration, heartbeats, rescue, leases of targets.

use std::sync::Arc;

use acceptd::delivery::{Ending, State};
use acceptd::{ErrorKind, Gate, Status, Store};

use crate::factory::*;

/// A paused consumer gets nothing until it is resumed, and the claim says so.
pub async fn a_pause_holds_until_it_is_resumed(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    store.pause("c".into(), pause(START, None)).await.unwrap();
    let claims = claim(&*store, "c", at(1_000_000)).await;
    assert_eq!((claims.claimed.len(), pause_of(&claims)), (0, Some(None)));
    assert!(store.resume("c".into(), at(1_000_000)).await.unwrap());
    let claims = claim(&*store, "c", at(1_000_000)).await;
    assert_eq!((claims.claimed.len(), pause_of(&claims)), (1, None));
}

/// Resuming what is not shut says so.
pub async fn resuming_an_open_gate_says_so(store: Arc<dyn Store>) {
    assert!(!store.resume("c".into(), START).await.unwrap());
    store.pause("c".into(), pause(START, Some(at(5)))).await.unwrap();
    assert!(!store.resume("c".into(), at(5)).await.unwrap(), "the pause was over");
}

/// A timed pause ends by itself, or by a resume.
pub async fn a_timed_pause_ends_by_itself_or_by_a_resume(store: Arc<dyn Store>) {
    store.pause("c".into(), pause(START, Some(at(5)))).await.unwrap();
    assert_eq!(pause_of(&claim(&*store, "c", at(4)).await), Some(Some(at(5))));
    assert_eq!(pause_of(&claim(&*store, "c", at(5)).await), None);
    store.pause("c".into(), pause(at(6), Some(at(9)))).await.unwrap();
    assert!(store.resume("c".into(), at(7)).await.unwrap());
    assert_eq!(pause_of(&claim(&*store, "c", at(7)).await), None);
}

/// A later end replaces an earlier one; an earlier one changes nothing.
pub async fn a_later_end_replaces_an_earlier_one(store: Arc<dyn Store>) {
    for (from, until, holds) in [(0, 5, 5), (1, 9, 9), (2, 7, 9)] {
        store.pause("c".into(), pause(at(from), Some(at(until)))).await.unwrap();
        assert_eq!(pause_of(&claim(&*store, "c", at(from)).await), Some(Some(at(holds))));
    }
}

/// A person's pause replaces a timed one and is not replaced by one.
pub async fn a_persons_pause_outlasts_timed_ones(store: Arc<dyn Store>) {
    store.pause("c".into(), pause(START, Some(at(5)))).await.unwrap();
    store.pause("c".into(), pause(at(1), None)).await.unwrap();
    assert_eq!(pause_of(&claim(&*store, "c", at(6)).await), Some(None));
    store.pause("c".into(), pause(at(6), Some(at(9)))).await.unwrap();
    assert_eq!(pause_of(&claim(&*store, "c", at(10)).await), Some(None));
}

/// A throttling target does not shorten a person's pause.
pub async fn throttling_leaves_a_persons_pause(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    store.pause("c".into(), pause(at(1), None)).await.unwrap();
    settle(&*store, &attempt, throttled(at(5)), at(2)).await;
    assert_eq!(pause_of(&claim(&*store, "c", at(6)).await), Some(None));
}

/// A pause lets what runs go on.
pub async fn a_pause_lets_running_attempts_go_on(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    store.pause("c".into(), pause(at(1), None)).await.unwrap();
    assert_eq!(settle(&*store, &attempt, done(), at(2)).await.ended, Some(Status::Succeeded));
}

/// The chain holds the closures that an operation's deliveries waited for.
pub async fn the_chain_holds_the_closures(store: Arc<dyn Store>) {
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    store.pause("c".into(), pause(at(1), None)).await.unwrap();
    store.pause("d".into(), pause(at(1), None)).await.unwrap();
    store.resume("c".into(), at(4)).await.unwrap();
    run(&*store, "c", done(), at(6)).await;
    store.pause("c".into(), pause(at(7), None)).await.unwrap();
    let closures = store.chain(id).await.unwrap().closures;
    let times: Vec<_> = closures.iter().map(|(name, one)| (name.as_str(), one.gate, one.from, one.until)).collect();
    assert!(times.contains(&("c", Gate::Pause, at(1), Some(at(4)))), "{times:?}");
    assert!(times.iter().all(|(name, ..)| *name == "c"), "only its own consumers: {times:?}");
    let attempt = store.chain(id).await.unwrap().attempts.remove(0);
    let closures: Vec<_> = closures.into_iter().map(|(_, closure)| closure).collect();
    let waits = acceptd::wait::waits((attempt.waiting_since, attempt.due, attempt.started), None, &closures);
    let gates: Vec<_> = waits.iter().map(|wait| (wait.gate, wait.from, wait.until)).collect();
    let capacity = [(Gate::Capacity, START, at(1)), (Gate::Capacity, at(4), at(6))];
    assert_eq!(gates, [capacity[0], (Gate::Pause, at(1), at(4)), capacity[1]]);
}

/// Deliveries of a silent node are taken from it; the attempt counts and its fence is stale.
pub async fn rescue_takes_from_silent_nodes(store: Arc<dyn Store>) {
    serve(&*store, 1, &["c"], START).await;
    serve(&*store, 2, &["c"], START).await;
    let id = accept("a").deliver_to("c").id_from(&*store).await;
    let lost = claim_for(&*store, 1, "c", at(1)).await;
    store.heartbeat(node(2), at(11), None).await.unwrap();
    let rescued = store.rescue(node(2), LEASE, at(11)).await.unwrap();
    assert_eq!(rescued.len(), 1);
    assert_eq!((rescued[0].delivery.state, rescued[0].delivery.attempts), (State::Waiting, 1));
    assert_eq!(rescued[0].attempt, Some(store.chain(id).await.unwrap().attempts.remove(0)));
    let next = claim_for(&*store, 2, "c", at(11)).await;
    assert_eq!((next.delivery.id, next.delivery.attempts, next.delivery.fence), (lost.delivery.id, 2, 2));
    assert_eq!(refusal(&*store, &lost, done(), at(12)).await, ErrorKind::StaleFence);
    let attempts = store.chain(id).await.unwrap().attempts;
    assert_eq!((attempts[0].ending, attempts[0].node), (Ending::Lost, Some(node(1))));
}

/// A heartbeat keeps a node's deliveries.
pub async fn rescue_leaves_living_nodes_alone(store: Arc<dyn Store>) {
    serve(&*store, 1, &["c"], START).await;
    serve(&*store, 2, &["c"], START).await;
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_for(&*store, 1, "c", START).await;
    for second in [8, 16, 24] {
        store.heartbeat(node(1), at(second), None).await.unwrap();
        assert!(store.rescue(node(2), LEASE, at(second + 5)).await.unwrap().is_empty());
    }
    settle(&*store, &attempt, done(), at(30)).await;
}

/// Nobody rescues from itself, however silent it was.
pub async fn rescue_never_takes_from_oneself(store: Arc<dyn Store>) {
    serve(&*store, 1, &["c"], START).await;
    accept("a").deliver_to("c").to(&*store).await;
    claim_for(&*store, 1, "c", START).await;
    assert!(store.rescue(node(1), LEASE, at(1_000)).await.unwrap().is_empty());
}

/// A delivery that takes its node down every time ends as a dead letter.
pub async fn a_rescue_of_the_last_attempt_makes_a_dead_letter(store: Arc<dyn Store>) {
    let id = accept("a").owner("u").deliver_to("c").id_from(&*store).await;
    for round in 1..=MAX_ATTEMPTS {
        let now = at(100 * u64::from(round));
        serve(&*store, 1, &["c"], now).await;
        claim_for(&*store, 1, "c", now).await;
        let later = at(100 * u64::from(round) + 50);
        serve(&*store, 2, &["c"], later).await;
        let rescued = store.rescue(node(2), LEASE, later).await.unwrap();
        assert_eq!((rescued.len(), rescued[0].notified.len()), (1, usize::from(round == MAX_ATTEMPTS)));
        let ended = (round == MAX_ATTEMPTS).then_some(Status::Failed);
        assert_eq!((rescued[0].ended, rescued[0].kind.as_deref()), (ended, ended.map(|_| "a")));
    }
    let letter = store.dead_letters(ALL).await.unwrap().items.remove(0);
    assert_eq!(letter.attempt.unwrap().failure.unwrap().code, "lost");
    assert_eq!((status(&*store, id).await, told(&*store, "u").await.len()), (Status::Failed, 1));
}

/// A target with a lease of its own keeps its delivery when the node dies, until the lease is over.
pub async fn a_targets_lease_outlives_the_node(store: Arc<dyn Store>) {
    serve(&*store, 1, &["c"], START).await;
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_for(&*store, 1, "c", START).await;
    let (id, fence) = (attempt.delivery.id, attempt.delivery.fence);
    store.extend(id, fence, at(60), at(1)).await.unwrap();
    assert_eq!(store.delivery(id).await.unwrap().delivery.lease, Some(at(60)));
    serve(&*store, 2, &["c"], at(40)).await;
    assert!(store.rescue(node(2), LEASE, at(59)).await.unwrap().is_empty());
    store.extend(id, fence, at(90), at(59)).await.unwrap();
    assert!(store.rescue(node(2), LEASE, at(89)).await.unwrap().is_empty());
    assert_eq!(store.rescue(node(2), LEASE, at(90)).await.unwrap().len(), 1);
    assert_eq!(store.extend(id, fence, at(200), at(91)).await.unwrap_err().kind(), ErrorKind::AlreadySettled);
}

/// A lease that is over is over for the node that started the attempt, too.
pub async fn a_lease_that_is_over_is_rescued_by_its_own_node(store: Arc<dyn Store>) {
    serve(&*store, 1, &["c"], START).await;
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_for(&*store, 1, "c", START).await;
    store.extend(attempt.delivery.id, attempt.delivery.fence, at(5), START).await.unwrap();
    store.heartbeat(node(1), at(5), None).await.unwrap();
    assert_eq!(store.rescue(node(1), LEASE, at(5)).await.unwrap().len(), 1);
}

/// A target's lease ends with its attempt.
pub async fn a_lease_ends_with_the_attempt(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    store.extend(attempt.delivery.id, attempt.delivery.fence, at(60), START).await.unwrap();
    let settled = settle(&*store, &attempt, retry_at(at(1)), at(1)).await;
    assert_eq!(settled.delivery.lease, None);
    assert_eq!(claim_one(&*store, "c", at(1)).await.delivery.lease, None);
}

/// Registering gives root events that waited to the consumers that take them.
pub async fn registering_routes_events_that_waited(store: Arc<dyn Store>) {
    let id = accept("ec2.start").and("other").id_from(&*store).await;
    let consumers = vec![serving("start", "ec2.start"), serving("audit", "ec2.*"), serving("none", "ec3.*")];
    let registered = register(&*store, 1, consumers, at(5)).await;
    let mut woken = registered.woken;
    woken.sort();
    assert_eq!((registered.routed, woken), (1, vec!["audit".to_owned(), "start".to_owned()]));
    let operation = store.operation(id).await.unwrap().operation;
    assert_eq!((operation.unrouted, operation.tracked.total), (1, 2));
    let attempt = claim_one(&*store, "start", at(5)).await;
    assert_eq!((attempt.delivery.operation, attempt.delivery.since), (id, at(5)));
}

/// An event is routed once, however often its consumer registers.
pub async fn an_event_is_routed_once(store: Arc<dyn Store>) {
    let id = accept("c").id_from(&*store).await;
    assert_eq!(serve(&*store, 1, &["c"], at(1)).await.routed, 1);
    assert_eq!(serve(&*store, 2, &["c"], at(2)).await.routed, 0);
    run(&*store, "c", done(), at(3)).await;
    assert_eq!(status(&*store, id).await, Status::Succeeded);
}

/// An event that waited for a consumer keeps its due time.
pub async fn a_routed_event_keeps_its_due_time(store: Arc<dyn Store>) {
    accept("c").due(at(100)).to(&*store).await;
    serve(&*store, 1, &["c"], at(5)).await;
    assert_eq!(claim(&*store, "c", at(99)).await.next, Some(at(100)));
    claim_one(&*store, "c", at(100)).await;
}

/// Registering wakes consumers that have something waiting, and only those.
pub async fn registering_wakes_consumers_with_waiting_deliveries(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").deliver_to("other").to(&*store).await;
    assert_eq!(serve(&*store, 1, &["c", "d"], at(1)).await.woken, ["c"]);
}

/// The time in which nobody served a consumer is noted as a closure.
pub async fn the_time_without_a_consumer_is_noted(store: Arc<dyn Store>) {
    serve(&*store, 1, &["c"], START).await;
    store.heartbeat(node(1), at(5), None).await.unwrap();
    let id = accept("a").deliver_to("c").now(at(6)).id_from(&*store).await;
    serve(&*store, 2, &["c"], at(60)).await;
    run(&*store, "c", done(), at(61)).await;
    let closures = store.chain(id).await.unwrap().closures;
    let absence = closures.iter().find(|(_, closure)| closure.gate == Gate::NoConsumer).unwrap();
    assert_eq!((absence.0.as_str(), absence.1.from, absence.1.until), ("c", at(5), Some(at(60))));
}
