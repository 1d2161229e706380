//! The conformance suite on the store in one SQLite file.

use std::path::PathBuf;
use std::sync::Arc;

use acceptd::Store;
use acceptd::store::sqlite::SqliteStore;
use acceptd_testkit::store::reopen::Reopen;
use tempfile::TempDir;

use crate::suite::block_on;

/// A file of its own, in a folder that goes with it.
pub(crate) struct File {
    path: PathBuf,
    _folder: TempDir,
}

impl File {
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// Not on a disk where the system has memory for files: for what opens very many, and pulls no plug.
    pub(crate) fn quick() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::within(folder.unwrap())
    }

    fn within(folder: TempDir) -> Self {
        Self { path: folder.path().join("acceptd.db"), _folder: folder }
    }
}

impl Reopen for File {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path).unwrap())
    }
}

fn run<F: Future<Output = ()>>(case: impl FnOnce(Arc<dyn Store>) -> F) {
    let file = File::new();
    block_on(case(file.open()));
}

fn run_reopening(case: impl AsyncFnOnce(&dyn Reopen)) {
    let file = File::new();
    block_on(case(&file));
}

acceptd_testkit::store_suite!(run);
acceptd_testkit::reopen_suite!(run_reopening);
