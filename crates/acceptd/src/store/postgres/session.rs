//! One connection: statements are prepared once, and those that don't need each other's answers share a round trip.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;
#[cfg(feature = "sqlite")]
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use super::error::Try;

/// A value for a parameter, and the type that the statement has for it.
pub(super) trait Bind: ToSql + Sync {
    /// The parameter's type.
    fn kind(&self) -> Type;
}

macro_rules! bind {
    ($($rust:ty: $one:ident, $many:ident);* $(;)?) => {
        $(
            impl Bind for $rust {
                fn kind(&self) -> Type {
                    Type::$one
                }
            }
            impl Bind for Option<$rust> {
                fn kind(&self) -> Type {
                    Type::$one
                }
            }
            impl Bind for Vec<$rust> {
                fn kind(&self) -> Type {
                    Type::$many
                }
            }
            impl Bind for Vec<Option<$rust>> {
                fn kind(&self) -> Type {
                    Type::$many
                }
            }
        )*
    };
}

bind! {
    bool: BOOL, BOOL_ARRAY;
    i16: INT2, INT2_ARRAY;
    i32: INT4, INT4_ARRAY;
    i64: INT8, INT8_ARRAY;
    String: TEXT, TEXT_ARRAY;
    &str: TEXT, TEXT_ARRAY;
    Vec<u8>: BYTEA, BYTEA_ARRAY;
    &[u8]: BYTEA, BYTEA_ARRAY;
    Uuid: UUID, UUID_ARRAY;
}

/// A statement with its parameters.
pub(super) type Ask<'a> = (&'static str, &'a [&'a dyn Bind]);

/// A connection to the server.
pub(super) struct Session {
    client: Client,
    /// Statements by their text; None behind a pooler, where a prepared one may be another connection's.
    prepared: Option<Mutex<HashMap<&'static str, Statement>>>,
    /// Settings, which hold for the session, or behind a pooler for each transaction.
    settings: String,
}

impl Session {
    /// A session on a connection; `pooled` when a pooler may give each transaction another server process.
    pub(super) async fn new(client: Client, pooled: bool, settings: String) -> Try<Self> {
        if !pooled {
            client.batch_execute(&settings).await?;
        }
        Ok(Self { client, prepared: (!pooled).then(Mutex::default), settings })
    }

    /// Begins a transaction of this kind: with an isolation level, or as the server does.
    pub(super) async fn begin(&self, kind: &str) -> Try<()> {
        match self.prepared.is_some() {
            true => self.simple(&format!("BEGIN {kind}")).await,
            false => self.simple(&format!("BEGIN {kind}; {}", self.settings)).await,
        }
    }

    /// Whether the connection is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Statements without parameters or answers.
    pub(super) async fn simple(&self, sql: &str) -> Try<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// The rows of a query.
    pub(super) async fn rows(&self, sql: &'static str, params: &[&dyn Bind]) -> Try<Vec<Row>> {
        let Some(statement) = self.statement(sql, params).await? else {
            let typed: Vec<_> = params.iter().map(|one| (*one as &(dyn ToSql + Sync), one.kind())).collect();
            return Ok(self.client.query_typed(sql, &typed).await?);
        };
        let params: Vec<_> = params.iter().map(|one| *one as &(dyn ToSql + Sync)).collect();
        Ok(self.client.query(&statement, &params).await?)
    }

    /// The first row of a query.
    pub(super) async fn row(&self, sql: &'static str, params: &[&dyn Bind]) -> Try<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// The way into a table for rows in binary form, of columns of these types.
    #[cfg(feature = "sqlite")]
    pub(super) async fn copy_in(&self, sql: &str, kinds: &[Type]) -> Try<BinaryCopyInWriter> {
        Ok(BinaryCopyInWriter::new(self.client.copy_in(sql).await?, kinds))
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(&self, sql: &'static str, params: &[&dyn Bind]) -> Try<u64> {
        let Some(statement) = self.statement(sql, params).await? else {
            let typed: Vec<_> = params.iter().map(|one| (*one as &(dyn ToSql + Sync), one.kind())).collect();
            return Ok(self.client.execute_typed(sql, &typed).await?);
        };
        let params: Vec<_> = params.iter().map(|one| *one as &(dyn ToSql + Sync)).collect();
        Ok(self.client.execute(&statement, &params).await?)
    }

    /// The rows of several queries, asked in one round trip.
    pub(super) async fn all(&self, asks: &[Ask<'_>]) -> Try<Vec<Vec<Row>>> {
        for (sql, params) in asks {
            self.statement(sql, params).await?;
        }
        try_join_all(asks.iter().map(|(sql, params)| self.rows(sql, params))).await
    }

    /// A statement that is prepared, once; None behind a pooler.
    pub(super) async fn statement(&self, sql: &'static str, params: &[&dyn Bind]) -> Try<Option<Statement>> {
        let Some(prepared) = &self.prepared else { return Ok(None) };
        let known = prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let kinds: Vec<_> = params.iter().map(|one| one.kind()).collect();
        let statement = self.client.prepare_typed(sql, &kinds).await?;
        prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
        Ok(Some(statement))
    }
}
