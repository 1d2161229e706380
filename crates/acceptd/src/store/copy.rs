//! Moves a store: everything that a SQLite file holds goes into an empty PostgreSQL schema, and the file is marked.
//!
//! Rows go over as they are, fences, due times and running attempts included; what ran is rescued there by the rules
//! that hold after a crash. The order of the end keeps a store from being in two places: first the file is marked as
//! moved, then the other side commits. Whoever is interrupted between the two copies again; the token in the mark and
//! in the other side's log tells whether that is needed.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::postgres::copy::{Cell, Target, Uncommitted};
use super::sqlite::copy::{Moved, Source, failed};
use crate::clock::{Clock as _, SystemClock};
use crate::{Error, ErrorKind, Result, Timestamp};

mod tables;

use tables::{Kind, TABLES, Table};

/// Rows between two reports of progress.
const SLICE: u64 = 5_000;

/// How far a copy is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What is being copied.
    pub what: &'static str,
    /// Rows of all kinds that were copied.
    pub done: u64,
    /// Rows of all kinds.
    pub total: u64,
}

/// What a copy came to.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The database, without a password.
    pub target: String,
    /// Rows by what they are.
    pub rows: Vec<(&'static str, u64)>,
    /// Texts in which the character NUL became its picture, U+2400, because PostgreSQL can't hold it.
    pub replaced: u64,
    /// When it was copied, if that was before: nothing was done now.
    pub before: Option<Timestamp>,
}

/// Copies the store `from` (`sqlite:FILE`) into the empty one `to` (`postgres://…`), and marks the file as moved, so
/// that no server opens it again. `told` hears of the progress and may stop it. Blocks, so it is not for asynchronous
/// code.
///
/// All of it is there in the end, or nothing and the file is as it was.
///
/// # Errors
/// `InvalidArgument` for other stores, `Locked` and `Conflict` when one of them is in use or `to` is not empty,
/// `ShuttingDown` when `told` stopped it, and both stores' own errors.
pub fn copy(from: &str, to: &str, told: &mut dyn FnMut(Progress) -> ControlFlow<()>) -> Result<Copied> {
    let (Some(("sqlite", file)), Some(("postgres" | "postgresql", _))) = (from.split_once(':'), to.split_once(':'))
    else {
        return Err(Error::invalid("a store is copied from sqlite:FILE to postgres://…, and in no other way"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| {
        Error::new(ErrorKind::Unavailable, "the copy's connection can't be driven").caused_by(cause)
    })?;
    runtime.block_on(run(Path::new(file), to, told))
}

async fn run(file: &Path, to: &str, told: &mut dyn FnMut(Progress) -> ControlFlow<()>) -> Result<Copied> {
    let mut source = Source::lock(file)?;
    let target = Target::open(to).await?;
    let moved = source.moved()?;
    if let Some(moved) = &moved {
        // A mark for another place, or one whose end can't be told any more, says that the store is there.
        let was_copied = if moved.target == target.name() { target.has(moved.token).await? } else { None };
        match was_copied {
            Some(true) => {
                let (target, before) = (moved.target.clone(), Some(moved.at));
                return Ok(Copied { target, rows: Vec::new(), replaced: 0, before });
            }
            Some(false) => {}
            None => return Err(moved.refusal(file)),
        }
    }
    target.clear().await?;
    if moved.is_some() {
        source.take_back()?;
    }
    source.begin()?;
    let (rows, replaced) = copy_all(&source, &target, told).await?;
    let moved = Moved { target: target.name(), at: SystemClock.now(), token: Uuid::from_bytes(rand::random()) };
    target.conclude(source.state()?, moved.token, moved.at).await?;
    source.mark(&moved)?;
    match target.commit().await {
        Ok(()) => Ok(Copied { target: moved.target, rows, replaced, before: None }),
        Err(Uncommitted::Refused(error)) => {
            source.take_back()?;
            Err(error)
        }
        Err(Uncommitted::Unknown(error)) => {
            let message = format!(
                "the connection to {} broke at the very end, so it may hold the copy or nothing: \
                 run the same command again, which finds out",
                moved.target
            );
            Err(Error::new(ErrorKind::Unavailable, message).caused_by(error))
        }
    }
}

/// Rows by what they are, and in how many texts a character was replaced.
type Counts = (Vec<(&'static str, u64)>, u64);

async fn copy_all(
    source: &Source,
    target: &Target,
    told: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Counts> {
    let count = |table: &Table| source.number(&table.count()).map(i64::unsigned_abs);
    let total = TABLES.iter().map(count).sum::<Result<u64>>()?;
    let (mut rows, mut done, mut replaced) = (Vec::with_capacity(TABLES.len()), 0, 0);
    for table in &TABLES {
        let mut tell = |copied: u64| match told(Progress { what: table.what, done: done + copied, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                Err(Error::new(ErrorKind::ShuttingDown, "the copy was stopped: nothing was copied"))
            }
        };
        let copied = copy_table(source, target, table, &mut tell, &mut replaced).await?;
        rows.push((table.what, copied));
        done += copied;
    }
    Ok((rows, replaced))
}

async fn copy_table(
    source: &Source,
    target: &Target,
    table: &Table,
    tell: &mut dyn FnMut(u64) -> Result<()>,
    replaced: &mut u64,
) -> Result<u64> {
    let kinds: Vec<_> = table.columns.iter().map(|(_, _, kind)| kind.to_postgres()).collect();
    let mut filling = target.fill(&table.write(), &kinds).await?;
    let mut sql = source.prepare(&table.read())?;
    let mut rows = sql.query([]).map_err(failed)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let cell = |(at, (_, _, kind)): (usize, &tables::Column)| {
            let value = row.get_ref(at).map_err(failed)?;
            cell(*kind, value, replaced).ok_or_else(|| unreadable(table))
        };
        let cells = table.columns.iter().enumerate().map(cell).collect::<Result<Vec<_>>>()?;
        filling.add(cells).await?;
        count += 1;
        if count % SLICE == 0 {
            tell(count)?;
        }
    }
    let there = filling.end().await?;
    if there != count {
        let message = format!("of {count} {} only {there} went over", table.what);
        return Err(Error::new(ErrorKind::Internal, message));
    }
    tell(count)?;
    Ok(count)
}

/// A value as its column takes it; None for one that no acceptd wrote.
fn cell<'a>(kind: Kind, value: ValueRef<'a>, replaced: &mut u64) -> Option<Cell<'a>> {
    Some(match (kind, value) {
        (_, ValueRef::Null) => Cell::Null,
        (Kind::Bool, ValueRef::Integer(value)) => Cell::Bool(value != 0),
        (Kind::Small, ValueRef::Integer(value)) => Cell::Small(value.try_into().ok()?),
        // Counts of 32 bits without a sign: what is beyond counts as endless anyway.
        (Kind::Int, ValueRef::Integer(value)) => Cell::Int(value.try_into().unwrap_or(i32::MAX)),
        (Kind::Big, ValueRef::Integer(value)) => Cell::Big(value),
        (Kind::Text, ValueRef::Text(value)) => {
            let text = super::postgres::copy::text(std::str::from_utf8(value).ok()?);
            *replaced += u64::from(matches!(text, Cow::Owned(_)));
            Cell::Text(text)
        }
        (Kind::Uuid, ValueRef::Blob(value)) => Cell::Uuid(Uuid::from_slice(value).ok()?),
        (Kind::Bytes, ValueRef::Blob(value)) => Cell::Bytes(value),
        _ => return None,
    })
}

fn unreadable(table: &Table) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the store's file holds {} that can't be read", table.what))
}
