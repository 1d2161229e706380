//! The property test of the stores: random lists of commands, run on several stores side by side at the same times.
//!
//! Every store must answer each command in the same way and must show the same afterwards, ids apart; and what holds
//! for every store must hold for the first. [`scene`] says who there is, [`side`] runs commands and takes pictures,
//! [`invariant`] checks one picture by itself, and [`held`] what was given out against the limits. Ids are compared by
//! their first appearance, for every store gives them out in the same order.

use std::sync::Arc;
use std::time::Duration;

use acceptd::{Store, Timestamp, Weight};
use proptest::prelude::*;

use crate::factory::{LEASE, START};
use crate::store::reopen::Reopen;

pub mod held;
pub mod invariant;
pub mod scene;
pub mod side;

use held::Meter;
use invariant::Watch;
use scene::{CONSUMERS, KEYS, LIMITS};
use side::Side;

/// Answers are compared after each command, pictures after so many: they take most of the time.
const COMPARED_EVERY: usize = 8;

/// One thing that happens to a store. Numbers of things count back from the newest, around the end.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the text of each variant says what its fields are")]
pub enum Command {
    /// An operation is accepted.
    Accept(Request),
    /// A node claims, for one consumer or for several together.
    Claim { consumers: Vec<usize>, node: u8, max: usize },
    /// An attempt ends.
    Settle { attempt: usize, fence: Fence, verdict: Ending },
    /// A target takes or renews a lease.
    Extend { attempt: usize, fence: Fence, seconds: u64 },
    /// An attempt reports progress.
    Report { attempt: usize, fence: Fence, done: u64 },
    /// An attempt remembers a step.
    Remember { attempt: usize, fence: Fence, name: bool, value: u8 },
    /// An operation is canceled.
    Cancel(usize),
    /// One dead letter is retried, or whatever the delivery is.
    RetryOne(usize),
    /// All dead letters of an operation are retried.
    RetryAll(usize),
    /// A dead letter is discarded, or whatever the delivery is.
    Discard(usize),
    /// A consumer is paused, by a person or for a time.
    Pause { consumer: usize, seconds: Option<u64> },
    /// A consumer is resumed.
    Resume(usize),
    /// A limit or one of its keys is paused, by a person or for a time.
    PauseLimit { limit: usize, key: Option<u8>, seconds: Option<u64> },
    /// A limit or one of its keys is resumed.
    ResumeLimit { limit: usize, key: Option<u8> },
    /// A call within an attempt asks for a slot and a start.
    Permit { attempt: usize, fence: Fence, limit: usize, key: u8 },
    /// A permit is given back.
    GiveBack(usize),
    /// A node registers.
    Register { node: u8, consumers: Vec<usize> },
    /// A node shows that it lives.
    Heartbeat(u8),
    /// A node rescues.
    Rescue(u8),
    /// Operations that ended so long ago are pruned.
    Prune { age: u64, max: usize },
    /// A notification is read.
    Read(usize),
    /// Time passes: so many milliseconds.
    Wait(u64),
    /// The stores are dropped and opened again, a lease later; nodes from then on are new ones.
    Reopen,
}

/// Which fence a call carries.
#[derive(Debug, Clone, Copy)]
pub enum Fence {
    /// That of its attempt.
    Own,
    /// One less.
    Old,
    /// One more.
    Ahead,
}

/// An operation to accept.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its root events.
    pub events: Vec<RootEvent>,
    /// Its owner's number.
    pub owner: Option<u8>,
    /// Seconds until it may start.
    pub delay: u64,
    /// Its priority.
    pub priority: i8,
    /// An idempotency key, and which request it stands for.
    pub key: Option<(u8, u8)>,
    /// Deliveries that may wait.
    pub backlog_max: u64,
}

/// A root event to accept.
#[derive(Debug, Clone)]
pub struct RootEvent {
    /// The number of the consumer that its type is named after.
    pub kind: usize,
    /// Its producer's id.
    pub id: Option<u8>,
    /// What limits with a key find in its data; None is no data.
    pub key: Option<u8>,
    /// Who gets it; empty when nobody does yet.
    pub routes: Vec<(usize, Weight)>,
}

/// How an attempt ends.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the text of each variant says what its fields are")]
pub enum Ending {
    /// Well.
    Done { result: bool, emit: Vec<Vec<(usize, Weight)>>, notify: bool },
    /// Again after so many seconds; its target may still be working on it.
    Retry { seconds: u64, unfinished: bool },
    /// Again after so many seconds, uncounted.
    Snooze(u64),
    /// Throttled for so many seconds, by a limit that it names or by none.
    Throttled { seconds: u64, limit: Option<usize> },
    /// Given back; its target may still be working on it.
    Release { unfinished: bool },
    /// Never again, with or without an outcome to keep.
    GiveUp(bool),
}

/// Runs commands on the stores at these places.
///
/// # Errors
/// What the stores disagree on, or which invariant does not hold, with the command it followed.
pub async fn run(places: &[&dyn Reopen], commands: &[Command]) -> Result<(), String> {
    let mut sides: Vec<Side<'_>> = places.iter().map(|place| Side::new(*place)).collect();
    let (mut watch, mut meter) = (Watch::default(), Meter::default());
    let mut now = START;
    for (number, command) in commands.iter().enumerate() {
        now = now
            + match command {
                Command::Wait(millis) => Duration::from_millis(*millis),
                // One store may know at once that whoever used it before is gone; the others find out after a lease.
                Command::Reopen => LEASE + Duration::from_secs(1),
                _ => Duration::ZERO,
            };
        // A moment passes with everything that happens, so that nothing is equal by chance.
        now = now + Duration::from_millis(1);
        let at = |what: &str| format!("after command {number}, {command:?}, at {now:?}: {what}");
        answer(&mut sides, command, now).await.map_err(|what| at(&what))?;
        if let Some(first) = sides.first() {
            let picture = first.picture(now).await;
            watch.check(command, &picture).map_err(|what| at(&what))?;
            meter.check(command, first.seen(), &picture, now).map_err(|what| at(&what))?;
        }
        if number % COMPARED_EVERY == 0 || number + 1 == commands.len() {
            show(&mut sides, now).await.map_err(|what| at(&what))?;
        }
    }
    Ok(())
}

async fn answer(sides: &mut [Side<'_>], command: &Command, now: Timestamp) -> Result<(), String> {
    let mut answers = Vec::new();
    for side in sides {
        answers.push(side.perform(command, now).await);
    }
    answers.iter().try_for_each(|answer| invariant::check_answer(command, answer))?;
    alike("answer", &answers)
}

async fn show(sides: &mut [Side<'_>], now: Timestamp) -> Result<(), String> {
    let mut pictures = Vec::new();
    for side in sides {
        let picture = side.picture(now).await;
        side.discover(&picture);
        pictures.push(side.anonymous(&format!("{picture:#?}")));
    }
    alike("show", &pictures)
}

fn alike(verb: &str, texts: &[String]) -> Result<(), String> {
    let (first, others) = texts.split_first().ok_or("there are no stores to run on")?;
    for (index, other) in others.iter().enumerate() {
        differ(&format!("store 0 and store {}", index + 1), verb, first, other)?;
    }
    Ok(())
}

fn differ(stores: &str, verb: &str, one: &str, other: &str) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    let lines = one.lines().zip(other.lines());
    let first = lines.take_while(|(one, other)| one == other).count();
    let part = |text: &str| text.lines().skip(first.saturating_sub(12)).take(20).collect::<Vec<_>>().join("\n");
    Err(format!("{stores} {verb} different things at line {first}:\n--- 0\n{}\n--- other\n{}", part(one), part(other)))
}

/// A place in memory: opening again finds the same store, which has forgotten what every store forgets then.
#[derive(Debug)]
pub struct InMemory(Arc<acceptd::store::memory::MemoryStore>);

impl Default for InMemory {
    fn default() -> Self {
        Self(Arc::new(acceptd::store::memory::MemoryStore::seeded(1)))
    }
}

impl Reopen for InMemory {
    fn open(&self) -> Arc<dyn Store> {
        self.0.restart();
        Arc::<acceptd::store::memory::MemoryStore>::clone(&self.0)
    }
}

/// Lists of commands to try, of up to `most` commands. Most begin with a node that serves everybody, so that limits
/// hold from the start.
pub fn commands(most: usize) -> impl Strategy<Value = Vec<Command>> {
    let everybody = Command::Register { node: 1, consumers: (0..CONSUMERS.len()).collect() };
    let first = prop::option::weighted(0.8, Just(everybody));
    let all = (first, prop::collection::vec(command(), 1..=most));
    all.prop_map(|(first, commands)| first.into_iter().chain(commands).collect())
}

fn command() -> impl Strategy<Value = Command> {
    let fence = || prop_oneof![8 => Just(Fence::Own), 1 => Just(Fence::Old), 1 => Just(Fence::Ahead)];
    let consumer = || 0..CONSUMERS.len();
    let settle = (0..4_usize, fence(), ending());
    let settle = settle.prop_map(|(attempt, fence, verdict)| Command::Settle { attempt, fence, verdict });
    let some = prop_oneof![2 => prop::collection::vec(consumer(), 1), 1 => Just((0..CONSUMERS.len()).collect())];
    let claim = (some, 1..=3_u8, 0..4_usize);
    let claim = claim.prop_map(|(consumers, node, max)| Command::Claim { consumers, node, max });
    let limit = || 0..LIMITS.len();
    let key = || 0..KEYS;
    let pause_limit = (limit(), prop::option::of(key()), prop::option::weighted(0.8, 1..30_u64));
    let resume_limit = (limit(), prop::option::of(key()));
    let permit = (0..3_usize, fence(), limit(), key());
    let extend = (0..3_usize, fence(), 0..40_u64);
    let report = (0..3_usize, fence(), 0..9_u64);
    let remember = (0..3_usize, fence(), any::<bool>(), any::<u8>());
    let pause = (consumer(), prop::option::weighted(0.7, 1..30_u64));
    let all = || Just((0..CONSUMERS.len()).collect());
    let register = (1..=3_u8, prop_oneof![1 => prop::collection::vec(consumer(), 0..4), 1 => all()]);
    prop_oneof![
        12 => request().prop_map(Command::Accept),
        14 => claim,
        16 => settle,
        2 => extend.prop_map(|(attempt, fence, seconds)| Command::Extend { attempt, fence, seconds }),
        1 => report.prop_map(|(attempt, fence, done)| Command::Report { attempt, fence, done }),
        1 => remember.prop_map(|(attempt, fence, name, value)| Command::Remember { attempt, fence, name, value }),
        2 => (0..4_usize).prop_map(Command::Cancel),
        2 => (0..6_usize).prop_map(Command::RetryOne),
        2 => (0..4_usize).prop_map(Command::RetryAll),
        2 => (0..6_usize).prop_map(Command::Discard),
        2 => pause.prop_map(|(consumer, seconds)| Command::Pause { consumer, seconds }),
        2 => consumer().prop_map(Command::Resume),
        1 => pause_limit.prop_map(|(limit, key, seconds)| Command::PauseLimit { limit, key, seconds }),
        2 => resume_limit.prop_map(|(limit, key)| Command::ResumeLimit { limit, key }),
        2 => permit.prop_map(|(attempt, fence, limit, key)| Command::Permit { attempt, fence, limit, key }),
        1 => (0..3_usize).prop_map(Command::GiveBack),
        4 => register.prop_map(|(node, consumers)| Command::Register { node, consumers }),
        2 => (1..=3_u8).prop_map(Command::Heartbeat),
        2 => (1..=3_u8).prop_map(Command::Rescue),
        2 => (0..60_u64, 0..4_usize).prop_map(|(age, max)| Command::Prune { age, max }),
        1 => (0..3_usize).prop_map(Command::Read),
        8 => prop_oneof![0..3_000_u64, 5_000..40_000_u64, Just(4_000_000)].prop_map(Command::Wait),
        2 => Just(Command::Reopen),
    ]
}

fn routes(least: usize) -> impl Strategy<Value = Vec<(usize, Weight)>> {
    let weight = prop_oneof![5 => Just(Weight::Tracked), 2 => Just(Weight::Untracked), 1 => Just(Weight::Inbox)];
    prop::collection::vec((0..CONSUMERS.len(), weight), least..3)
}

fn request() -> impl Strategy<Value = Request> {
    let id = prop::option::weighted(0.4, 0..6_u8);
    let routes = prop_oneof![6 => routes(1), 1 => routes(0)];
    let key = prop::option::weighted(0.9, 0..KEYS);
    let event = (0..CONSUMERS.len(), id, key, routes);
    let event = event.prop_map(|(kind, id, key, routes)| RootEvent { kind, id, key, routes });
    let events = prop_oneof![3 => prop::collection::vec(event.clone(), 1), 1 => prop::collection::vec(event, 0..4)];
    let delay = prop_oneof![3 => Just(0_u64), 1 => 1..20_u64];
    let backlog_max = prop_oneof![9 => Just(1_000_u64), 1 => 0..8_u64];
    let key = prop::option::weighted(0.3, (0..3_u8, 0..2_u8));
    let owner = prop::option::weighted(0.7, 0..2_u8);
    (events, owner, delay, -1..=1_i8, key, backlog_max).prop_map(
        |(events, owner, delay, priority, key, backlog_max)| Request {
            events,
            owner,
            delay,
            priority,
            key,
            backlog_max,
        },
    )
}

fn ending() -> impl Strategy<Value = Ending> {
    let emit = prop::collection::vec(routes(0), 0..3);
    let done = (any::<bool>(), emit, any::<bool>());
    let throttled = (0..20_u64, prop::option::weighted(0.4, 0..LIMITS.len()));
    prop_oneof![
        8 => done.prop_map(|(result, emit, notify)| Ending::Done { result, emit, notify }),
        4 => (0..9_u64, any::<bool>()).prop_map(|(seconds, unfinished)| Ending::Retry { seconds, unfinished }),
        1 => (0..9_u64).prop_map(Ending::Snooze),
        2 => throttled.prop_map(|(seconds, limit)| Ending::Throttled { seconds, limit }),
        1 => any::<bool>().prop_map(|unfinished| Ending::Release { unfinished }),
        4 => any::<bool>().prop_map(Ending::GiveUp),
    ]
}
