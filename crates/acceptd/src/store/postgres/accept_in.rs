//! Accepting within a transaction of the program's own, from Rust. Other drivers call the function themselves.

use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::place::{SCHEMA, schema_name};
use crate::{Draft, Error, ErrorKind, OperationId, Result, Submission, Timestamp};

/// Accepts an operation with one event, committed with the other rows of this transaction or not at all. Its id is
/// what it will have; a node takes it up soon after the commit. The tables are in the schema `acceptd`.
///
/// An idempotency key counts for all who accept in SQL: its scope must be empty, and the database makes a digest of its
/// own. The trace of the submission becomes the event's.
///
/// # Errors
/// `InvalidArgument` for what can't be submitted in this way, and for what the database refuses, in its words: the
/// transaction is of no use then; `KeyReused`; `Unavailable`.
pub async fn accept_in(transaction: &Transaction<'_>, submission: &Submission) -> Result<OperationId> {
    accept_in_schema(transaction, SCHEMA, submission).await
}

/// The same, with the tables in another schema.
///
/// # Errors
/// As for [`accept_in`].
pub async fn accept_in_schema(
    transaction: &Transaction<'_>,
    schema: &str,
    submission: &Submission,
) -> Result<OperationId> {
    let schema = schema_name(schema)?;
    let sql = format!(
        "SELECT {schema}.accept(type => $1, data => $2::text::jsonb, owner => $3, idempotency_key => $4, \
         at => CASE WHEN $5::bigint IS NULL THEN NULL ELSE to_timestamp($5::bigint / 1000000) \
         + $5::bigint % 1000000 * interval '1 microsecond' END, \
         priority => $6, id => $7, source => $8, subject => $9, extensions => $10::text::jsonb)"
    );
    let draft = the_draft(submission)?;
    let data = draft.data.as_ref().map(|data| text_of(&data.bytes)).transpose()?;
    let extensions = match draft.extensions.is_empty() {
        true => None,
        false => Some(
            serde_json::to_string(&draft.extensions)
                .map_err(|error| Error::invalid("the event's extensions can't be written as JSON").caused_by(error))?,
        ),
    };
    let due = submission.due.map(Timestamp::as_micros);
    let key = submission.idempotency.as_ref().map(|(_, key, _)| key.as_str());
    let (kind, source) = (draft.kind.as_ref(), draft.source.as_ref());
    let (owner, priority) = (submission.owner.as_deref(), i32::from(submission.priority));
    let params: [(&(dyn ToSql + Sync), Type); 10] = [
        (&kind, Type::TEXT),
        (&data, Type::TEXT),
        (&owner, Type::TEXT),
        (&key, Type::TEXT),
        (&due, Type::INT8),
        (&priority, Type::INT4),
        (&draft.id, Type::TEXT),
        (&source, Type::TEXT),
        (&draft.subject, Type::TEXT),
        (&extensions, Type::TEXT),
    ];
    let rows = transaction.query_typed(&sql, &params).await.map_err(refused)?;
    let id: Option<Uuid> = rows.first().and_then(|row| row.try_get(0).ok());
    id.map(Into::into).ok_or_else(|| Error::new(ErrorKind::Internal, "the database answered without an id"))
}

/// The one event, as far as it can be submitted in SQL.
fn the_draft(submission: &Submission) -> Result<Draft> {
    let [draft] = &submission.events[..] else {
        return Err(Error::invalid("within a transaction an operation has exactly one event"));
    };
    if draft.data.as_ref().is_some_and(|data| !data.is_json()) {
        return Err(Error::invalid("within a transaction an event's data is JSON"));
    }
    if draft.dataschema.is_some() || draft.time.is_some() {
        return Err(Error::invalid("within a transaction an event has no dataschema and no time of its own"));
    }
    if submission.idempotency.as_ref().is_some_and(|(scope, ..)| !scope.is_empty()) {
        return Err(Error::invalid("within a transaction the scope of an idempotency key is empty"));
    }
    let mut draft = draft.clone();
    if let (Some(trace), None) = (&submission.trace, draft.trace()) {
        draft.set_trace(trace);
    }
    Ok(draft)
}

fn text_of(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| Error::invalid("the data is not UTF-8").caused_by(error))
}

fn refused(error: tokio_postgres::Error) -> Error {
    let said = error.as_db_error().map(|said| match said.hint() {
        Some(hint) => format!("{} ({hint})", said.message()),
        None => said.message().to_owned(),
    });
    let (kind, message) = match (error.code().map(|code| code.code().to_owned()).as_deref(), said) {
        (Some("22023" | "22P02" | "22P05"), Some(said)) => (ErrorKind::InvalidArgument, said),
        (Some("23505"), Some(said)) => (ErrorKind::KeyReused, said),
        (Some("42501" | "3F000" | "42883"), Some(said)) => (ErrorKind::InvalidArgument, said),
        (_, Some(said)) => (ErrorKind::Unavailable, said),
        (_, None) => (ErrorKind::Unavailable, "the database can't be reached".to_owned()),
    };
    Error::new(kind, message).caused_by(error)
}
