//! The turnstile by itself, over rows that are a list: what the conformance suite of the stores can't see.

use std::convert::Infallible;

use uuid::Uuid;

use super::*;
use crate::delivery::{Action, State, transition};
use crate::limit::{Lane, LimitUse};
use crate::{Gate, Operation, Route};

const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

fn at(millis: u64) -> Timestamp {
    START + Duration::from_millis(millis)
}

/// Rows in a list, and how often they were looked at.
#[derive(Debug, Default)]
struct List {
    rows: Vec<Delivery>,
    looks: usize,
    taken: Vec<(Delivery, Grant)>,
    now: Timestamp,
    deadline: Option<Timestamp>,
}

impl List {
    fn in_line(&mut self, consumer: &str, group: &str) -> Vec<Delivery> {
        self.looks += 1;
        let waits = |one: &&Delivery| one.state == State::Waiting && one.consumer == consumer;
        self.rows.iter().filter(waits).filter(|one| one.lane.group == group).cloned().collect()
    }
}

impl Rows for List {
    type Error = Infallible;

    fn next_lane(&mut self, consumer: &str, group: &str, after: Option<&str>) -> Result<Option<Delivery>, Infallible> {
        let rows = self.in_line(consumer, group).into_iter();
        let later = rows.filter(|one| after.is_none_or(|after| &one.lane.turn[..] > after));
        Ok(later.min_by_key(|one| (one.lane.turn.clone(), one.id)))
    }

    fn lane(&mut self, consumer: &str, group: &str, turn: &str, max: usize) -> Result<Vec<Delivery>, Infallible> {
        let rows = self.in_line(consumer, group).into_iter();
        Ok(rows.filter(|one| one.lane.turn == turn).take(max).collect())
    }

    fn head(&mut self, consumer: &str, group: &str) -> Result<Option<Delivery>, Infallible> {
        let of_group = |one: &&Delivery| one.consumer == consumer && one.lane.group == group;
        let live = self.rows.iter().filter(of_group).filter(|one| !one.state.has_ended());
        Ok(live.min_by_key(|one| (one.state != State::Running, one.id)).cloned())
    }

    fn take(&mut self, delivery: Delivery, grant: Grant) -> Result<Delivery, Infallible> {
        let (node, held_by) = (Uuid::nil().into(), grant.held_by.clone());
        let claim = Action::Claim { node, max_attempts: 3, deadline: self.deadline, held_by };
        let (running, _) = transition(&delivery, &claim, self.now).unwrap();
        *self.rows.iter_mut().find(|one| one.id == running.id).unwrap() = running.clone();
        self.taken.push((running.clone(), grant));
        Ok(running)
    }
}

/// A turnstile with its rows.
#[derive(Debug, Default)]
struct World {
    turnstile: Turnstile,
    list: List,
}

impl World {
    fn new(limits: &[Limit]) -> Self {
        let mut world = Self::default();
        limits.iter().for_each(|limit| world.turnstile.declare(limit.clone(), None, None));
        world
    }

    /// Says which limits hold a consumer, each with or without a key of its own.
    fn held_by(mut self, consumer: &str, limits: &[(&str, bool)]) -> Self {
        let key = || Some("/k".parse().unwrap());
        let limits =
            limits.iter().map(|(limit, keyed)| LimitUse { limit: (*limit).into(), key: keyed.then(key).flatten() });
        self.turnstile.set_policy(consumer, Policy { limits: limits.collect(), ..Policy::default() });
        self
    }

    /// A delivery gets in line. Answers its number.
    fn offer(&mut self, consumer: &str, group: &str) -> usize {
        self.offer_of(consumer, group, "")
    }

    /// The same of an owner.
    fn offer_of(&mut self, consumer: &str, group: &str, turn: &str) -> usize {
        let number = self.list.rows.len();
        // Ids ascend with age.
        let id = Uuid::from_u128((number as u128 + 1) << 80).into();
        let operation = Operation::new(Uuid::nil().into(), "a".into(), None, 0, START);
        let lane = Lane { group: group.into(), turn: turn.into(), ordered: false };
        let route = Route { lane, ..Route::to(consumer) };
        let delivery = Delivery::new(id, &operation, Uuid::nil().into(), &route, (START, START));
        self.turnstile.offer(consumer, group, Head::of(&delivery));
        self.list.rows.push(delivery);
        number
    }

    /// What starts now, by the groups' names.
    fn serve(&mut self, wanted: &[(&str, usize)], now: Timestamp) -> Vec<String> {
        self.list.now = now;
        self.list.taken.clear();
        let Ok(count) = self.turnstile.serve(&mut self.list, wanted, now);
        assert_eq!(count, self.list.taken.len());
        self.list.taken.iter().map(|(delivery, _)| delivery.lane.group.clone()).collect()
    }

    /// When what started last may start, in milliseconds.
    fn starts(&self) -> Vec<u64> {
        let since = |grant: &Grant| grant.start.since(START).as_millis();
        self.list.taken.iter().map(|(_, grant)| u64::try_from(since(grant)).unwrap()).collect()
    }

    /// The first that runs of a group ends. Answers who is woken.
    fn end(&mut self, group: &str, lingers: Option<Timestamp>) -> Vec<String> {
        let runs = |one: &&mut Delivery| one.state == State::Running && one.lane.group == group;
        let row = self.list.rows.iter_mut().find(runs).expect("one of the group runs");
        row.state = State::Done;
        self.turnstile.left(HoldId::of(row), lingers)
    }

    fn running(&self, number: usize) -> &Delivery {
        let row = &self.list.rows[number];
        assert_eq!(row.state, State::Running);
        row
    }
}

fn key(limit: &str, key: &str) -> KeyRef {
    key_ref(limit, key)
}

fn pause(from: Timestamp, until: Option<Timestamp>) -> Closure {
    Closure { gate: Gate::Pause, from, until, by: "target".into(), reason: "too many".into() }
}

fn slots(name: &str, concurrency: u32) -> Limit {
    Limit::new(name).concurrency(concurrency)
}

fn rate(name: &str, rate: &str) -> Limit {
    Limit::new(name).rate(rate).unwrap()
}

#[test]
fn what_waits_for_a_limit_is_not_looked_at() {
    let mut world = World::new(&[slots("one", 1)]).held_by("c", &[("one", false)]);
    (0..10_000).for_each(|_| _ = world.offer("c", ""));
    assert_eq!(world.serve(&[("c", 100)], START).len(), 1);
    world.list.looks = 0;
    for second in 1..100 {
        assert!(world.serve(&[("c", 100)], at(second * 1_000)).is_empty());
    }
    assert_eq!(world.list.looks, 0, "no row is read while the slot is held");
}

#[test]
fn a_new_group_goes_behind_those_that_wait() {
    let mut world = World::new(&[slots("one", 1)]).held_by("c", &[("one", false), ("own", true)]);
    world.offer("c", "first");
    world.offer("c", "second");
    assert_eq!(world.serve(&[("c", 9)], START), ["first"]);
    for round in 0..20 {
        // There is always someone new, who finds a free slot.
        world.offer("c", &format!("new {round}"));
        world.end(if round == 0 { "first" } else { "runs" }, None);
        let started = world.serve(&[("c", 9)], START);
        if started == ["second"] {
            return;
        }
        world.list.rows.iter_mut().filter(|one| one.state == State::Running).for_each(|one| {
            one.lane.group = "runs".into();
        });
    }
    panic!("the second never had its turn");
}

#[test]
fn groups_that_wait_at_each_others_keys_all_get_on() {
    let keyed = [("x", false), ("y", false), ("z", true)];
    let mut world = World::new(&[slots("x", 2), slots("y", 2), slots("z", 9)]).held_by("c", &keyed);
    let mut started = 0;
    (0..40).for_each(|number| _ = world.offer("c", &number.to_string()));
    while started < 40 {
        let groups = world.serve(&[("c", 9)], START);
        assert!(!groups.is_empty(), "{started} of 40 started");
        started += groups.len();
        groups.iter().for_each(|group| drop(world.end(group, None)));
    }
}

#[test]
fn everyone_who_waits_for_a_slot_is_woken() {
    let one = [("one", false)];
    let mut world = World::new(&[slots("one", 1)]).held_by("a", &one).held_by("b", &one).held_by("c", &one);
    world.offer("a", "");
    world.serve(&[("a", 1), ("b", 1)], START);
    world.offer("a", "");
    world.offer("b", "");
    world.serve(&[("a", 1), ("b", 1)], START);
    assert_eq!(world.end("", None), ["a", "b"], "the first may be paused and unable to go on");
    assert_eq!(world.serve(&[("b", 1)], START), [""], "it does not wait for the one before it");
}

#[test]
fn the_starts_of_a_burst_are_at_once_and_then_at_the_rate() {
    let mut world = World::new(&[rate("api", "100/s burst 3")]).held_by("c", &[("api", false)]);
    (0..20).for_each(|_| _ = world.offer("c", ""));
    assert_eq!(world.serve(&[("c", 100)], START).len(), 7, "what starts within 50 ms is given out");
    assert_eq!(world.starts(), [0, 0, 0, 10, 20, 30, 40]);
    assert_eq!(world.turnstile.next(&[("c", 100)]), Some(at(0) + Duration::from_micros(250)));
    assert_eq!(world.turnstile.next(&[("d", 100)]), None, "it is nobody else's");
}

#[test]
fn no_start_of_two_rates_is_before_its_time_at_either() {
    let limits = [rate("x", "40/s burst 3"), rate("y", "38/s")];
    let mut world = World::new(&limits).held_by("both", &[("x", false), ("y", false)]).held_by("one", &[("x", false)]);
    (0..40).for_each(|_| _ = world.offer("both", ""));
    (0..40).for_each(|_| _ = world.offer("one", ""));
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for millis in (0..3_000).step_by(7) {
        world.serve(&[("both", 9), ("one", 9)], at(millis));
        for (delivery, grant) in &world.list.taken {
            assert!(grant.start >= at(millis), "nothing starts in the past");
            x.push(nanos(grant.start));
            y.extend((delivery.consumer == "both").then(|| nanos(grant.start)));
        }
    }
    assert_eq!((x.len(), y.len()), (80, 40));
    for (mut starts, interval, burst) in [(x, 25_000_000, 3), (y, 26_315_789, 1)] {
        starts.sort_unstable();
        for (first, from) in starts.iter().enumerate() {
            for (last, to) in starts.iter().enumerate().skip(first) {
                assert!((last - first) as i64 <= burst - 1 + (to - from) / interval, "from {from} to {to}");
            }
        }
    }
}

#[test]
fn a_resumed_key_goes_on_soon_however_long_it_would_have_been_paused() {
    let mut world = World::new(&[rate("api", "10/s burst 5")]).held_by("c", &[("api", false)]);
    let number = world.offer("c", "");
    (0..20).for_each(|_| _ = world.offer("c", ""));
    world.serve(&[("c", 1)], START);
    let throttled = pause(START, Some(at(600_000)));
    let delivery = world.running(number).clone();
    world.turnstile.learn((&delivery, Vec::new()), None, Some((&throttled, Wish::Refused)), START);
    assert!(world.serve(&[("c", 9)], at(1_000)).is_empty());
    assert_eq!(world.turnstile.next(&[("c", 9)]), Some(at(600_000)));
    assert!(world.turnstile.resume("api", Some(""), at(1_000)));
    assert!(world.serve(&[("c", 9)], at(1_000)).is_empty(), "nothing is saved up");
    assert!(world.turnstile.next(&[("c", 9)]).is_some_and(|next| next < at(1_400)));
    assert!(!world.serve(&[("c", 9)], at(1_400)).is_empty());
}

#[test]
fn a_faster_rate_holds_at_once() {
    let mut world = World::new(&[rate("api", "1/h")]).held_by("c", &[("api", false)]);
    (0..9).for_each(|_| _ = world.offer("c", ""));
    assert_eq!(world.serve(&[("c", 9)], START).len(), 1);
    assert!(world.serve(&[("c", 9)], at(1_000)).is_empty());
    let change =
        LimitChange { rate: Some(Some("10/s".parse().unwrap())), concurrency: None, by: "x".into(), at: START };
    world.turnstile.set_change("api", Some(change));
    world.serve(&[("c", 9)], at(1_000));
    assert_eq!(world.serve(&[("c", 9)], at(1_400)).len(), 1);
}

#[test]
fn what_started_before_a_throttling_lifts_no_ramp() {
    let mut world = World::new(&[Limit::new("api")]).held_by("c", &[("api", false)]);
    let numbers: Vec<_> = (0..4).map(|_| world.offer("c", "")).collect();
    (0..20).for_each(|_| _ = world.offer("c", ""));
    world.serve(&[("c", 4)], START);
    let running: Vec<_> = numbers.iter().map(|number| world.running(*number).clone()).collect();
    world.turnstile.learn((&running[0], Vec::new()), None, Some((&pause(at(5), Some(at(10))), Wish::Refused)), at(5));
    for delivery in &running {
        world.end("", None);
        world.turnstile.learn((delivery, Vec::new()), None, None, at(6));
    }
    for ramp in 1..4 {
        let now = at(10 + ramp);
        assert_eq!(world.serve(&[("c", 9)], now).len() as u64, ramp);
        for (delivery, _) in world.list.taken.clone() {
            world.end("", None);
            if delivery.id == world.list.taken[0].0.id {
                world.turnstile.learn((&delivery, Vec::new()), None, None, now);
            }
        }
    }
}

#[test]
fn a_set_clock_moves_rates_pauses_and_slots() {
    for hour in [3_600_000_000_i64, -3_600_000_000] {
        let limits = [rate("api", "1/10s"), slots("one", 1), rate("free", "1/s")];
        let held = [("api", false), ("one", false), ("free", false)];
        let mut world = World::new(&limits).held_by("c", &held);
        (0..3).for_each(|_| _ = world.offer("c", ""));
        assert_eq!(world.serve(&[("c", 9)], START).len(), 1);
        world.end("", Some(at(20_000)));
        world.turnstile.pause("api", None, pause(START, Some(at(30_000))));
        world.turnstile.pause("free", Some(""), pause(START, Some(at(40_000))));
        let set = |millis: u64| Timestamp::from_micros(at(millis).as_micros() + hour);
        assert_eq!(world.turnstile.shift(hour), ["api"], "its pause is to be written");
        let holds = |millis: u64| world.turnstile.limit("one", set(millis)).unwrap().in_use;
        assert_eq!((holds(19_000), holds(20_000)), (1, 0));
        for (millis, gate) in [(1_000, "free"), (30_000, "free"), (39_999, "free")] {
            assert!(world.serve(&[("c", 9)], set(millis)).is_empty(), "at {millis}");
            let blocker = world.turnstile.blocker("c", "", set(millis)).unwrap();
            assert_eq!((blocker.limit.name.as_str(), blocker.until), (gate, Some(set(40_000))), "at {millis}");
        }
        assert!(world.turnstile.limit("api", set(29_000)).unwrap().pause.is_some());
        assert_eq!(world.serve(&[("c", 9)], set(40_000)).len(), 1);
    }
}

#[test]
fn a_persons_pause_holds_whatever_the_clock_says() {
    let mut world = World::new(&[Limit::new("all"), Limit::new("one")]).held_by("c", &[("all", false), ("one", false)]);
    world.offer("c", "");
    let hour = Duration::from_secs(3_600);
    for (limit, key) in [("all", None), ("one", Some(""))] {
        let now = START;
        world.turnstile.pause(limit, key, Closure { by: "someone".into(), ..pause(now, None) });
        assert!(world.serve(&[("c", 9)], now).is_empty());
        world.turnstile.shift(-3_600_000_000);
        assert!(world.serve(&[("c", 9)], now - hour).is_empty(), "{limit} of {key:?}");
        world.turnstile.shift(3_600_000_000);
        assert!(world.serve(&[("c", 9)], now).is_empty(), "{limit} of {key:?}");
        assert!(world.turnstile.resume(limit, key, now));
    }
    assert_eq!(world.serve(&[("c", 9)], START).len(), 1);
}

#[test]
fn a_sweep_forgets_what_says_nothing_any_more() {
    let limits = [rate("api", "1/s"), slots("one", 1)];
    let mut world = World::new(&limits).held_by("c", &[("api", true), ("one", true)]);
    for group in ["a\u{1f}a", "b\u{1f}b", "c\u{1f}c"] {
        world.offer("c", group);
    }
    assert_eq!(world.serve(&[("c", 9)], START).len(), 3);
    world.end("a\u{1f}a", None);
    world.end("b\u{1f}b", Some(at(5_000)));
    world.turnstile.pause("api", Some("paused"), pause(START, Some(at(9_000))));
    let mut sweep = |millis| {
        let mut keys = world.turnstile.sweep(at(millis));
        keys.sort_unstable();
        keys
    };
    assert_eq!(sweep(100), [], "every rate waits still");
    assert_eq!(sweep(2_000), [key("api", "a")], "a key whose last slot was left is known no longer");
    assert_eq!(sweep(5_000), [key("api", "b"), key("one", "b")], "the slot that was held for nobody is free");
    assert_eq!(sweep(9_000), [key("api", "paused")]);
    assert_eq!(sweep(9_000), [], "what runs stays");
    assert_eq!(world.turnstile.limit("one", at(9_000)).unwrap().in_use, 1);
}

#[test]
fn an_order_is_forgotten_but_no_slot_rate_or_pause() {
    let mut world = World::new(&[rate("api", "1/10s"), slots("one", 3)]).held_by("c", &[("one", false)]);
    let (lost, number) = (world.offer("c", ""), world.offer("c", ""));
    world.serve(&[("c", 9)], START);
    assert_eq!(world.list.taken.len(), 2);
    assert_eq!(world.list.rows[lost].state, State::Running);
    world.end("", Some(at(5_000)));
    let delivery = world.running(number).clone();
    let (permit, grant) = world.turnstile.permit(&delivery, &key("api", ""), START).unwrap();
    assert_eq!((permit.id.permit, grant.start), (1, START));
    world.turnstile.forget_order();
    world.turnstile.hold(&delivery);
    assert_eq!(world.turnstile.limit("one", at(4_999)).unwrap().in_use, 2);
    assert_eq!(world.turnstile.limit("one", at(5_000)).unwrap().in_use, 1);
    assert_eq!(world.turnstile.permits(HoldId::of(&delivery)), [permit.id]);
    let again = world.turnstile.permit(&delivery, &key("api", ""), START).unwrap_err();
    assert_eq!(again, Some(at(10_000)), "with the margin of half a percent, and 50 ms before its time");
    assert_eq!(world.turnstile.left(permit.id, None), Vec::<String>::new());
    assert!(world.turnstile.permits(HoldId::of(&delivery)).is_empty());
}

#[test]
fn keys_are_written_once_after_a_change() {
    let mut world = World::new(&[rate("api", "1/s")]).held_by("c", &[("api", true)]);
    world.offer("c", "k");
    assert_eq!(world.turnstile.take_dirty(), []);
    world.serve(&[("c", 1)], START);
    let [(written, row)] = &world.turnstile.take_dirty()[..] else { panic!("one row") };
    assert_eq!((written, row.tat), (&key("api", "k"), nanos(START) + 1_005_000_000));
    assert_eq!(world.turnstile.take_dirty(), []);
    let mut other = Turnstile::default();
    other.restore(written.clone(), row.clone());
    assert_eq!(other.keys[&key("api", "k")].row(), *row);
}

#[test]
fn a_key_with_much_to_do_starves_nobody_at_a_shared_one() {
    let mut world = World::new(&[slots("a-lock", 1).key("/k").unwrap(), slots("shared", 1)])
        .held_by("c", &[("a-lock", true), ("shared", false)]);
    (0..50).for_each(|_| _ = world.offer_of("c", "much", "one"));
    world.offer_of("c", "little", "another");
    let mut started = world.serve(&[("c", 9)], START);
    for _ in 0..50 {
        let last = started.last().cloned().unwrap();
        world.end(&last, None);
        started.extend(world.serve(&[("c", 9)], START));
    }
    let place = started.iter().position(|group| group == "little").unwrap();
    assert!(place <= 2, "{place}");
    assert_eq!(started.len(), 51);
}
