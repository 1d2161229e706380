//! A store that moves from a SQLite file to PostgreSQL.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use acceptd::store::copy::{Copied, Progress, copy};
use acceptd::store::postgres::PostgresStore;
use acceptd::store::sqlite::{Options, SqliteStore};
use acceptd::{Result, Store};
use acceptd_testkit::servers::postgres::Postgres;
use acceptd_testkit::servers::{Server, available};
use acceptd_testkit::store::reopen::Reopen;
use tempfile::TempDir;

use crate::suite::block_on;

mod backlog;
mod refusals;

/// A file, and a schema that it moves to.
pub(crate) struct Places {
    file: PathBuf,
    to: String,
    opened: AtomicUsize,
    _folder: TempDir,
}

impl Places {
    /// None where there is no PostgreSQL, which is said loudly.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let to = available(Server::Postgres).then(|| Postgres::careless().fresh())?;
        Some(Self { file: folder.path().join("acceptd.db"), to, opened: AtomicUsize::new(0), _folder: folder })
    }

    fn from(&self) -> String {
        format!("sqlite:{}", self.file.display())
    }

    fn file(&self) -> Arc<dyn Store> {
        Arc::new(self.try_file().unwrap())
    }

    fn try_file(&self) -> Result<SqliteStore> {
        SqliteStore::open_with(&self.file, Options { log_kib: 0, ..Options::default() })
    }

    fn schema(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.to).unwrap())
    }

    /// Moves everything; `told` hears of each report and may stop it.
    fn copy_telling(&self, mut told: impl FnMut(Progress) -> ControlFlow<()> + Send) -> Result<Copied> {
        // It drives a runtime of its own, so it must not be on a thread that drives another.
        let move_it = || copy(&self.from(), &self.to, &mut told);
        std::thread::scope(|threads| threads.spawn(move_it).join().unwrap())
    }

    fn copy(&self) -> Result<Copied> {
        self.copy_telling(|_| ControlFlow::Continue(()))
    }

    /// What psql says of the schema's tables.
    fn ask(&self, sql: &str) -> String {
        let schema = self.to.split("schema=").nth(1).unwrap();
        Postgres::careless().sql(&format!("SET search_path TO {schema}; {sql}"))
    }
}

/// Whoever opens it a second time finds it moved.
impl Reopen for Places {
    fn open(&self) -> Arc<dyn Store> {
        match self.opened.fetch_add(1, Ordering::Relaxed) {
            0 => return self.file(),
            1 => drop(self.copy().unwrap()),
            _ => {}
        }
        self.schema()
    }
}

fn run_moving(case: impl AsyncFnOnce(&dyn Reopen)) {
    if let Some(places) = Places::new() {
        block_on(case(&places));
    }
}

// What holds after a store was closed and opened again holds after it moved.
acceptd_testkit::reopen_suite!(run_moving);
