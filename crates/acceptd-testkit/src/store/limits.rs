//! Limits: rates, slots, keys and pauses, and what a throttling target means for them.

use std::sync::Arc;
use std::time::Duration;

use acceptd::limit::{KeySpec, LimitChange};
use acceptd::store::{Permit, Permitted, Verdict};
use acceptd::{ErrorKind, Limit, Store, Throttle, Timestamp};

use crate::factory::*;

/// No window holds more starts than the rate and its burst allow, nothing is given out long before its time, and each
/// claim says when the next may start.
pub async fn starts_keep_the_rate_and_its_burst(store: Arc<dyn Store>) {
    let api = Limit::new("api").rate("10/s burst 3").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..12 {
        put(&*store, &c, "u", "", START).await;
    }
    let (mut starts, mut now) = (Vec::new(), START);
    while starts.len() < 12 {
        let claims = claim(&*store, "c", now).await;
        assert!(!claims.claimed.is_empty(), "something starts when the claim before said so: {now:?}");
        for claimed in &claims.claimed {
            assert!(claimed.start >= now && claimed.start <= now + Duration::from_millis(50), "{:?}", claimed.start);
            starts.push(claimed.start);
        }
        let Some(next) = claims.next else { break };
        assert!(next > now && claim(&*store, "c", before(next)).await.claimed.is_empty(), "not before its time");
        now = next;
    }
    assert_eq!((starts.len(), starts[..3].to_vec()), (12, vec![START; 3]));
    for (place, start) in starts.iter().enumerate().skip(3) {
        assert!(start.since(starts[place - 3]) >= Duration::from_millis(100), "three at once, and then at the rate");
    }
    assert!(starts[11].since(START) < Duration::from_millis(920), "a margin of a percent at most");
}

fn before(instant: Timestamp) -> Timestamp {
    Timestamp::from_micros(instant.as_micros() - 1)
}

/// A rest saves up a burst and no more.
pub async fn a_rest_saves_up_one_burst(store: Arc<dyn Store>) {
    let api = Limit::new("api").rate("1/s burst 4").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..20 {
        put(&*store, &c, "u", "", START).await;
    }
    assert_eq!(claim(&*store, "c", START).await.claimed.len(), 4);
    assert_eq!(claim(&*store, "c", at(3_600)).await.claimed.len(), 4);
}

/// As many run at once as there are slots, whatever was asked for; an end lets the next go on.
pub async fn no_more_run_than_there_are_slots(store: Arc<dyn Store>) {
    let api = Limit::new("api").concurrency(2);
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..5 {
        put(&*store, &c, "u", "", START).await;
    }
    let first = claim(&*store, "c", START).await;
    assert_eq!((first.claimed.len(), first.next), (2, None));
    assert!(claim(&*store, "c", at(1_000)).await.claimed.is_empty());
    let mut running = first.claimed;
    for verdict in [done(), retry_at(at(9_000)), give_up()] {
        let settled = settle(&*store, &running.remove(0), verdict, at(1_000)).await;
        assert_eq!(settled.woken, ["c"], "who waits for the slot is woken");
        running.extend(claim(&*store, "c", at(1_000)).await.claimed);
        assert_eq!((running.len(), store.limits(at(1_000)).await.unwrap()[0].in_use), (2, 2));
    }
}

/// An attempt that runs, with what is needed to settle it.
async fn claimed_before(store: &dyn Store, consumer: &str) -> acceptd::store::Claimed {
    let running = store.operations(Default::default(), ALL).await.unwrap().items;
    let live = running.into_iter().flat_map(|view| view.live);
    let delivery = live.into_iter().find(|one| one.node.is_some() && one.consumer == consumer).unwrap();
    let event = store.delivery(delivery.id).await.unwrap().event;
    acceptd::store::Claimed { start: delivery.since, delivery, event, owner: None, keys: Vec::new() }
}

/// Each value of a key is counted by itself: a pointer into the data, the owner, the subject.
pub async fn keys_are_counted_apart(store: Arc<dyn Store>) {
    for (consumer, spec) in [("by-data", "/k"), ("by-owner", "owner"), ("by-subject", "subject")] {
        let limit = Limit::new(consumer).concurrency(1).key(spec).unwrap();
        let serving = held(serving(consumer, "a"), &[&limit]);
        declare(&*store, &[&limit], &[&serving], START).await;
        for value in ["x", "x", "y", "z", "z"] {
            let data = format!("{{\"k\":{value:?}}}");
            accept("a").owner(value).subject(value).data(&data).taken_by(&serving).to(&*store).await;
        }
        let claims = claim(&*store, consumer, START).await;
        assert_eq!(groups(&claims), ["x", "y", "z"], "{consumer}");
        assert_eq!(claims.claimed[0].keys[0].key, key(consumer, "x"));
    }
}

/// What has no owner, or no subject, shares one key.
pub async fn what_has_no_owner_shares_one_key(store: Arc<dyn Store>) {
    let limit = Limit::new("api").concurrency(1).key("owner").unwrap();
    let c = held(serving("c", "a"), &[&limit]);
    declare(&*store, &[&limit], &[&c], START).await;
    accept("a").taken_by(&c).to(&*store).await;
    accept("a").taken_by(&c).to(&*store).await;
    assert_eq!(claim(&*store, "c", START).await.claimed.len(), 1);
}

/// A key that has no room holds nobody up who has another one, however many wait for it.
pub async fn a_saturated_key_never_delays_another(store: Arc<dyn Store>) {
    let lock = Limit::lock("c", "/k".parse::<KeySpec>().unwrap());
    let c = held(serving("c", "a"), &[&lock]);
    declare(&*store, &[&lock], &[&c], START).await;
    let mut batch = accept("a").data("{\"k\":\"x\"}").taken_by(&c);
    for _ in 0..1_000 {
        batch = batch.and("a").data("{\"k\":\"x\"}").taken_by(&c);
    }
    batch.to(&*store).await;
    assert_eq!(groups(&claim(&*store, "c", START).await), ["x"]);
    put(&*store, &c, "u", "y", at(1)).await;
    assert_eq!(groups(&claim_together(&*store, &[("c", 1)], at(1)).await), ["y"]);
}

/// Several limits are taken together or not at all: what waits for one holds no slot and no start of another.
pub async fn limits_are_taken_all_or_none(store: Arc<dyn Store>) {
    let (one, two) = (Limit::new("one").concurrency(1), Limit::new("two").concurrency(1));
    // In the order of the names the rate is looked at first.
    let rate = Limit::new("a-rate").rate("1/10s").unwrap();
    let all = held(serving("all", "a"), &[&one, &two, &rate]);
    let (of_one, of_two) = (held(serving("of-one", "a"), &[&one]), held(serving("of-two", "a"), &[&two, &rate]));
    let of_rate = held(serving("of-rate", "a"), &[&rate]);
    declare(&*store, &[&one, &two, &rate], &[&all, &of_one, &of_two, &of_rate], START).await;
    put(&*store, &of_one, "u", "", START).await;
    let first = claim_one(&*store, "of-one", START).await;
    put(&*store, &all, "u", "", START).await;
    assert!(claim(&*store, "all", at(1)).await.claimed.is_empty(), "one slot is held");
    put(&*store, &of_two, "u", "", at(1)).await;
    let second = claim_one(&*store, "of-two", at(1)).await;
    assert_eq!(second.start, at(1), "what waited took no start");
    assert_eq!(settle(&*store, &first, done(), at(20)).await.woken, ["all"]);
    assert!(claim(&*store, "all", at(20)).await.claimed.is_empty(), "the other slot is held");
    put(&*store, &of_one, "u", "", at(20)).await;
    put(&*store, &of_rate, "u", "", at(20)).await;
    let third = claim_one(&*store, "of-one", at(20)).await;
    assert_eq!(claim_one(&*store, "of-rate", at(20)).await.start, at(20), "what waits took no slot and no start");
    settle(&*store, &second, done(), at(21)).await;
    settle(&*store, &third, done(), at(22)).await;
    assert!(claim(&*store, "all", at(22)).await.claimed.is_empty(), "the next start is later");
    let claimed = claim_one(&*store, "all", at(31)).await;
    let keys: Vec<_> = claimed.keys.iter().map(|granted| &*granted.key.limit).collect();
    assert_eq!(keys, ["a-rate", "one", "two"]);
    for serving in [&of_one, &of_two, &of_rate] {
        put(&*store, serving, "u", "", at(31)).await;
        assert!(claim(&*store, &serving.consumer, at(31)).await.claimed.is_empty(), "it holds all of them");
    }
}

/// A limit that two consumers name is one limit, whether they claim together, and take turns, or apart.
pub async fn consumers_share_a_limit(store: Arc<dyn Store>) {
    let api = Limit::new("api").concurrency(1);
    let (c, d) = (held(serving("c", "a"), &[&api]), held(serving("d", "a"), &[&api]));
    declare(&*store, &[&api], &[&c, &d], START).await;
    for _ in 0..4 {
        accept("a").taken_by(&c).taken_by(&d).to(&*store).await;
    }
    let mut turns = Vec::new();
    for second in 0..6 {
        let mut claims = claim_together(&*store, &[("c", 9), ("d", 9)], at(second)).await;
        assert_eq!(claims.claimed.len(), 1);
        let claimed = claims.claimed.remove(0);
        let settled = settle(&*store, &claimed, done(), at(second)).await;
        assert_eq!(settled.woken, ["c", "d"], "whoever waits may go on");
        turns.push(claimed.delivery.consumer);
    }
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "they take turns: {turns:?}");
    let claimed = claim_one(&*store, "c", at(10)).await;
    assert!(claim(&*store, "d", at(10)).await.claimed.is_empty());
    settle(&*store, &claimed, done(), at(11)).await;
    claim_one(&*store, "d", at(11)).await;
}

/// A paused consumer that waits in front of the others does not hold them up.
pub async fn a_paused_consumer_holds_up_no_other(store: Arc<dyn Store>) {
    let api = Limit::new("api").concurrency(1);
    let (c, d) = (held(serving("c", "a"), &[&api]), held(serving("d", "a"), &[&api]));
    declare(&*store, &[&api], &[&c, &d], START).await;
    for serving in [&d, &c, &d] {
        put(&*store, serving, "u", "", START).await;
    }
    let first = claim_one(&*store, "d", START).await;
    claim_together(&*store, &[("c", 1)], START).await;
    claim_together(&*store, &[("d", 1)], START).await;
    store.pause("c".into(), pause(at(1), None)).await.unwrap();
    assert!(settle(&*store, &first, done(), at(2)).await.woken.contains(&"d".to_owned()));
    assert_eq!(claim_together(&*store, &[("c", 9), ("d", 9)], at(2)).await.claimed[0].delivery.consumer, "d");
}

/// What is due later gets in line when it is due, and holds nothing before.
pub async fn what_is_due_later_holds_nothing_before(store: Arc<dyn Store>) {
    let api = Limit::new("api").concurrency(1);
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    accept("a").owner("later").due(at(9)).priority(100).taken_by(&c).to(&*store).await;
    accept("a").owner("now").taken_by(&c).to(&*store).await;
    let claims = claim(&*store, "c", START).await;
    assert_eq!((owners(&claims), claims.next), (vec!["now"], Some(at(9))));
    settle(&*store, &claims.claimed[0], done(), at(1)).await;
    assert_eq!(claim(&*store, "c", at(8)).await.next, Some(at(9)));
    assert_eq!(owners(&claim(&*store, "c", at(9)).await), ["later"]);
}

/// A paused limit holds all its keys for all its consumers until it is resumed, and lets running attempts go on.
pub async fn a_paused_limit_holds_everything(store: Arc<dyn Store>) {
    let api = Limit::new("api").key("/k").unwrap();
    let (c, d) = (held(serving("c", "a"), &[&api]), held(serving("d", "a"), &[&api]));
    declare(&*store, &[&api], &[&c, &d], START).await;
    put(&*store, &c, "u", "x", START).await;
    let attempt = claim_one(&*store, "c", START).await;
    for serving in [&c, &d] {
        put(&*store, serving, "u", "x", START).await;
        put(&*store, serving, "u", "y", START).await;
    }
    store.pause(of_limit("api", None), pause(at(1), None)).await.unwrap();
    let claims = claim_together(&*store, &[("c", 9), ("d", 9)], at(1_000)).await;
    assert_eq!((claims.claimed.len(), claims.next, claims.paused.len()), (0, None, 0));
    settle(&*store, &attempt, done(), at(1_000)).await;
    assert!(store.resume(of_limit("api", None), at(1_001)).await.unwrap());
    assert!(!store.resume(of_limit("api", None), at(1_001)).await.unwrap(), "it was not paused any more");
    assert_eq!(claim_together(&*store, &[("c", 9), ("d", 9)], at(1_001)).await.claimed.len(), 4);
}

/// A paused key holds nobody but those who have it, and ends by itself when it has an end.
pub async fn a_paused_key_holds_only_its_own(store: Arc<dyn Store>) {
    let api = Limit::new("api").key("/k").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for value in ["x", "y", "z"] {
        put(&*store, &c, "u", value, START).await;
    }
    store.pause(of_limit("api", Some("x")), pause(START, Some(at(9)))).await.unwrap();
    store.pause(of_limit("api", Some("z")), pause(START, None)).await.unwrap();
    let claims = claim(&*store, "c", START).await;
    assert_eq!((groups(&claims), claims.next), (vec!["y"], Some(at(9))));
    assert!(claim(&*store, "c", before(at(9))).await.claimed.is_empty());
    assert_eq!(groups(&claim(&*store, "c", at(9)).await), ["x"]);
    assert!(store.resume(of_limit("api", Some("z")), at(10)).await.unwrap());
    assert_eq!(groups(&claim(&*store, "c", at(10)).await), ["z"]);
}

/// Resuming a limit resumes its keys, too.
pub async fn resuming_a_limit_resumes_its_keys(store: Arc<dyn Store>) {
    let api = Limit::new("api").key("/k").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    put(&*store, &c, "u", "x", START).await;
    store.pause(of_limit("api", Some("x")), pause(START, None)).await.unwrap();
    assert!(claim(&*store, "c", at(1)).await.claimed.is_empty());
    assert!(store.resume(of_limit("api", None), at(2)).await.unwrap());
    assert_eq!(claim(&*store, "c", at(2)).await.claimed.len(), 1);
}

/// What is not declared can't be paused, resumed, changed or held.
pub async fn an_unknown_limit_is_not_found(store: Arc<dyn Store>) {
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    let (delivery, fence) = (attempt.delivery.id, attempt.delivery.fence);
    let permit = Permit { delivery, fence, key: key("api", ""), now: START };
    for refused in [
        store.pause(of_limit("api", None), pause(START, None)).await.unwrap_err(),
        store.resume(of_limit("api", Some("x")), START).await.unwrap_err(),
        store.change_limit("api".into(), None).await.unwrap_err(),
        store.permit(permit).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
}

/// A throttled attempt counts as none and pauses the limits that it took, for its keys only, for every consumer.
pub async fn throttling_pauses_the_key_for_everyone(store: Arc<dyn Store>) {
    let (api, lock) = (Limit::new("api").key("/k").unwrap(), Limit::new("two").key("/k").unwrap());
    let (c, d) = (held(serving("c", "a"), &[&api, &lock]), held(serving("d", "a"), &[&api]));
    declare(&*store, &[&api, &lock], &[&c, &d], START).await;
    put(&*store, &c, "u", "x", START).await;
    let settled = run(&*store, "c", throttled(at(60)), at(1)).await;
    assert_eq!((settled.delivery.attempts, settled.delivery.due), (0, at(60)));
    assert_eq!(settled.delivery.throttled_since, Some(at(1)));
    for serving in [&c, &d] {
        put(&*store, serving, "u", "x", at(2)).await;
        put(&*store, serving, "u", "y", at(2)).await;
    }
    let claims = claim_together(&*store, &[("c", 9), ("d", 9)], at(2)).await;
    let mut started = groups(&claims);
    started.sort_unstable();
    assert_eq!((started, claims.paused.len()), (vec!["y", "y\u{1f}y"], 0), "no consumer is paused");
    assert_eq!(claims.next, Some(at(60)));
    let limits = store.limits(at(2)).await.unwrap();
    for limit in &limits {
        let paused: Vec<_> = limit.keys.iter().filter(|key| key.pause.is_some()).map(|key| &key.key[..]).collect();
        assert_eq!((limit.limit.name.as_str(), paused), (limit.limit.name.as_str(), vec!["x"]));
    }
    let why = limits[0].keys.iter().find_map(|key| key.pause.clone()).unwrap();
    assert_eq!((why.by.as_str(), why.reason.as_str(), why.until), ("target", "too many requests", Some(at(60))));
    assert!(!claim_together(&*store, &[("c", 9), ("d", 9)], at(60)).await.claimed.is_empty());
}

/// A throttling that names a limit pauses that one alone.
pub async fn throttling_can_name_the_limit(store: Arc<dyn Store>) {
    let (one, two) = (Limit::new("one").key("/k").unwrap(), Limit::new("two"));
    let c = held(serving("c", "a"), &[&one, &two]);
    declare(&*store, &[&one, &two, &Limit::new("three")], &[&c], START).await;
    put(&*store, &c, "u", "x", START).await;
    put(&*store, &c, "u", "y", START).await;
    let attempts = claim(&*store, "c", START).await.claimed;
    let named =
        |limit: &str| Verdict::Throttled { due: at(9), failure: failure("slower"), limit: Some(limit.to_owned()) };
    settle(&*store, &attempts[0], named("one"), at(1)).await;
    assert_eq!(paused(&*store, at(2)).await, ["one of x"]);
    settle(&*store, &attempts[1], named("three"), at(2)).await;
    assert_eq!(paused(&*store, at(2)).await, ["one of x", "three of "]);
}

/// What is paused, as `limit of key`.
async fn paused(store: &dyn Store, now: Timestamp) -> Vec<String> {
    let mut paused = Vec::new();
    for view in store.limits(now).await.unwrap() {
        paused.extend(view.pause.map(|_| view.limit.name.clone()));
        let keys = view.keys.iter().filter(|key| key.pause.is_some());
        paused.extend(keys.map(|key| format!("{} of {}", view.limit.name, key.key)));
    }
    paused
}

/// A throttling that names a limit of which only a call within the attempt held a key pauses that key; one that it did
/// not hold at all, all of it.
pub async fn throttling_is_about_the_key_of_a_permit(store: Arc<dyn Store>) {
    let api = Limit::new("api").key("/k").unwrap();
    declare(&*store, &[&api], &[&serving("c", "a")], START).await;
    let named = || Verdict::Throttled { due: at(9), failure: failure("slower"), limit: Some("api".to_owned()) };
    accept("a").deliver_to("c").to(&*store).await;
    let attempt = claim_one(&*store, "c", START).await;
    let (delivery, fence) = (attempt.delivery.id, attempt.delivery.fence);
    let permit = Permit { delivery, fence, key: key("api", "x"), now: START };
    assert!(matches!(store.permit(permit).await.unwrap(), Permitted::Held { .. }));
    settle(&*store, &attempt, named(), at(1)).await;
    assert_eq!(paused(&*store, at(2)).await, ["api of x"]);
    let attempt = claim_one(&*store, "c", at(9)).await;
    settle(&*store, &attempt, named(), at(10)).await;
    assert!(paused(&*store, at(10)).await.is_empty(), "that time was over");
    let attempt = claim_one(&*store, "c", at(11)).await;
    let later = Verdict::Throttled { due: at(19), failure: failure("slower"), limit: Some("api".to_owned()) };
    settle(&*store, &attempt, later, at(12)).await;
    assert_eq!(paused(&*store, at(13)).await, ["api"]);
}

/// Done can come with the wish to be left alone: the delivery is done, and its limits pause.
pub async fn done_can_pause_the_limits(store: Arc<dyn Store>) {
    let api = Limit::new("api").key("/k").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    put(&*store, &c, "u", "x", START).await;
    put(&*store, &c, "u", "x", START).await;
    let attempt = claim_together(&*store, &[("c", 1)], START).await.claimed.remove(0);
    let pause = Some(Throttle { until: at(9), reason: "nothing is left".to_owned() });
    let verdict = Verdict::Done { result: None, emit: Vec::new(), notify: None, progress: None, pause };
    assert!(settle(&*store, &attempt, verdict, at(1)).await.ended.is_some());
    assert_eq!(claim(&*store, "c", at(2)).await.next, Some(at(9)));
    assert_eq!(claim(&*store, "c", at(9)).await.claimed.len(), 1);
}

/// After a throttling a rate begins with nothing saved up.
pub async fn a_throttled_rate_begins_with_nothing_saved_up(store: Arc<dyn Store>) {
    let api = Limit::new("api").rate("1/s burst 5").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..9 {
        put(&*store, &c, "u", "", START).await;
    }
    let attempt = claim_together(&*store, &[("c", 1)], START).await.claimed.remove(0);
    settle(&*store, &attempt, throttled(at(600)), at(1)).await;
    let claims = claim(&*store, "c", at(600)).await;
    assert_eq!((claims.claimed.len(), claims.claimed[0].start), (1, at(600)));
    let next = claims.next.unwrap();
    assert!(next.since(at(600)) > Duration::from_millis(900), "{next:?}");
    assert_eq!(claim(&*store, "c", next).await.claimed.len(), 1);
}

/// A person who resumes a throttled limit does not wait for the end of its pause.
pub async fn a_throttled_rate_can_be_resumed(store: Arc<dyn Store>) {
    let api = Limit::new("api").rate("1/s burst 5").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..9 {
        put(&*store, &c, "u", "", START).await;
    }
    let attempt = claim_together(&*store, &[("c", 1)], START).await.claimed.remove(0);
    settle(&*store, &attempt, throttled(at(600)), at(1)).await;
    assert!(claim(&*store, "c", at(2)).await.claimed.is_empty());
    assert!(store.resume(of_limit("api", Some("")), at(2)).await.unwrap());
    let next = claim(&*store, "c", at(2)).await.next.unwrap();
    assert!(next < at(4), "{next:?}");
    assert_eq!(claim(&*store, "c", next).await.claimed.len(), 1);
}

/// After a throttling a limit without a rate lets one run at first, and one more for each that went well.
pub async fn without_a_rate_a_throttled_limit_starts_with_one(store: Arc<dyn Store>) {
    let api = Limit::new("api").concurrency(4);
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..30 {
        put(&*store, &c, "u", "", START).await;
    }
    let attempt = claim_together(&*store, &[("c", 1)], START).await.claimed.remove(0);
    settle(&*store, &attempt, throttled(at(10)), at(1)).await;
    let mut at_once = Vec::new();
    for second in 10..16 {
        let claims = claim(&*store, "c", at(second)).await.claimed;
        at_once.push(claims.len());
        for (place, attempt) in claims.iter().enumerate() {
            let verdict = if place == 0 { done() } else { retry_at(at(100)) };
            settle(&*store, attempt, verdict, at(second)).await;
        }
    }
    assert_eq!(at_once, [1, 2, 3, 4, 4, 4]);
}

/// A limit that looks for its rate goes down when its target throttles, and up while all is well and something waits.
pub async fn a_limit_finds_its_rate(store: Arc<dyn Store>) {
    let api = Limit::new("api").rate("10/s").unwrap().adapt();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..200 {
        put(&*store, &c, "u", "", START).await;
    }
    let found = async |now| store.limits(now).await.unwrap()[0].keys[0].found_rate;
    let mut now = at(1);
    for _ in 0..20 {
        let claims = claim(&*store, "c", now).await;
        for attempt in &claims.claimed {
            settle(&*store, attempt, done(), now).await;
        }
        now = claims.next.unwrap();
    }
    let risen = found(now).await.expect("it looks for a rate");
    assert!(risen > 12.0, "it rises while all is well: {risen}");
    let attempt = claim(&*store, "c", now).await.claimed.remove(0);
    settle(&*store, &attempt, throttled(now + Duration::from_secs(1)), now).await;
    let cut = found(now).await.unwrap();
    assert!((cut - risen * 0.7).abs() < 1.0, "{risen} and then {cut}");
    let resumed = now + Duration::from_secs(1);
    assert!(claim(&*store, "c", before(resumed)).await.claimed.is_empty());
    let starts: Vec<_> = claim(&*store, "c", resumed).await.claimed.iter().map(|claimed| claimed.start).collect();
    assert_eq!(starts[0], resumed);
    assert!(starts.len() < 4, "nothing is saved up: {starts:?}");
}

/// A change holds in place of what is declared, also when it is declared again, until it is taken back.
pub async fn a_limit_is_changed_and_changed_back(store: Arc<dyn Store>) {
    let api = Limit::new("api").concurrency(1);
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..9 {
        put(&*store, &c, "u", "", START).await;
    }
    assert_eq!(claim(&*store, "c", START).await.claimed.len(), 1);
    let change = LimitChange { rate: None, concurrency: Some(Some(3)), by: "someone".into(), at: at(1) };
    let view = store.change_limit("api".into(), Some(change.clone())).await.unwrap();
    assert_eq!((view.limit.concurrency, view.declared.concurrency, view.change), (Some(3), Some(1), Some(change)));
    assert_eq!(claim(&*store, "c", at(1)).await.claimed.len(), 2);
    declare(&*store, &[&api], &[&c], at(2)).await;
    assert_eq!(store.limits(at(2)).await.unwrap()[0].limit.concurrency, Some(3));
    let view = store.change_limit("api".into(), None).await.unwrap();
    assert_eq!((view.limit.concurrency, view.change, view.in_use), (Some(1), None, 3), "what runs goes on");
    for _ in 0..2 {
        settle(&*store, &claimed_before(&*store, "c").await, done(), at(3)).await;
        assert!(claim(&*store, "c", at(3)).await.claimed.is_empty());
    }
    settle(&*store, &claimed_before(&*store, "c").await, done(), at(3)).await;
    assert_eq!(claim(&*store, "c", at(3)).await.claimed.len(), 1);
}

/// A faster rate holds at once; a lifted one holds nobody.
pub async fn a_rate_is_changed_at_once(store: Arc<dyn Store>) {
    let api = Limit::new("api").rate("1/h").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    for _ in 0..9 {
        put(&*store, &c, "u", "", START).await;
    }
    assert_eq!(claim(&*store, "c", START).await.claimed.len(), 1);
    assert!(claim(&*store, "c", at(1)).await.claimed.is_empty());
    let change = |rate| LimitChange { rate: Some(rate), concurrency: None, by: "someone".into(), at: at(1) };
    let faster = Some("1/s".parse().unwrap());
    store.change_limit("api".into(), Some(change(faster))).await.unwrap();
    let next = claim(&*store, "c", at(1)).await.next.unwrap();
    assert!(next < at(3), "{next:?}");
    assert_eq!(claim(&*store, "c", next).await.claimed.len(), 1);
    store.change_limit("api".into(), Some(change(None))).await.unwrap();
    assert_eq!(claim(&*store, "c", next).await.claimed.len(), 7);
}

/// When the clock was set, rates, pauses of limits and leases move along: nothing is sooner or later for it.
pub async fn a_set_clock_changes_nothing(store: Arc<dyn Store>) {
    let api = Limit::new("api").rate("1/10s").unwrap().key("/k").unwrap();
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    let mut set = 0_i64;
    let then = |second: u64, set: i64| Timestamp::from_micros(at(second).as_micros() + set);
    for (round, hour) in [(1, 3_600_000_000), (2, -3_600_000_000), (3, -3_600_000_000)] {
        let now = |second: u64, set: i64| then(round * 100 + second, set);
        for value in ["rate", "rate", "key"] {
            put(&*store, &c, "u", value, now(0, set)).await;
        }
        let (slow, paused) = (format!("slow {round}"), format!("paused {round}"));
        store.pause(of_limit("api", Some("key")), pause(now(0, set), Some(now(20, set)))).await.unwrap();
        let claims = claim(&*store, "c", now(0, set)).await;
        assert_eq!(groups(&claims), ["rate"], "{slow}");
        let (delivery, fence) = (claims.claimed[0].delivery.id, claims.claimed[0].delivery.fence);
        store.extend(delivery, fence, now(50, set), now(0, set)).await.unwrap();
        store.shift(hour, START).await.unwrap();
        set += hour;
        assert_eq!(store.delivery(delivery).await.unwrap().delivery.lease, Some(now(50, set)));
        assert!(claim(&*store, "c", now(9, set)).await.claimed.is_empty(), "{slow}");
        assert_eq!(groups(&claim(&*store, "c", now(11, set)).await), ["rate"], "{slow}");
        assert!(claim(&*store, "c", now(19, set)).await.claimed.is_empty(), "{paused}");
        assert_eq!(groups(&claim(&*store, "c", now(20, set)).await), ["key"], "{paused}");
        store.pause(of_limit("api", None), pause(now(30, set), Some(now(40, set)))).await.unwrap();
        store.shift(-hour, START).await.unwrap();
        set -= hour;
        put(&*store, &c, "u", "other", now(31, set)).await;
        assert_eq!(claim(&*store, "c", now(39, set)).await.next, Some(now(40, set)), "all of it is paused");
        assert_eq!(groups(&claim(&*store, "c", now(40, set)).await), ["other"]);
    }
}

/// When a consumer is registered with other keys, what waits stands under those from then on.
pub async fn deliveries_stand_under_the_keys_of_today(store: Arc<dyn Store>) {
    let by_k = Limit::new("api").concurrency(1).key("/k").unwrap();
    let by_owner = Limit::new("api").concurrency(1).key("owner").unwrap();
    let before = held(serving("c", "a"), &[&by_k]);
    let after = held(serving("c", "a"), &[&by_owner]);
    declare(&*store, &[&by_k], &[&before], START).await;
    for (owner, value) in [("u", "x"), ("u", "x"), ("u", "y"), ("v", "x"), ("v", "z")] {
        put(&*store, &before, owner, value, START).await;
    }
    let running = claim_together(&*store, &[("c", 1)], START).await.claimed.remove(0);
    assert_eq!((running.delivery.lane.group.as_str(), running.owner.as_deref()), ("x", Some("u")));
    declare(&*store, &[&by_owner], &[&after], at(1)).await;
    assert_eq!(store.delivery(running.delivery.id).await.unwrap().delivery.lane.group, "u");
    let claims = claim(&*store, "c", at(1)).await;
    assert_eq!(groups(&claims), ["v"], "what runs holds the key of its owner now");
    settle(&*store, &running, done(), at(2)).await;
    assert_eq!(groups(&claim(&*store, "c", at(2)).await), ["u"]);
    declare(&*store, &[], &[&serving("c", "a")], at(3)).await;
    assert_eq!(claim(&*store, "c", at(3)).await.claimed.len(), 2, "nothing holds it any more");
}

/// What a limit held says so: which one, before the attempt and in its record.
pub async fn an_attempt_says_which_limit_held_it(store: Arc<dyn Store>) {
    let api = Limit::new("api").concurrency(1);
    let c = held(serving("c", "a"), &[&api]);
    declare(&*store, &[&api], &[&c], START).await;
    put(&*store, &c, "u", "", START).await;
    let id = put(&*store, &c, "u", "", START).await;
    let first = claim(&*store, "c", at(1)).await.claimed.remove(0);
    assert_eq!(first.delivery.held_by, None);
    settle(&*store, &first, done(), at(5)).await;
    let second = claim_one(&*store, "c", at(5)).await;
    let by = second.delivery.held_by.clone().unwrap();
    assert_eq!((second.delivery.operation, by.limit.as_str(), by.gate), (id, "api", acceptd::Gate::Limit));
    settle(&*store, &second, done(), at(6)).await;
    assert_eq!(store.chain(id).await.unwrap().attempts[0].held_by, Some(by));
}
