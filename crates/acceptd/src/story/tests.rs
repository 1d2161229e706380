//! Stories of chains that are made up here.

use std::collections::{BTreeMap, HashMap};

use super::tell::{Circumstances, tell};
use super::{Story, TextOptions, lines, mermaid, text};
use crate::delivery::{Attempt, Ending, State};
use crate::store::Chain;
use crate::{
    Data, Delivery, DeliveryId, Draft, EventKey, Failure, Gate, Ids, Operation, Route, Status, StoredEvent, Timestamp,
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

struct World {
    ids: Ids,
    chain: Chain,
}

impl World {
    fn new() -> Self {
        let mut ids = Ids::seeded(0, 7);
        let operation = Operation::new(ids.next(at(0)), "upload".into(), None, 0, at(0));
        let chain = Chain {
            operation,
            events: Vec::new(),
            deliveries: Vec::new(),
            attempts: Vec::new(),
            closures: Vec::new(),
            result_sizes: BTreeMap::new(),
        };
        Self { ids, chain }
    }

    /// An event that follows from another, or a root event.
    fn event(&mut self, kind: impl Into<String>, before: Option<EventKey>, source: &str, emitted: i64) -> EventKey {
        let before = before.and_then(|key| self.chain.events.iter().find(|event| event.key == key));
        let event = StoredEvent {
            key: self.ids.next(at(emitted)),
            operation: self.chain.operation.id,
            cause: before.map(|event| event.id().into_owned()),
            depth: before.map_or(0, |event| event.depth + 1),
            accepted: at(emitted),
            draft: Draft { source: source.to_owned().into(), ..Draft::new(kind.into()) },
        };
        self.chain.events.push(event.clone());
        event.key
    }

    fn root(&mut self, kind: impl Into<String>) -> EventKey {
        self.event(kind, None, "/test", 0)
    }

    /// A delivery that is in a state since then.
    fn delivery(&mut self, event: EventKey, consumer: &str, state: State, since: i64) -> DeliveryId {
        let id = self.ids.next(at(0));
        let new = Delivery::new(id, &self.chain.operation, event, &Route::to(consumer), (at(0), at(0)));
        let delivery = Delivery { state, since: at(since), attempts: 1, max_attempts: 8, ..new };
        self.chain.deliveries.push(delivery);
        id
    }

    /// An attempt that was due, started and ended then.
    fn attempt(&mut self, delivery: DeliveryId, [due, started, ended]: [i64; 3], ending: Ending) {
        let earlier: Vec<_> = self.chain.attempts.iter().filter(|attempt| attempt.delivery == delivery).collect();
        let (fence, waiting_since) = (earlier.len() as u64 + 1, earlier.last().map_or(at(0), |one| one.ended));
        let failed = !matches!(ending, Ending::Done);
        self.chain.attempts.push(Attempt {
            delivery,
            fence,
            number: fence as u32,
            node: None,
            waiting_since,
            due: at(due),
            held_by: None,
            started: at(started),
            ended: at(ended),
            ending,
            failure: failed.then(|| Failure::new("http-503", "out of order")),
        });
    }

    fn tell(&self, now: i64) -> Story {
        let (status, now) = (Status::Running, at(now));
        tell(&self.chain, Circumstances { status, waiting_on: Vec::new(), held: HashMap::new(), now })
    }

    fn text(&self, now: i64) -> String {
        text(&self.tell(now), &TextOptions::default())
    }
}

/// Running, backing off, waiting.
fn times(story: &Story) -> (u64, u64, u64) {
    let times = story.times;
    assert_eq!(times.running_ms + times.backing_off_ms + times.waiting_ms, times.total_ms);
    (times.running_ms, times.backing_off_ms, times.waiting_ms)
}

#[test]
fn backing_off_lasts_until_the_next_attempt_is_due() {
    let mut world = World::new();
    let root = world.root("upload");
    let delivery = world.delivery(root, "upload-item", State::Waiting, 300);
    world.attempt(delivery, [0, 100, 300], Ending::Retry);
    world.chain.deliveries[0].due = at(800);
    assert_eq!(times(&world.tell(500)), (200, 200, 100), "it goes on");
    assert_eq!(times(&world.tell(1_000)), (200, 500, 300), "due, and held by something else");
    world.chain.deliveries[0].state = State::Running;
    world.chain.deliveries[0].since = at(900);
    assert_eq!(times(&world.tell(1_000)), (300, 500, 200), "it runs again");
    world.attempt(delivery, [800, 900, 1_200], Ending::Done);
    world.chain.deliveries[0].state = State::Done;
    world.chain.operation.ended = Some((Status::Succeeded, at(1_200)));
    assert_eq!(times(&world.tell(9_999)), (500, 500, 200), "the end is the end");
}

#[test]
fn who_is_throttled_or_canceled_does_not_back_off() {
    let mut world = World::new();
    let root = world.root("upload");
    let throttled = world.delivery(root, "a", State::Waiting, 200);
    world.attempt(throttled, [0, 0, 200], Ending::Throttled);
    world.chain.deliveries[0].due = at(900);
    assert_eq!(times(&world.tell(1_000)), (200, 0, 800));
    let canceled = world.delivery(root, "b", State::Canceled, 400);
    world.attempt(canceled, [0, 0, 300], Ending::Retry);
    world.chain.deliveries[1].due = at(900);
    assert_eq!(times(&world.tell(1_000)), (300, 100, 600), "it was canceled before it was due");
}

#[test]
fn the_delivery_that_emitted_an_event_is_told_or_left_open() {
    let mut world = World::new();
    let root = world.root("upload");
    let early = world.delivery(root, "early", State::Done, 100);
    let (left, right) =
        (world.delivery(root, "left", State::Done, 200), world.delivery(root, "right", State::Done, 200));
    world.event("a", Some(root), "/anything", 100);
    world.event("b", Some(root), "/consumers/right", 200);
    world.event("c", Some(root), "/anything", 200);
    world.event("d", Some(root), "/consumers/left", 300);
    let story = world.tell(400);
    let causes: Vec<_> =
        story.events.iter().map(|event| event.caused_by.as_ref().map(|cause| cause.delivery)).collect();
    assert_eq!(causes, [None, Some(early), Some(right), None, None], "{left}: a source alone proves nothing");
    let tree = world.text(400);
    let below = "├─ ✓ early done\n│  └─ a nobody takes it\n├─ ✓ left done\n├─ ✓ right done\n│  └─ b nobody takes it\n\
                 ├─ c nobody takes it\n└─ d nobody takes it";
    assert!(tree.ends_with(below), "{tree}");
}

fn siblings(count: usize) -> World {
    let mut world = World::new();
    for number in 0..count {
        let event = world.root("upload.item");
        let state = if number % 7 == 3 { State::Dead } else { State::Done };
        let delivery = world.delivery(event, "upload-item", state, 400);
        world.attempt(delivery, [0, 100, 400], if state == State::Dead { Ending::Dead } else { Ending::Done });
    }
    world
}

#[test]
fn more_than_twenty_siblings_are_one_line() {
    let twenty = siblings(20).text(400);
    assert_eq!(twenty.lines().filter(|line| line.starts_with("upload.item")).count(), 20, "{twenty}");
    let folded = siblings(38).text(400);
    let lines: Vec<_> = folded.lines().skip(2).collect();
    assert_eq!(
        lines[..2],
        [
            "upload.item x 38 (5 failed)",
            "└─ ✗ upload-item 33 done, 5 dead, waited 3.8s for a free slot, ran 11s in all"
        ]
    );
    assert_eq!(lines[2..6], ["   ├─ ✗ dead, waited 100ms for a free slot, ran 300ms: http-503: out of order"; 4]);
    assert_eq!(lines[6..], ["   └─ and 1 more like these"]);
    let ids = lines_with_ids(&siblings(38).tell(400));
    assert_eq!(ids.iter().filter(|line| line.starts_with("018bcfe5-")).count(), 4, "{ids:?}");
}

fn lines_with_ids(story: &Story) -> Vec<String> {
    let options = TextOptions { brief: true, ids: true, now: None };
    lines(story, &options).into_iter().map(|line| line.name).collect()
}

#[test]
fn many_attempts_that_ended_alike_are_one_line() {
    let mut world = World::new();
    let root = world.root("upload");
    let delivery = world.delivery(root, "upload-item", State::Done, 0);
    for attempt in 0..30 {
        world.attempt(delivery, [attempt * 1_000, attempt * 1_000, attempt * 1_000 + 500], Ending::Retry);
    }
    world.attempt(delivery, [30_000, 30_000, 30_500], Ending::Done);
    let told = world.text(31_000);
    let attempts: Vec<_> = told.lines().filter(|line| line.contains("attempt")).collect();
    assert_eq!(
        attempts,
        [
            "   ├─ attempts 1 to 30 x 30 the last failed, backed off 500ms, ran 500ms: http-503: out of order",
            "   └─ attempt 31 done, backed off 500ms, ran 500ms"
        ]
    );
}

#[test]
fn a_loop_of_events_ends_on_paper() {
    let mut world = World::new();
    let mut event = world.root("again");
    for depth in 1..5_000 {
        world.delivery(event, "again", State::Done, depth);
        event = world.event("again", Some(event), "/consumers/again", depth);
    }
    let told = world.text(6_000);
    assert!(told.ends_with("and 4935 events below"), "{}", told.lines().last().unwrap());
    assert!(mermaid(&world.tell(6_000)).contains("and 4935 events below"));
}

#[test]
fn a_picture_has_an_end() {
    let mut world = World::new();
    for number in 0..1_000 {
        let event = world.root(format!("type{number}"));
        world.delivery(event, "any", State::Done, 0);
    }
    let picture = mermaid(&world.tell(0));
    assert_eq!(picture.matches(" --> ").count(), 300, "299 boxes below the first, and one for the rest");
    assert!(picture.contains("more[\"and 851 more\"]"), "{picture}");
}

#[test]
fn time_without_a_consumer_is_told_by_the_event_type() {
    let mut world = World::new();
    let event = world.root("lonely");
    let gates = |story: &Story| story.waits.iter().map(|time| (time.gate, time.total_ms)).collect::<Vec<_>>();
    assert_eq!(gates(&world.tell(700)), [(Gate::NoConsumer, 700)]);
    world.delivery(event, "late", State::Waiting, 500);
    world.chain.deliveries[0].waiting_since = at(500);
    assert_eq!(gates(&world.tell(700)), [(Gate::NoConsumer, 500), (Gate::Capacity, 200)]);
}

#[test]
fn a_story_is_read_as_it_was_written() {
    let mut world = siblings(3);
    let data = "{ \"z\": 12345678901234567890123, \"a\": 0.10 }";
    world.chain.events[0].draft.data = Some(Data::new(crate::JSON, data));
    world.chain.events[1].draft.data = Some(Data::new("image/png", b"\x89PNG\xff".as_slice()));
    let written = serde_json::to_string(&world.tell(400)).unwrap();
    assert!(written.contains(data), "{written}");
    let read: Story = serde_json::from_str(&written).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), written);
    assert_eq!((read.events[1].size, read.events[1].data.is_none()), (5, true));
    assert!(written.contains(&format!("\"traceId\":\"{}\"", read.trace_id.as_deref().unwrap())));
    let picture = text(&read, &TextOptions::default());
    assert!(picture.contains("upload.item (5 B of image/png)"), "{picture}");
}
