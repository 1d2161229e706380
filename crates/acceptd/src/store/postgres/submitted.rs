//! Operations that were submitted in SQL, see `0002_accept.sql`: how a node finds them, takes them up, and shows those
//! that no node has taken yet.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::error::{Stop, Try};
use super::request::PostgresBook;
use super::row::{self, every, get, id, instant, instant_maybe, text};
use super::session::Session;
use super::{items, query};
use crate::store::book::take;
use crate::store::{
    Chain, ConsumerResult, GroupCount, IdempotencyKey, Item, Listing, OperationView, Submitted, Take, TakeSubmitted,
    Taken,
};
use crate::{Data, Draft, ErrorKind, JSON, NodeId, Operation, OperationId, Timestamp};

/// Whose the keys of those are who accept in SQL; `0002_accept.sql` has the same.
const SCOPE: &str = "\u{1}sql";
/// How long a key is kept of an operation that was canceled before a node took it.
const KEY_KEPT: Duration = Duration::from_secs(24 * 3600);

macro_rules! submitted_columns {
    () => {
        "s.operation, s.kind, s.data, s.owner, s.priority, s.due, s.created, s.source, s.given_id, s.subject, \
         s.extensions, s.key, s.fingerprint"
    };
}

/// The oldest of each range of types `[$1, $2)`, at most `$3` of all.
pub(super) const WAITING: &str = concat!(
    "SELECT ",
    submitted_columns!(),
    " FROM (SELECT DISTINCT f.ordinal FROM unnest($1, $2) AS u(low, high) CROSS JOIN LATERAL \
     (SELECT x.ordinal FROM submitted x WHERE x.kind >= u.low AND x.kind < u.high \
     ORDER BY x.kind, x.ordinal LIMIT $3) f ORDER BY f.ordinal LIMIT $3) w \
     JOIN submitted s ON s.ordinal = w.ordinal ORDER BY s.ordinal"
);
const TAKE: &str = concat!("DELETE FROM submitted s WHERE s.ordinal = ANY($1) RETURNING ", submitted_columns!());
const ONE: &str = concat!("SELECT ", submitted_columns!(), " FROM submitted s WHERE s.ordinal = $1");
const KNOW: &str = "INSERT INTO types (name) SELECT * FROM unnest($1) ON CONFLICT DO NOTHING";

/// Adds names and patterns of event types to those that `accept` takes.
pub(super) fn know_types(book: &mut PostgresBook, types: &[String]) -> Try<()> {
    let known: Vec<String> = every(&book.tables.read("SELECT name FROM types", &[])?, |row| get(row, 0))?;
    let mut new: Vec<String> = types.iter().map(|name| text(name).into_owned()).collect();
    new.retain(|name| !known.contains(name));
    match new.is_empty() {
        true => Ok(()),
        false => book.tables.execute(KNOW, &[&new]),
    }
}

/// Those whose event one of these patterns takes.
pub(super) async fn waiting(session: &Session, patterns: &[String], max: usize) -> Try<Vec<Submitted>> {
    let (low, high): (Vec<_>, Vec<_>) = patterns.iter().map(|pattern| range(pattern)).unzip();
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    every(&session.rows(WAITING, &[&low, &high, &max]).await?, submitted)
}

/// The types that a pattern takes, from the first to before the second. No type has a control character in it.
fn range(pattern: &str) -> (String, String) {
    match pattern.strip_suffix('*') {
        Some(prefix) => (format!("{prefix}\u{1}"), format!("{prefix}\u{10ffff}")),
        None => (pattern.to_owned(), format!("{pattern}\u{1}")),
    }
}

fn submitted(row: &Row) -> Try<Submitted> {
    let data = get::<Option<Vec<u8>>>(row, 2)?.map(|bytes| Data::new(JSON, bytes));
    let idempotency = match (get::<Option<String>>(row, 11)?, get::<Option<&[u8]>>(row, 12)?) {
        (Some(key), Some(digest)) => {
            let fingerprint = digest.try_into().map_err(|_| super::error::unreadable("a digest has 32 bytes"))?;
            Some(IdempotencyKey { scope: SCOPE.to_owned(), key, fingerprint, expires: Timestamp::MAX })
        }
        _ => None,
    };
    let draft = Draft {
        source: Cow::Owned(get(row, 7)?),
        id: get(row, 8)?,
        subject: get(row, 9)?,
        data,
        extensions: row::json_maybe::<BTreeMap<String, String>>(row, 10)?.unwrap_or_default(),
        ..Draft::new(get::<String>(row, 1)?)
    };
    Ok(Submitted {
        id: id(row, 0)?,
        draft,
        owner: get(row, 3)?,
        priority: i8::try_from(get::<i16>(row, 4)?).unwrap_or_default(),
        due: instant_maybe(row, 5)?,
        created: instant(row, 6)?,
        idempotency,
    })
}

/// Takes those that no other node took.
pub(super) fn take_all(book: &mut PostgresBook, all: &TakeSubmitted) -> Try<Vec<Taken>> {
    let ordinals: Vec<i64> = all.takes.iter().map(|take| take.submitted.id.ordinal()).collect();
    let rows = book.tables.read(TAKE, &[&ordinals])?;
    let mine: HashSet<OperationId> = rows.iter().map(|row| id(row, 0)).collect::<Try<_>>()?;
    let mut taken = Vec::with_capacity(mine.len());
    for one in all.takes.iter().filter(|one| mine.contains(&one.submitted.id)) {
        taken.extend(take::take(book, one, (all.node, all.now)).map_err(half_way)?);
    }
    Ok(taken)
}

/// Takes one that is to be canceled, with nobody to work on it.
pub(super) fn take_to_cancel(book: &mut PostgresBook, id: OperationId, now: Timestamp) -> Try<()> {
    match book.operation(id) {
        Err(Stop::Refused(error)) if error.kind() == ErrorKind::NotFound => {}
        other => return other.map(drop),
    }
    let rows = book.tables.read(TAKE, &[&vec![id.ordinal()]])?;
    let Some(mut submitted) = rows.first().map(submitted).transpose()? else { return Ok(()) };
    if submitted.id != id {
        return Err(Stop::HalfWay(crate::Error::not_found("operation", id)));
    }
    if let Some(key) = &mut submitted.idempotency {
        key.expires = now + KEY_KEPT;
    }
    let one = Take { submitted, routes: Vec::new(), refused: None };
    take::take(book, &one, (NodeId::from(Uuid::nil()), now)).map(drop).map_err(half_way)
}

/// Its row is deleted by then: it must be taken whole, or nothing of it may stay.
fn half_way(stop: Stop) -> Stop {
    match stop {
        Stop::Refused(error) => Stop::HalfWay(error),
        broken => broken,
    }
}

/// What a read says, or if there is no such operation, what is said of one that waits to be taken.
async fn or_waiting<T>(
    session: &Session,
    id: OperationId,
    found: Try<T>,
    waiting: impl FnOnce(Operation) -> T,
) -> Try<T> {
    let missing = match found {
        Err(Stop::Refused(error)) if error.kind() == ErrorKind::NotFound => error,
        found => return found,
    };
    let row = session.row(ONE, &[&id.ordinal()]).await?;
    let submitted = row.as_ref().map(submitted).transpose()?.filter(|submitted| submitted.id == id);
    let Some(Submitted { draft, owner, priority, created, .. }) = submitted else { return Err(missing.into()) };
    let operation = Operation::new(id, draft.kind.into_owned(), owner, priority, created);
    Ok(waiting(Operation { unrouted: 1, ..operation }))
}

pub(super) async fn operation(session: &Session, id: OperationId) -> Try<OperationView> {
    let found = query::operation(session, id).await;
    or_waiting(session, id, found, |operation| OperationView { operation, live: Vec::new() }).await
}

pub(super) async fn results(session: &Session, id: OperationId) -> Try<Vec<ConsumerResult>> {
    let found = query::results(session, id).await;
    or_waiting(session, id, found, |_| Vec::new()).await
}

pub(super) async fn chain(session: &Session, id: OperationId) -> Try<Chain> {
    let found = query::chain(session, id).await;
    let bare = |operation| Chain {
        operation,
        events: Vec::new(),
        deliveries: Vec::new(),
        attempts: Vec::new(),
        closures: Vec::new(),
        result_sizes: BTreeMap::new(),
    };
    or_waiting(session, id, found, bare).await
}

pub(super) async fn items(session: &Session, id: OperationId, after: Option<i64>, size: usize) -> Try<Listing<Item>> {
    let found = items::items(session, id, after, size).await;
    or_waiting(session, id, found, |_| Listing { items: Vec::new(), next: None }).await
}

pub(super) async fn groups(session: &Session, id: OperationId) -> Try<Vec<GroupCount>> {
    let found = items::groups(session, id).await;
    or_waiting(session, id, found, |_| Vec::new()).await
}
