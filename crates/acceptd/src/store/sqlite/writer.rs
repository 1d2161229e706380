//! The one thread that writes. Whatever commands are waiting go into one transaction with one fsync, and each caller
//! gets its own answer after the commit.
//!
//! A command checks before it writes, so a refusal costs the others nothing. When one fails half way, the transaction
//! is rolled back and all of them run again, each behind a savepoint. A full disk fails the whole transaction and
//! nothing else; any other failure to write ends the writer: what the disk holds is not known then.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Book;
use super::error::{self, Stop, Try};
use crate::telemetry::{STORE_COMMIT_COMMANDS, STORE_COMMIT_SECONDS};
use crate::{Error, Result, fault};

/// What a command is, as far as crash points and planted bugs are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Accept,
    Claim,
    Settle,
    Prune,
    Other,
}

/// What the writer tells everybody without being asked.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) backlog: AtomicI64,
    pub(super) broken: AtomicBool,
    pub(super) full: AtomicBool,
    /// Transactions that wrote something.
    pub(super) commits: AtomicU64,
}

/// A command on its way through the writer.
pub(super) trait Request: Send {
    /// What it is.
    fn kind(&self) -> Kind;
    /// Does its work and keeps the answer; may be called again after a rollback.
    fn run(&mut self, book: &mut Book<'_>) -> Ran;
    /// Puts this error in place of the answer.
    fn fail(&mut self, error: Error);
    /// Gives the answer to the caller. What comes back takes the effect back, when the caller is gone.
    fn answer(&mut self) -> Option<Box<dyn Request>>;
}

/// How running a command went.
pub(super) enum Ran {
    /// It has an answer, which may be a refusal.
    Answered,
    /// The database failed.
    Broken(rusqlite::Error),
}

/// Takes back what was done for a caller that is gone.
type Undo<T> = fn(T) -> Box<dyn Request>;

struct Command<T, F> {
    kind: Kind,
    run: F,
    answer: Option<Result<T>>,
    caller: Option<oneshot::Sender<Result<T>>>,
    undo: Option<Undo<T>>,
}

impl<T: Send, F: FnMut(&mut Book<'_>) -> Try<T> + Send> Request for Command<T, F> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, book: &mut Book<'_>) -> Ran {
        let changes = book.tables.conn.total_changes();
        match (self.run)(book) {
            Ok(answer) => self.answer = Some(Ok(answer)),
            Err(Stop::Refused(error)) => {
                self.answer = Some(Err(error));
                if book.tables.conn.total_changes() != changes {
                    return Ran::Broken(rusqlite::Error::InvalidQuery);
                }
            }
            Err(Stop::HalfWay(error)) => {
                tracing::warn!(%error, "a command stopped half way");
                return Ran::Broken(rusqlite::Error::InvalidQuery);
            }
            Err(Stop::Broken(error)) => return Ran::Broken(error),
        }
        Ran::Answered
    }

    fn fail(&mut self, error: Error) {
        self.answer = Some(Err(error));
    }

    fn answer(&mut self) -> Option<Box<dyn Request>> {
        let (caller, answer) = (self.caller.take()?, self.answer.take()?);
        match (caller.send(answer), self.undo) {
            (Err(Ok(unheard)), Some(undo)) => Some(undo(unheard)),
            _ => None,
        }
    }
}

/// A command and where its answer will come from.
pub(super) fn command<T, F>(
    kind: Kind,
    run: F,
    undo: Option<Undo<T>>,
) -> (Box<dyn Request>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: FnMut(&mut Book<'_>) -> Try<T> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    (Box::new(Command { kind, run, answer: None, caller: Some(caller), undo }), answer)
}

/// A command that nobody waits for.
pub(super) fn unheard<F>(kind: Kind, run: F) -> Box<dyn Request>
where
    F: FnMut(&mut Book<'_>) -> Try<()> + Send + 'static,
{
    Box::new(Command { kind, run, answer: None, caller: None, undo: None })
}

/// Works until every sender is gone.
pub(super) fn work(
    conn: &Connection,
    mut book: Book<'_>,
    gauges: &Gauges,
    mut commands: mpsc::Receiver<Box<dyn Request>>,
    batch_max: usize,
) {
    let mut batch: Vec<Box<dyn Request>> = Vec::with_capacity(batch_max);
    loop {
        if batch.is_empty() && commands.blocking_recv_many(&mut batch, batch_max) == 0 {
            return;
        }
        while batch.len() < batch_max {
            let Ok(next) = commands.try_recv() else { break };
            batch.push(next);
        }
        let started = Instant::now();
        if gauges.broken.load(Relaxed) {
            fail_all(&mut batch, error::poisoned);
        } else {
            commit(conn, &mut book, gauges, &mut batch);
            measure(started.elapsed(), batch.len());
        }
        let unheard: Vec<_> = batch.iter_mut().filter_map(|request| request.answer()).collect();
        batch.clear();
        batch.extend(unheard);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a batch has few commands")]
fn measure(took: Duration, commands: usize) {
    metrics::histogram!(STORE_COMMIT_SECONDS).record(took.as_secs_f64());
    metrics::histogram!(STORE_COMMIT_COMMANDS).record(commands as f64);
}

/// Applies a batch in one transaction; every command has its answer afterwards.
fn commit(conn: &Connection, book: &mut Book<'_>, gauges: &Gauges, batch: &mut [Box<dyn Request>]) {
    let backlog = gauges.backlog.load(Relaxed);
    let changes = conn.total_changes();
    let mut done = transact(conn, book, batch, false);
    if let Err(error) = &done
        && !error::is_full(error)
        && !error::is_fatal(error)
    {
        tracing::warn!(%error, commands = batch.len(), "a command failed half way; running each by itself");
        done = roll_back(conn, book, backlog).and_then(|()| transact(conn, book, batch, true));
    }
    match done {
        Ok(()) => {
            gauges.backlog.store(book.backlog, Relaxed);
            if conn.total_changes() != changes {
                gauges.full.store(false, Relaxed);
                gauges.commits.fetch_add(1, Relaxed);
            }
        }
        Err(error) => {
            let rolled_back = roll_back(conn, book, backlog);
            if error::is_full(&error) && rolled_back.is_ok() {
                tracing::warn!("the disk is full: nothing was stored");
                gauges.full.store(true, Relaxed);
                fail_all(batch, error::full);
            } else {
                tracing::error!(%error, "the store failed to write and takes nothing more");
                gauges.broken.store(true, Relaxed);
                fail_all(batch, error::poisoned);
            }
        }
    }
}

fn fail_all(batch: &mut [Box<dyn Request>], error: fn() -> Error) {
    batch.iter_mut().for_each(|request| request.fail(error()));
}

fn roll_back(conn: &Connection, book: &mut Book<'_>, backlog: i64) -> rusqlite::Result<()> {
    if !conn.is_autocommit() {
        conn.prepare_cached("ROLLBACK")?.execute([])?;
    }
    forget(book, backlog)
}

/// Drops what a rollback may have made untrue.
fn forget(book: &mut Book<'_>, backlog: i64) -> rusqlite::Result<()> {
    match book.forget(backlog) {
        Err(Stop::Broken(error)) => Err(error),
        // Reading refuses nothing.
        _ => Ok(()),
    }
}

fn transact(
    conn: &Connection,
    book: &mut Book<'_>,
    batch: &mut [Box<dyn Request>],
    one_by_one: bool,
) -> rusqlite::Result<()> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut kinds = Kinds::default();
    for request in batch.iter_mut() {
        kinds.add(request.kind());
        match one_by_one {
            true => run_alone(conn, book, request.as_mut())?,
            false => {
                if let Ran::Broken(error) = request.run(book) {
                    return Err(error);
                }
            }
        }
        if fault::planted("answer-before-commit") && request.kind() == Kind::Accept {
            request.answer();
        }
    }
    if fault::planted("answer-before-commit") && kinds.accept {
        std::thread::sleep(Duration::from_millis(20));
    }
    kinds.crash_points(["accept.before-commit", "claim.before-commit", "settle.before-commit", "prune.before-commit"]);
    conn.prepare_cached("COMMIT")?.execute([])?;
    kinds.crash_points(["accept.after-commit", "claim.after-commit", "settle.after-commit", ""]);
    if fault::planted("emit-outside-transaction") {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        if let Err(Stop::Broken(error)) = book.write_deferred() {
            return Err(error);
        }
        conn.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(())
}

/// Runs a command behind a savepoint: when it fails, the others don't notice.
fn run_alone(conn: &Connection, book: &mut Book<'_>, request: &mut dyn Request) -> rusqlite::Result<()> {
    let backlog = book.backlog;
    conn.prepare_cached("SAVEPOINT command")?.execute([])?;
    if let Ran::Broken(error) = request.run(book) {
        if error::is_full(&error) || error::is_fatal(&error) {
            return Err(error);
        }
        conn.prepare_cached("ROLLBACK TO command")?.execute([])?;
        forget(book, backlog)?;
        tracing::error!(%error, "a command failed");
        request.fail(error::failed(error));
    }
    conn.prepare_cached("RELEASE command")?.execute([])?;
    Ok(())
}

/// Which kinds of commands a batch holds.
#[derive(Debug, Default)]
struct Kinds {
    accept: bool,
    claim: bool,
    settle: bool,
    prune: bool,
}

impl Kinds {
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Accept => self.accept = true,
            Kind::Claim => self.claim = true,
            Kind::Settle => self.settle = true,
            Kind::Prune => self.prune = true,
            Kind::Other => {}
        }
    }

    /// Passes the point of each kind that the batch holds.
    fn crash_points(&self, points: [&'static str; 4]) {
        let held = [self.accept, self.claim, self.settle, self.prune];
        for (point, _) in points.into_iter().zip(held).filter(|(_, is_held)| *is_held) {
            fault::crash_point(point);
        }
    }
}
