//! A schema that is filled with the rows of another store. Everything is one transaction under the pen: before its end
//! nothing is there, and no node writes meanwhile.

use bytes::BytesMut;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::change::Change;
use super::error::{self, Try};
use super::place::Place;
use super::row::get;
pub(in crate::store) use super::row::text;
use super::session::{Bind, Session};
use super::{load, open};
use crate::{Error, ErrorKind, Result, Timestamp};

/// A node that was heard of within so many microseconds is alive.
const SILENCE: i64 = 60_000_000;

/// What holds for this one transaction: it takes as long as it takes.
const PATIENT: &str = "SET LOCAL statement_timeout TO 0; SET LOCAL idle_in_transaction_session_timeout TO '5min'";
const PEN: &str = "SELECT pg_advisory_xact_lock($1)";
const ALIVE: &str = "SELECT name FROM nodes WHERE heartbeat > $1 LIMIT 1";
const IN_USE: &str = "SELECT EXISTS (SELECT 1 FROM operations) OR EXISTS (SELECT 1 FROM events) \
    OR EXISTS (SELECT 1 FROM every_delivery) OR EXISTS (SELECT 1 FROM attempts) OR EXISTS (SELECT 1 FROM results) \
    OR EXISTS (SELECT 1 FROM steps) OR EXISTS (SELECT 1 FROM notifications) OR EXISTS (SELECT 1 FROM idempotency) \
    OR EXISTS (SELECT 1 FROM observations) OR EXISTS (SELECT 1 FROM holds)";
/// What a server that had nothing to do yet leaves.
const CLEAR: &str = "DELETE FROM serving; DELETE FROM closures; DELETE FROM nodes; DELETE FROM consumers; \
    DELETE FROM limit_keys; DELETE FROM limits";
/// What a sequence was set to stays after a rollback, so it is only ever raised.
const NUMBERS: &str = "SELECT setval(s, greatest(nextval(s), highest)) FROM (VALUES \
    (pg_get_serial_sequence('consumers', 'id')::regclass, (SELECT max(id) FROM consumers)), \
    (pg_get_serial_sequence('nodes', 'id')::regclass, (SELECT max(id) FROM nodes)), \
    (pg_get_serial_sequence('closures', 'id')::regclass, (SELECT max(id) FROM closures))) AS u(s, highest)";

/// A value of a column.
#[derive(Debug)]
pub(in crate::store) enum Cell<'a> {
    Null,
    Bool(bool),
    Small(i16),
    Int(i32),
    Big(i64),
    Text(std::borrow::Cow<'a, str>),
    Uuid(Uuid),
    Bytes(&'a [u8]),
}

impl ToSql for Cell<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(value) => value.to_sql(kind, out),
            Self::Small(value) => value.to_sql(kind, out),
            Self::Int(value) => value.to_sql(kind, out),
            Self::Big(value) => value.to_sql(kind, out),
            Self::Text(value) => value.as_ref().to_sql(kind, out),
            Self::Uuid(value) => value.to_sql(kind, out),
            Self::Bytes(value) => value.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// How a commit failed.
pub(in crate::store) enum Uncommitted {
    /// Nothing was stored.
    Refused(Error),
    /// It may have been.
    Unknown(Error),
}

/// A schema whose pen is held.
pub(in crate::store) struct Target {
    session: Session,
    place: Place,
}

impl Target {
    /// Connects, creates the tables where there are none, and takes the pen.
    ///
    /// # Errors
    /// As for opening a store; `InvalidArgument` for a pooler.
    pub(in crate::store) async fn open(url: &str) -> Result<Self> {
        let place = Place::of(url)?;
        if place.pooled {
            let message = "a copy goes straight to the database, not through a pooler: name the database's own port, \
                without pooler=transaction";
            return Err(Error::invalid(message));
        }
        let session = open::connect(&place, std::sync::Arc::default()).await?;
        open::migrate(&session, &place).await?;
        session.begin("").await?;
        session.simple(PATIENT).await?;
        session.rows(PEN, &[&place.pen()]).await?;
        Ok(Self { session, place })
    }

    /// The place in words, without a password.
    pub(in crate::store) fn name(&self) -> String {
        format!("{} (schema {})", self.place.name(), self.place.schema)
    }

    /// Whether the copy with this token was committed here; None when that can't be told any more.
    pub(in crate::store) async fn has(&self, token: Uuid) -> Result<Option<bool>> {
        let sql = "SELECT coalesce(bool_or(token = $1), false), coalesce(min(version), 1) = 1 FROM log";
        let Some(row) = self.session.row(sql, &[&token]).await? else { return Ok(None) };
        let (found, whole): (bool, bool) = (get(&row, 0)?, get(&row, 1)?);
        Ok((found || whole).then_some(found))
    }

    /// Checks that nobody uses the schema, and makes room.
    ///
    /// # Errors
    /// `Conflict` when a node is alive or there are operations.
    pub(in crate::store) async fn clear(&self) -> Result<()> {
        let name = self.name();
        let since = load::time(&self.session).await?.as_micros() - SILENCE;
        if let Some(row) = self.session.row(ALIVE, &[&since]).await? {
            let node: &str = get(&row, 0)?;
            let message = format!("{name} is in use by the node {node}: stop it, and copy a minute later");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let in_use = self.session.row(IN_USE, &[]).await?.map(|row| get(&row, 0)).transpose()?;
        if in_use != Some(false) {
            let message = format!("{name} holds operations already: name another schema, such as ?schema=acceptd_2");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(self.session.simple(CLEAR).await?)
    }

    /// Begins to fill a table.
    pub(in crate::store) async fn fill(&self, sql: &str, kinds: &[Type]) -> Result<Filling> {
        Ok(Filling(Box::pin(self.session.copy_in(sql, kinds).await?)))
    }

    /// Ends what every node has to know: numbers go on after the copied ones, the store's time goes on from `now`, and
    /// the log begins with the last ordinal and the backlog.
    pub(in crate::store) async fn conclude(
        &self,
        (last, backlog): (i64, i64),
        token: Uuid,
        now: Timestamp,
    ) -> Result<()> {
        self.session.rows(NUMBERS, &[]).await?;
        let sql = "UPDATE clock SET skew = CASE WHEN abs(u.off) < 250000 THEN 0 ELSE u.off END \
            FROM (SELECT $1 - (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS off) u";
        self.session.execute(sql, &[&now.as_micros()]).await?;
        let facts = serde_json::to_string(&[Change::Everything]).map_err(error::unreadable)?;
        let sql = "INSERT INTO log (version, token, last, backlog, facts) \
            SELECT coalesce(max(version), 0) + 1, $1, greatest(max(last), $2), $3, $4 FROM log";
        let params: [&dyn Bind; 4] = [&token, &last, &backlog, &facts];
        self.session.execute(sql, &params).await?;
        Ok(())
    }

    /// Makes all of it be there.
    pub(in crate::store) async fn commit(&self) -> std::result::Result<(), Uncommitted> {
        let committed: Try<()> = self.session.simple("COMMIT").await;
        committed.map_err(|stop| match stop {
            error::Stop::Broken(failure) if error::is_lost(&failure) => Uncommitted::Unknown(failure.into()),
            stop => Uncommitted::Refused(stop.into()),
        })
    }
}

/// A table that is being filled.
pub(in crate::store) struct Filling(std::pin::Pin<Box<tokio_postgres::binary_copy::BinaryCopyInWriter>>);

impl Filling {
    /// Adds a row.
    pub(in crate::store) async fn add(&mut self, row: Vec<Cell<'_>>) -> Result<()> {
        let added: Try<()> = self.0.as_mut().write_raw(row).await.map_err(Into::into);
        Ok(added?)
    }

    /// Ends it. Answers how many rows there are.
    ///
    /// # Errors
    /// `Conflict` for two rows with one key.
    pub(in crate::store) async fn end(mut self) -> Result<u64> {
        let ended = self.0.as_mut().finish().await;
        if let Some(twice) = ended.as_ref().err().and_then(|error| error.as_db_error())
            && *twice.code() == SqlState::UNIQUE_VIOLATION
        {
            let table = twice.table().unwrap_or("a table");
            let message = format!(
                "two rows of {table} would have the same key: without the character NUL, which PostgreSQL can't hold"
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let ended: Try<u64> = ended.map_err(Into::into);
        Ok(ended?)
    }
}
