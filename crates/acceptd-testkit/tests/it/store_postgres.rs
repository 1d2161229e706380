//! The conformance suite on the store in PostgreSQL.

use std::sync::Arc;

use acceptd::Store;
use acceptd::store::postgres::PostgresStore;
use acceptd_testkit::servers::postgres::Postgres;
use acceptd_testkit::servers::{Server, available};
use acceptd_testkit::store::reopen::Reopen;

use crate::suite::block_on;

/// A schema of its own.
pub(crate) struct Schema(String);

impl Schema {
    /// None where there is no PostgreSQL, which is said loudly.
    pub(crate) fn new() -> Option<Self> {
        available(Server::Postgres).then(|| Self(Postgres::careless().fresh()))
    }
}

impl Reopen for Schema {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.0).unwrap())
    }
}

fn run<F: Future<Output = ()>>(case: impl FnOnce(Arc<dyn Store>) -> F) {
    if let Some(schema) = Schema::new() {
        block_on(case(schema.open()));
    }
}

fn run_reopening(case: impl AsyncFnOnce(&dyn Reopen)) {
    if let Some(schema) = Schema::new() {
        block_on(case(&schema));
    }
}

acceptd_testkit::store_suite!(run);
acceptd_testkit::reopen_suite!(run_reopening);
