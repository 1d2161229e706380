//! The one thread of a node that writes. Whatever commands are waiting go into one transaction, and each caller gets
//! its own answer after the commit.
//!
//! All nodes write through one pen: a lock that is held for a transaction. Who gets it first reads in the log what the
//! others committed, so that what is kept in memory is never older than the rows; then the commands run, and their
//! writes, the log's next entry and the commit are sent in one go. An entry's version is its key: what is sent twice,
//! or late by a connection that was given up, is refused by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::change::Change;
use super::error::{self, Failure, Try};
use super::pending::Write;
use super::place::Place;
use super::request::{Kind, PostgresBook, Request};
use super::row::get;
use super::session::Bind;
use super::{load, open};
use crate::store::Elsewhere;
use crate::store::book::{control, lock};
use crate::telemetry::{STORE_COMMIT_COMMANDS, STORE_COMMIT_SECONDS};
use crate::{Error, fault};

/// How often a batch is tried again before its callers hear of a failure that may pass.
const TRIES: usize = 5;
/// How long it waits before it tries again.
const PAUSE: Duration = Duration::from_millis(50);
/// How often other nodes are called at most.
const CALL_EVERY: Duration = Duration::from_millis(5);
/// How often a node looks by itself what others wrote; five times as often behind a pooler, where nobody can be called.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A node that was silent for longer counts as gone, as far as calls go.
const COMPANY: Duration = Duration::from_secs(60);
/// How long it is asked whether something was committed.
const UNKNOWN_MAX: Duration = Duration::from_secs(60);
/// Entries of the log that are kept for nodes that are behind.
const LOG_KEPT: i64 = 4_096;
/// Entries that are read at once; who is further behind reads everything anew.
const LOG_READ: i64 = 1_000;

/// What the writer tells everybody without being asked.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) backlog: AtomicI64,
    pub(super) away: AtomicBool,
    pub(super) full: AtomicBool,
    /// Transactions that wrote something.
    pub(super) commits: AtomicU64,
}

/// The writer of a node.
pub(super) struct Writer {
    book: PostgresBook,
    place: Place,
    /// The version of the log that the book has seen.
    version: i64,
    gauges: Arc<Gauges>,
    /// Told what other nodes did.
    elsewhere: mpsc::UnboundedSender<Elsewhere>,
    call: Call,
    /// Whether root events of other nodes may wait for consumers of this one.
    unrouted: bool,
}

/// Nodes call one another when there is something to do, but not with every commit: a call takes a lock that is the
/// whole server's.
struct Call {
    /// Told when another node calls.
    heard: Arc<Notify>,
    /// Whether the others have something to hear.
    owed: bool,
    /// When they were last called.
    last: Instant,
}

const PEN: &str = "SELECT pg_advisory_xact_lock($1)";
const UNSEEN: &str = "SELECT version, last, backlog, facts FROM log WHERE version > $1 ORDER BY version LIMIT $2";
const ENTRY: &str = "INSERT INTO log (version, token, last, backlog, facts) VALUES ($1, $2, $3, $4, $5)";
const TRIM: &str = "DELETE FROM log WHERE version < $1";
const TOKEN: &str = "SELECT (SELECT token FROM log WHERE version = $1), (SELECT min(version) FROM log)";

/// How a transaction went wrong.
struct Gone {
    failure: Failure,
    /// The entry that was being committed, when it is not known whether it was.
    unknown: Option<(i64, Uuid)>,
}

impl From<Failure> for Gone {
    fn from(failure: Failure) -> Self {
        Self { failure, unknown: None }
    }
}

impl From<error::Stop> for Gone {
    fn from(stop: error::Stop) -> Self {
        match stop {
            error::Stop::Broken(failure) => failure.into(),
            error::Stop::Refused(error) | error::Stop::HalfWay(error) => Failure::Unreadable(error).into(),
        }
    }
}

impl Writer {
    /// A writer whose book is read when it is first needed.
    pub(super) fn new(
        book: PostgresBook,
        place: Place,
        gauges: Arc<Gauges>,
        elsewhere: mpsc::UnboundedSender<Elsewhere>,
        heard: Arc<Notify>,
    ) -> Self {
        lock(&book.turnstile).record();
        let call = Call { heard, owed: false, last: Instant::now() };
        Self { book, place, version: -1, gauges, elsewhere, call, unrouted: false }
    }

    /// Reads everything anew, as of the present.
    pub(super) fn read_all(&mut self) -> crate::Result<()> {
        let read = self.begin().and_then(|()| Ok(self.book.tables.set_clock()?)).and_then(|()| self.end_empty());
        read.map_err(|gone| gone.failure.into())
    }

    /// Works until every sender is gone.
    pub(super) fn work(mut self, mut commands: mpsc::Receiver<Box<dyn Request>>, batch_max: usize) {
        let mut batch: Vec<Box<dyn Request>> = Vec::with_capacity(batch_max);
        loop {
            if batch.is_empty() && self.wait(&mut commands, &mut batch, batch_max) {
                return;
            }
            while batch.len() < batch_max {
                let Ok(next) = commands.try_recv() else { break };
                batch.push(next);
            }
            let started = Instant::now();
            self.commit(&mut batch);
            measure(started.elapsed(), batch.len());
            let unheard: Vec<_> = batch.iter_mut().filter_map(|request| request.answer()).collect();
            batch.clear();
            batch.extend(unheard);
            self.call_if_due();
        }
    }

    /// Waits for commands, and looks what other nodes do meanwhile. True when there will be no more.
    fn wait(
        &mut self,
        commands: &mut mpsc::Receiver<Box<dyn Request>>,
        batch: &mut Vec<Box<dyn Request>>,
        max: usize,
    ) -> bool {
        loop {
            let pause = match (self.call.owed, self.place.pooled) {
                (true, _) => CALL_EVERY,
                (false, true) => LOOK_EVERY / 5,
                (false, false) => LOOK_EVERY,
            };
            let heard = Arc::clone(&self.call.heard);
            let count = self.book.tables.wait(async {
                tokio::select! {
                    biased;
                    count = commands.recv_many(batch, max) => Some(count),
                    () = heard.notified() => None,
                    () = tokio::time::sleep(pause) => None,
                }
            });
            match count {
                Some(count) => return count == 0,
                None if self.has_company() => {
                    self.look();
                    self.call_if_due();
                }
                None => self.call.owed = false,
            }
        }
    }

    /// Whether other nodes were alive lately.
    fn has_company(&self) -> bool {
        let since = self.book.tables.now() - COMPANY;
        self.book.names.nodes.values().filter(|(_, heartbeat)| *heartbeat > since).count() > 1
    }

    /// Learns what others wrote, if they wrote anything.
    fn look(&mut self) {
        // Behind a pooler only a transaction has the settings.
        if !self.place.pooled {
            let newest = self.book.tables.session().and_then(|session| self.book.tables.wait(load::newest(session)));
            if newest.is_ok_and(|newest| newest <= self.version) {
                return;
            }
        }
        if let Err(gone) = self.transact(&mut []) {
            tracing::debug!(failure = ?gone.failure, "what other nodes wrote can't be read now");
            self.give_up(&gone.failure);
        }
    }

    /// Calls the other nodes when they have something to hear, and were not called a moment ago.
    fn call_if_due(&mut self) {
        if !self.call.owed || self.call.last.elapsed() < CALL_EVERY {
            return;
        }
        self.call.owed = false;
        self.call.last = Instant::now();
        if let (true, Ok(session)) = (self.has_company(), self.book.tables.session()) {
            let call = format!("NOTIFY {}", self.place.channel());
            // Who hears nothing looks by itself.
            let _ = self.book.tables.wait(session.simple(&call));
        }
    }

    /// Applies a batch; every command has its answer afterwards.
    fn commit(&mut self, batch: &mut [Box<dyn Request>]) {
        for tried in 1..=TRIES {
            let gone = match self.transact(batch) {
                Ok(()) => return self.note_success(),
                Err(gone) => gone,
            };
            if let Some(entry) = gone.unknown {
                match self.was_committed(entry) {
                    Some(true) => return self.note_success(),
                    // What may have been stored is not done once more.
                    None => return self.fail_all(batch, gone.failure),
                    Some(false) => {}
                }
            }
            self.give_up(&gone.failure);
            let passes = error::is_lost(&gone.failure) || error::is_passing(&gone.failure);
            if error::is_full(&gone.failure) || passes && tried == TRIES {
                return self.fail_all(batch, gone.failure);
            }
            if !passes {
                return self.one_by_one(batch, &gone.failure);
            }
            tracing::debug!(failure = ?gone.failure, tried, "the database could not do it; it is tried again");
            let pause = PAUSE * u32::try_from(tried).unwrap_or(1);
            self.book.tables.wait(async { tokio::time::sleep(pause).await });
        }
    }

    fn note_success(&self) {
        self.gauges.away.store(false, Relaxed);
        self.gauges.full.store(false, Relaxed);
    }

    /// Runs each command in a transaction of its own, so that one that fails does not fail the others.
    fn one_by_one(&mut self, batch: &mut [Box<dyn Request>], failure: &Failure) {
        if batch.len() > 1 {
            tracing::warn!(?failure, commands = batch.len(), "a command failed half way; running each by itself");
        }
        for request in batch {
            if let Err(gone) = self.transact(std::slice::from_mut(request)) {
                if let Some(entry) = gone.unknown
                    && self.was_committed(entry) == Some(true)
                {
                    continue;
                }
                self.give_up(&gone.failure);
                tracing::error!(failure = ?gone.failure, "a command failed");
                request.fail(gone.failure.into());
            }
        }
    }

    fn fail_all(&mut self, batch: &mut [Box<dyn Request>], failure: Failure) {
        let full = error::is_full(&failure);
        self.gauges.full.store(full, Relaxed);
        self.gauges.away.store(!full, Relaxed);
        let error = Error::from(failure);
        tracing::warn!(%error, commands = batch.len(), "nothing was stored");
        for request in batch {
            let (kind, message) = (error.kind(), error.message().to_owned());
            request.fail(Error::new(kind, message));
        }
    }

    /// Ends a transaction that failed. What is in memory may have been changed by it.
    fn give_up(&mut self, failure: &Failure) {
        self.book.tables.forget();
        self.version = -1;
        if !error::is_lost(failure) {
            let rolled_back = match self.book.tables.session() {
                Ok(session) => self.book.tables.wait(session.simple("ROLLBACK")).is_ok(),
                Err(_) => true,
            };
            if rolled_back {
                return;
            }
        }
        self.book.tables.replace_session(None);
    }

    /// Whether an entry of the log was committed, though nobody said so; None when that can't be told.
    fn was_committed(&mut self, (version, token): (i64, Uuid)) -> Option<bool> {
        let deadline = Instant::now() + UNKNOWN_MAX;
        self.gauges.away.store(true, Relaxed);
        while Instant::now() < deadline {
            self.book.tables.forget();
            self.version = -1;
            self.book.tables.replace_session(None);
            match self.look_up(version, token) {
                Ok(found) => return found,
                Err(gone) => self.give_up(&gone.failure),
            }
            self.book.tables.wait(async { tokio::time::sleep(PAUSE).await });
        }
        None
    }

    /// Looks an entry up with the pen in hand, so that nobody else writes; the entry that follows keeps a late one out.
    fn look_up(&mut self, version: i64, token: Uuid) -> Result<Option<bool>, Gone> {
        self.begin()?;
        let rows = self.book.tables.read(TOKEN, &[&version])?;
        let (found, oldest): (Option<Uuid>, Option<i64>) = match rows.first() {
            Some(row) => (get(row, 0)?, get(row, 1)?),
            None => (None, None),
        };
        let entry = self.entry(self.version + 1, Uuid::from_bytes(rand::random()), &[])?;
        self.book.tables.commit(entry)?;
        self.version += 1;
        Ok(match found {
            Some(found) => Some(found == token),
            None if oldest.is_some_and(|oldest| oldest > version) => None,
            None => Some(false),
        })
    }

    fn transact(&mut self, batch: &mut [Box<dyn Request>]) -> Result<(), Gone> {
        self.begin()?;
        self.route()?;
        self.prefetch(batch)?;
        let mut kinds = Vec::with_capacity(4);
        for request in batch.iter_mut() {
            if !kinds.contains(&request.kind()) {
                kinds.push(request.kind());
            }
            request.run(&mut self.book)?;
            if fault::planted("answer-before-commit") && request.kind() == Kind::Accept {
                request.answer();
            }
        }
        if fault::planted("answer-before-commit") && kinds.contains(&Kind::Accept) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.end(&kinds)?;
        if fault::planted("emit-outside-transaction") {
            self.begin()?;
            self.book.write_deferred()?;
            self.end(&[])?;
        }
        Ok(())
    }

    /// Gives root events that other nodes accepted to consumers of this one.
    fn route(&mut self) -> Result<(), Gone> {
        if self.unrouted && !self.book.serving.is_empty() {
            let now = self.book.tables.now();
            let routed = control::route_waiting(&mut self.book, now)?;
            self.unrouted = routed >= control::SLICE;
            let woken = self.book.serving.iter().map(|serving| serving.consumer.clone()).collect();
            let _ = self.elsewhere.send(Elsewhere { woken, ..Elsewhere::default() });
        }
        Ok(())
    }

    /// Takes the pen, and learns what others wrote.
    fn begin(&mut self) -> Result<(), Gone> {
        if self.book.tables.session().is_err() {
            self.connect()?;
        }
        let session = self.book.tables.session()?;
        // Who reads everything anew needs no entries.
        let (pen, since) = (self.place.pen(), if self.version < 0 { i64::MAX } else { self.version });
        let (pen, unseen): ([&dyn Bind; 1], [&dyn Bind; 2]) = ([&pen], [&since, &LOG_READ]);
        let rows = self.book.tables.wait(async {
            session.statement(PEN, &pen).await?;
            session.statement(UNSEEN, &unseen).await?;
            let asked = (
                session.begin("ISOLATION LEVEL READ COMMITTED"),
                session.rows(PEN, &pen),
                session.rows(UNSEEN, &unseen),
            );
            let (begun, held, rows) = futures_util::join!(asked.0, asked.1, asked.2);
            begun?;
            held?;
            rows
        })?;
        let mut changes = Vec::new();
        let mut is_whole = self.version >= 0 && (rows.len() as i64) < LOG_READ;
        for row in &rows {
            let version: i64 = get(row, 0)?;
            is_whole &= version == self.version + 1;
            self.version = version;
            if is_whole {
                let facts: &str = get(row, 3)?;
                changes.extend(serde_json::from_str::<Vec<Change>>(facts).map_err(error::unreadable)?);
            }
        }
        if !is_whole {
            return Ok(self.catch_up_anew()?);
        }
        if let Some(row) = rows.last() {
            self.book.ids.skip(get(row, 1)?);
            self.book.backlog = get(row, 2)?;
            self.gauges.backlog.store(self.book.backlog, Relaxed);
            self.book.forget_rows();
            self.unrouted |= changes.contains(&Change::Unrouted);
            let elsewhere = self.book.learn(changes)?;
            let _ = self.elsewhere.send(elsewhere);
        }
        Ok(())
    }

    /// Reads everything as of now.
    fn catch_up_anew(&mut self) -> Try<()> {
        let session = self.book.tables.session()?;
        let (version, last, backlog) = self.book.tables.wait(load::state(session))?;
        self.version = version;
        self.book.ids.skip(last);
        self.book.forget(backlog)?;
        self.unrouted = true;
        self.gauges.backlog.store(backlog, Relaxed);
        let woken = self.book.names.consumers.keys().cloned().collect();
        let _ = self.elsewhere.send(Elsewhere { woken, ..Elsewhere::default() });
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Gone> {
        let (place, heard) = (self.place.clone(), Arc::clone(&self.call.heard));
        let connected = self.book.tables.wait(async {
            let session = open::connect(&place, heard).await?;
            if !place.pooled {
                session.simple(&format!("LISTEN {}", place.channel())).await?;
            }
            Ok::<_, Error>(session)
        });
        match connected {
            Ok(session) => self.book.tables.replace_session(Some(session)),
            Err(error) => return Err(Failure::Away(error).into()),
        }
        Ok(())
    }

    /// Reads what the commands of a batch will ask for, in as few round trips.
    fn prefetch(&mut self, batch: &[Box<dyn Request>]) -> Try<()> {
        if batch.len() < 2 {
            return Ok(());
        }
        let deliveries = batch.iter().filter_map(|request| request.needs().delivery);
        let deliveries: Vec<_> = deliveries.filter(|id| !self.book.is_remembered(*id)).collect();
        self.book.tables.prefetch(&deliveries)?;
        let given = batch.iter().flat_map(|request| request.needs().given.iter().cloned()).collect();
        self.book.tables.prefetch_given(given)
    }

    /// Commits, with an entry in the log when there is anything to tell.
    fn end(&mut self, kinds: &[Kind]) -> Result<(), Gone> {
        let facts = lock(&self.book.turnstile).take_facts();
        let mut changes: Vec<Change> = self.book.tables.take_changes();
        changes.extend(facts.into_iter().map(Change::Turnstile));
        if changes.is_empty() && !self.book.tables.has_written() {
            return self.end_empty();
        }
        let (version, token) = (self.version + 1, Uuid::from_bytes(rand::random()));
        let entry = self.entry(version, token, &changes)?;
        crash_points(kinds, "before");
        let committed = self.book.tables.commit(entry);
        if let Err(stop) = committed {
            let gone = Gone::from(stop);
            let unknown = error::is_lost(&gone.failure).then_some((version, token));
            return Err(Gone { unknown, ..gone });
        }
        self.book.tables.forget_rows();
        self.version = version;
        self.call.owed |= changes.is_empty() || changes.iter().any(Change::is_for_others);
        self.gauges.backlog.store(self.book.backlog, Relaxed);
        self.gauges.commits.fetch_add(1, Relaxed);
        crash_points(kinds, "after");
        Ok(())
    }

    /// Ends a transaction that wrote nothing.
    fn end_empty(&mut self) -> Result<(), Gone> {
        let session = self.book.tables.session()?;
        self.book.tables.wait(session.simple("COMMIT"))?;
        self.book.tables.forget_rows();
        Ok(())
    }

    fn entry(&self, version: i64, token: Uuid, changes: &[Change]) -> Try<Vec<Write>> {
        let facts = serde_json::to_string(changes).map_err(error::unreadable)?;
        let (last, backlog) = (self.book.ids.last(), self.book.backlog);
        let params: Vec<Box<dyn Bind + Send>> =
            vec![Box::new(version), Box::new(token), Box::new(last), Box::new(backlog), Box::new(facts)];
        let mut entry = vec![Write { sql: ENTRY, params, expected: None }];
        if version % (LOG_KEPT / 8) == 0 {
            entry.push(Write { sql: TRIM, params: vec![Box::new(version - LOG_KEPT)], expected: None });
        }
        Ok(entry)
    }
}

impl PostgresBook {
    /// Learns what others changed. Answers what this node has to do by that.
    fn learn(&mut self, changes: Vec<Change>) -> Try<Elsewhere> {
        let (mut names, mut everything, mut woken, mut stopped) = (false, false, Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Turnstile(fact) => woken.extend(lock(&self.turnstile).learn_fact(fact)),
                Change::Due(consumer, due) => match self.names.known_consumer(&consumer) {
                    Some(number) => {
                        self.names.note_due(number, due);
                        woken.push(consumer.to_string());
                    }
                    None => names = true,
                },
                Change::Beat(node, at) => match self.names.nodes.get_mut(&node) {
                    Some((_, heartbeat)) => *heartbeat = at,
                    None => names = true,
                },
                Change::Stopped(delivery) => stopped.push(delivery),
                Change::Unrouted => {}
                Change::Names => names = true,
                Change::Everything => everything = true,
            }
        }
        if names || everything {
            self.names = crate::store::book::tables::Tables::names(&mut self.tables)?;
            woken.extend(self.names.consumers.keys().cloned());
        }
        if everything {
            self.load_turnstile()?;
        }
        woken.sort_unstable();
        woken.dedup();
        Ok(Elsewhere { woken, stopped, gates: names || everything })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a batch has few commands")]
fn measure(took: Duration, commands: usize) {
    metrics::histogram!(STORE_COMMIT_SECONDS).record(took.as_secs_f64());
    metrics::histogram!(STORE_COMMIT_COMMANDS).record(commands as f64);
}

/// Passes the point of each kind that a batch holds.
fn crash_points(kinds: &[Kind], when: &str) {
    for kind in kinds {
        let point = match (kind, when) {
            (Kind::Accept, "before") => "accept.before-commit",
            (Kind::Claim, "before") => "claim.before-commit",
            (Kind::Settle, "before") => "settle.before-commit",
            (Kind::Prune, "before") => "prune.before-commit",
            (Kind::Accept, _) => "accept.after-commit",
            (Kind::Claim, _) => "claim.after-commit",
            (Kind::Settle, _) => "settle.after-commit",
            _ => continue,
        };
        fault::crash_point(point);
    }
}
