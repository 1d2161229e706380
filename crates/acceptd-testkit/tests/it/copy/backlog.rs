//! A backlog with something of everything: what can be seen of it is the same on the other side, and it goes on there.

use std::fmt::Write as _;
use std::time::Duration;

use acceptd::catalog::{Day, Observation, Times};
use acceptd::limit::LimitChange;
use acceptd::store::{
    Claimed, DeadLetters, KEPT_OUTCOME, NotificationQuery, OperationFilter, Permit, Replay, Serving, Step, Verdict,
};
use acceptd::{Data, Draft, ErrorKind, Limit, OperationId, Status, Store, Timestamp, Weight};
use acceptd_testkit::factory::*;

use super::Places;
use crate::suite::block_on;

/// What the tests go on with on the other side.
struct Scene {
    /// It runs; its node is gone.
    running: Claimed,
    /// It runs with a lease of its own until second 500.
    leased: Claimed,
    /// It was tried once and waits until second 100.
    retrying: OperationId,
    /// It starts at second 3,600.
    later: OperationId,
    /// Its outcome was not taken.
    dead: Claimed,
    /// First and second of one key, in strict order; the first runs.
    first: Claimed,
    second: OperationId,
}

fn keyed() -> (Limit, Limit, Limit) {
    let one = Limit::new("one").concurrency(1).key("/k").unwrap();
    (one, Limit::new("api").rate("1/10s burst 3").unwrap(), Limit::new("learns").adapt().key("/k").unwrap())
}

fn serving_limited() -> [Serving; 4] {
    let (one, api, learns) = keyed();
    let on = |consumer: &str, limits: &[&Limit]| held(serving(consumer, "a"), limits);
    [on("locked", &[&one]), on("paced", &[&api]), on("learning", &[&learns]), ordered(on("strict", &[&one]))]
}

async fn fill(store: &dyn Store) -> Scene {
    let (one, api, learns) = keyed();
    let [locked, paced, learning, strict] = serving_limited();
    declare(store, &[&one, &api, &learns], &[&locked, &paced, &learning, &strict], START).await;
    serve(store, 2, &["plain", "flaky"], START).await;
    fill_endings(store).await;
    fill_limits(store, &[&locked, &paced, &learning]).await;

    let first = put(store, &strict, "u", "s", START).await;
    let second = put(store, &strict, "u", "s", START).await;
    let claimed = claim_one(store, "strict", at(1)).await;
    assert_eq!(claimed.delivery.operation, first);

    let later = accept("a").owner("ann").due(at(3_600)).priority(50).deliver_to("plain").id_from(store).await;
    let retrying = accept("a").deliver_to("flaky").id_from(store).await;
    run(store, "flaky", retry_at(at(100)), at(2)).await;

    let dead = accept("a").owner("bob").deliver_to("gives-up").id_from(store).await;
    let gave_up = claim_one(store, "gives-up", at(3)).await;
    assert_eq!(gave_up.delivery.operation, dead);
    let outcome = Some(Data::new("application/vnd.acceptd.outcome+json", "{\"result\":7}".to_owned()));
    settle(store, &gave_up, Verdict::GiveUp { failure: failure("undeclared"), outcome }, at(3)).await;

    accept("a").owner("eve").deliver_to("runs").to(store).await;
    let running = claim_one(store, "runs", at(4)).await;
    let (delivery, fence) = (running.delivery.id, running.delivery.fence);
    store.remember(Step { delivery, fence, name: "made".into(), value: vec![0, 255, 7] }).await.unwrap();
    store.report(delivery, fence, progress(4), at(5)).await.unwrap();
    accept("a").deliver_to("leased").to(store).await;
    let leased = claim_one(store, "leased", at(4)).await;
    store.extend(leased.delivery.id, leased.delivery.fence, at(500), at(5)).await.unwrap();
    Scene { running, leased, retrying, later, dead: gave_up, first: claimed, second }
}

/// What is over, batches, replays, and what nobody takes.
async fn fill_endings(store: &dyn Store) {
    accept("a")
        .owner("ann")
        .key("caller", "k", 1)
        .id("e-1")
        .source("/shop")
        .data("{\"n\":1}")
        .deliver_to("plain")
        .to(store)
        .await;
    let follows = vec![emit("b", "untracked", Weight::Untracked), emit("c", "unheard", Weight::Inbox)];
    let Verdict::Done { notify, .. } = done_telling("half way") else { unreachable!() };
    let verdict =
        Verdict::Done { result: Some(json("{\"made\":\"ü\"}")), emit: follows, notify, progress: None, pause: None };
    run(store, "plain", verdict, at(1)).await;
    let batch = accept("a").id("e-2").deliver_to("batch").and("b").id("e-3").deliver_to("batch").deliver_to("second");
    let batch = batch.and("nobody").data("[1,2]").id_from(store).await;
    run(store, "batch", done_with("1"), at(1)).await;
    assert_eq!(status(store, batch).await, Status::Running);
    let canceled = accept("a").owner("ann").deliver_to("paused").id_from(store).await;
    store.cancel(canceled, at(2)).await.unwrap();
    store.pause("paused".into(), pause(at(2), None)).await.unwrap();
    accept("a").deliver_to("paused").to(store).await;
    let mut draft = Draft::new("a");
    draft.data = Some(Data::new("application/octet-stream", vec![0, 1, 2, 255]));
    draft.extensions.insert("partitionkey".to_owned(), "p".to_owned());
    accept("a").draft(draft).subject("über").deliver_to("bytes").to(store).await;
    let unread = NotificationQuery { owner: Some("ann".to_owned()), after: None, page: ALL };
    let told = store.notifications(unread).await.unwrap();
    store.read(told.items[0].id, at(9)).await.unwrap();
    let mut times = Times::default();
    times.note(Duration::from_millis(12));
    let (event, consumer, emits) = ("a".to_owned(), "plain".to_owned(), String::new());
    let day: Day = "2026-11-23".parse().unwrap();
    let seen = Observation { day, event, consumer, emits, count: 2, failed: 1, retried: 3, last: at(1), times };
    store.observe(vec![seen], day).await.unwrap();
}

/// Slots, rates, pauses and changes.
async fn fill_limits(store: &dyn Store, [locked, paced, learning]: &[&Serving; 3]) {
    for (owner, key) in [("many", "x"), ("many", "x"), ("many", "x"), ("one", "x"), ("one", "y")] {
        put(store, locked, owner, key, START).await;
    }
    // Of x a slot lingers until second 200; of y a permit is held within an attempt.
    let claimed = claim_remote(store, "locked", 9, 200, START).await;
    store.cancel(claimed[0].delivery.operation, at(1)).await.unwrap();
    for _ in 0..5 {
        put(store, paced, "u", "", START).await;
    }
    assert_eq!(claim(store, "paced", START).await.claimed.len(), 3);
    for key in ["x", "x", "y"] {
        put(store, learning, "u", key, START).await;
    }
    let throttling = claim_together(store, &[("learning", 1)], START).await.claimed.remove(0);
    settle(store, &throttling, throttled(at(60)), at(1)).await;
    let within = (claimed[1].delivery.id, claimed[1].delivery.fence);
    let permit = Permit { delivery: within.0, fence: within.1, key: key("api", ""), now: at(30) };
    store.permit(permit).await.unwrap();
    store.pause(of_limit("api", None), pause(at(3), Some(at(40)))).await.unwrap();
    store.pause(of_limit("learns", Some("z")), pause(at(3), None)).await.unwrap();
    let change = LimitChange { rate: None, concurrency: Some(Some(7)), by: "someone".into(), at: at(3) };
    store.change_limit("learns".into(), Some(change)).await.unwrap();
}

/// Everything that a store shows.
async fn all_of(store: &dyn Store, now: Timestamp) -> String {
    let mut all = String::new();
    let operations = store.operations(OperationFilter::default(), ALL).await.unwrap().items;
    for view in &operations {
        let id = view.operation.id;
        let chain = store.chain(id).await.unwrap();
        for delivery in chain.deliveries.iter() {
            let view = store.delivery(delivery.id).await.unwrap();
            let _ = writeln!(all, "{view:#?}\n{:?}", store.steps(delivery.id).await.unwrap());
        }
        let (results, items) = (store.results(id).await.unwrap(), store.items(id, None, 100).await.unwrap());
        let _ =
            writeln!(all, "{view:#?}\n{chain:#?}\n{results:#?}\n{items:#?}\n{:#?}", store.groups(id).await.unwrap());
    }
    for status in Status::ALL {
        let filter = OperationFilter { status: Some(status), ..OperationFilter::default() };
        let _ = writeln!(all, "{status:?}: {:?}", store.operations(filter, ALL).await.unwrap().items.len());
    }
    let everybody = NotificationQuery { owner: None, after: None, page: ALL };
    let _ = writeln!(all, "{:#?}", store.notifications(everybody).await.unwrap());
    let _ = writeln!(all, "{:#?}\n{:#?}", store.dead_letters(ALL).await.unwrap(), store.consumers(now).await.unwrap());
    let _ = writeln!(all, "{:#?}", store.limits(now).await.unwrap());
    let _ = writeln!(all, "{:#?}", store.observed("2026-01-01".parse().unwrap()).await.unwrap());
    let _ = writeln!(all, "{:?}", store.health());
    all
}

/// The places of a backlog that has moved, and what it was before.
fn moved() -> Option<(Places, Scene, String)> {
    let places = Places::new()?;
    let store = places.file();
    let scene = block_on(fill(&*store));
    drop(store);
    // As it was when it was opened last: what is only in memory, such as whose turn it is, never moves.
    let before = block_on(all_of(&*places.file(), at(10)));
    let copied = places.copy().unwrap();
    let rows = |what: &str| copied.rows.iter().find(|(name, _)| *name == what).unwrap().1;
    for (what, _) in &copied.rows {
        assert!(rows(what) > 0, "the backlog has no {what}");
    }
    assert_eq!(copied.replaced, 0);
    Some((places, scene, before))
}

/// The first line that differs, with what stands around it.
#[track_caller]
fn assert_same(before: &str, after: &str) {
    let differs = before.lines().zip(after.lines()).position(|(one, other)| one != other);
    let around =
        |text: &str, at: usize| text.lines().skip(at.saturating_sub(12)).take(24).collect::<Vec<_>>().join("\n");
    if let Some(at) = differs {
        panic!("line {at}:\n{}\n---- after:\n{}", around(before, at), around(after, at));
    }
    assert_eq!(before.lines().count(), after.lines().count());
}

#[test]
fn what_can_be_seen_is_the_same() {
    let Some((places, _, before)) = moved() else { return };
    let after = block_on(all_of(&*places.schema(), at(10)));
    assert_same(&before, &after);
    assert!(before.lines().count() > 1_000 && before.contains("half way") && before.contains("undeclared"));
    // What has ended is out of the table that is always read.
    let hot = places.ask("SELECT count(*) FROM deliveries WHERE state > 1");
    let ended = places.ask("SELECT count(*) FROM ended WHERE state < 2");
    assert_eq!((hot.as_str(), ended.as_str()), ("0", "0"));
}

#[test]
fn what_was_accepted_before_is_known() {
    let Some((places, ..)) = moved() else { return };
    let store = places.schema();
    block_on(async {
        let again = || accept("a").key("caller", "k", 1).now(at(20));
        let replay = again().to(&*store).await;
        assert_eq!(replay.replay, Replay::IdempotencyKey);
        assert_eq!(accept("a").key("caller", "k", 2).now(at(20)).refused_by(&*store).await, ErrorKind::KeyReused);
        let known = accept("a").id("e-1").source("/shop").now(at(20)).to(&*store).await;
        assert_eq!((known.replay, known.operation.id), (Replay::Event, replay.operation.id));
        // Ids go on after those that were given out.
        let new = accept("a").deliver_to("plain").id_from(&*store).await;
        let newest = store.operations(OperationFilter::default(), ALL).await.unwrap().items;
        assert_eq!(newest[0].operation.id, new);
        assert!(newest.iter().skip(1).all(|view| view.operation.id.ordinal() < new.ordinal()));
    });
}

#[test]
fn running_attempts_settle_by_their_fence_alone() {
    let Some((places, scene, _)) = moved() else { return };
    let store = places.schema();
    block_on(async {
        for fence in [scene.leased.delivery.fence - 1, scene.leased.delivery.fence + 1] {
            let mut other = scene.leased.clone();
            other.delivery.fence = fence;
            assert_eq!(refusal(&*store, &other, done(), at(20)).await, ErrorKind::StaleFence);
        }
        store.extend(scene.leased.delivery.id, scene.leased.delivery.fence, at(700), at(20)).await.unwrap();
        settle(&*store, &scene.leased, done_with("1"), at(21)).await;
        // The node of the others is gone with its process: they are taken at once, but for what has a lease.
        let rescued = store.rescue(node(3), LEASE, at(22)).await.unwrap();
        assert!(rescued.iter().any(|one| one.delivery.id == scene.running.delivery.id));
        let again = claim_one(&*store, "runs", at(23)).await;
        assert_eq!(refusal(&*store, &scene.running, done(), at(23)).await, ErrorKind::StaleFence);
        assert_eq!(again.delivery.fence, scene.running.delivery.fence + 1);
        assert_eq!(store.steps(again.delivery.id).await.unwrap(), [("made".to_owned(), vec![0, 255, 7])]);
        settle(&*store, &again, done(), at(24)).await;
        assert_eq!(told(&*store, "eve").await.len(), 1);
    });
}

#[test]
fn schedules_are_due_at_the_same_instants() {
    let Some((places, scene, _)) = moved() else { return };
    let store = places.schema();
    block_on(async {
        for (consumer, due, operation) in [("flaky", 100, scene.retrying), ("plain", 3_600, scene.later)] {
            let early = claim(&*store, consumer, at(due) - Duration::from_micros(1)).await;
            assert_eq!((early.claimed.len(), early.next), (0, Some(at(due))), "{consumer}");
            assert_eq!(claim_one(&*store, consumer, at(due)).await.delivery.operation, operation);
        }
        assert!(claim(&*store, "paused", at(4_000)).await.claimed.is_empty());
        store.resume("paused".into(), at(4_000)).await.unwrap();
        assert_eq!(claim(&*store, "paused", at(4_000)).await.claimed.len(), 1);
        // What nobody took finds its consumer.
        let registered = serve(&*store, 5, &["nobody"], at(4_001)).await;
        assert_eq!((registered.routed, claim(&*store, "nobody", at(4_001)).await.claimed.len()), (1, 1));
    });
}

#[test]
fn limits_and_order_hold_on_the_other_side() {
    let Some((places, scene, _)) = moved() else { return };
    let store = places.schema();
    block_on(async {
        let (one, api, learns) = keyed();
        let serving = serving_limited();
        declare(&*store, &[&one, &api, &learns], &serving.iter().collect::<Vec<_>>(), at(11)).await;
        // The slot of x lingers, that of y is held by what runs.
        assert!(claim(&*store, "locked", at(12)).await.claimed.is_empty());
        assert!(claim(&*store, "strict", at(12)).await.claimed.is_empty());
        settle(&*store, &scene.first, done(), at(13)).await;
        assert_eq!(claim_one(&*store, "strict", at(13)).await.delivery.operation, scene.second);
        assert_eq!(groups(&claim(&*store, "locked", at(200)).await), ["x"]);
        let pace = claim(&*store, "paced", at(39)).await;
        assert_eq!((pace.claimed.len(), pace.next), (0, Some(at(40))));
        let learning = claim(&*store, "learning", at(59)).await;
        assert_eq!(groups(&learning), ["y"]);
        assert_eq!(groups(&claim(&*store, "learning", at(60)).await), ["x"]);
    });
}

#[test]
fn a_dead_letter_is_retried_with_its_kept_outcome() {
    let Some((places, scene, _)) = moved() else { return };
    let store = places.schema();
    block_on(async {
        let delivery = scene.dead.delivery.id;
        store.retry(DeadLetters::Outcome(delivery), at(20)).await.unwrap();
        let again = claim_one(&*store, "gives-up", at(20)).await;
        assert_eq!(store.steps(delivery).await.unwrap()[0].0, KEPT_OUTCOME);
        settle(&*store, &again, done(), at(21)).await;
        assert_eq!(told(&*store, "bob").await.len(), 2);
    });
}

#[test]
fn text_with_nul_goes_over_as_its_picture() {
    let Some(places) = Places::new() else { return };
    let store = places.file();
    let id = block_on(accept("a").owner("ann\0").subject("\0\0").data("\"\\u0000\"").deliver_to("c").id_from(&*store));
    drop(store);
    let copied = places.copy().unwrap();
    // The owner, the subject, and the lane of the owner's turns where there is one.
    assert_eq!(copied.replaced, 2);
    let chain = block_on(places.schema().chain(id)).unwrap();
    assert_eq!(chain.events[0].draft.subject.as_deref(), Some("␀␀"));
    assert_eq!(&chain.events[0].draft.data.as_ref().unwrap().bytes[..], b"\"\\u0000\"");
}
