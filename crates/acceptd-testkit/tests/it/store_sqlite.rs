//! The conformance suite on the SQLite store, in a file that goes with the test.

use std::path::PathBuf;
use std::sync::Arc;

use acceptd::Store;
use acceptd::store::sqlite::SqliteStore;
use acceptd_testkit::store::reopen::Reopen;

use crate::suite::block_on;

fn run<F: Future<Output = ()>>(case: impl FnOnce(Arc<dyn Store>) -> F) {
    let directory = tempfile::tempdir().unwrap();
    block_on(case(Arc::new(SqliteStore::open(directory.path().join("store.db")).unwrap())));
}

acceptd_testkit::store_suite!(run);

struct Place(PathBuf);

impl Reopen for Place {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.0).unwrap())
    }
}

fn run_reopening(case: impl AsyncFnOnce(&dyn Reopen)) {
    let directory = tempfile::tempdir().unwrap();
    let place = Place(directory.path().join("store.db"));
    block_on(case(&place));
}

acceptd_testkit::reopen_suite!(run_reopening);
