//! Writes the write-ahead log back into the file beside the writer, so that no caller waits for it.
//!
//! A passive checkpoint never blocks the writer. Under steady load it never quite catches up either, so the log would
//! grow: past `checkpoint_pages` the writer itself writes back the rest, which is little then, and the log starts anew.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use super::open;
use super::writer::Gauges;

/// How long it rests between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// The thread; it ends with [`Checkpointer::stop`].
pub(super) struct Checkpointer {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts it. None when the system gives no thread: the writer then does everything.
    pub(super) fn start(path: PathBuf, gauges: Arc<Gauges>) -> Option<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::Builder::new().name("acceptd-ckpt".to_owned());
        let thread = thread.spawn(move || work(&path, &gauges, &stop)).ok()?;
        Some(Self { stopping, thread })
    }

    /// Ends it and waits until it has closed its connection.
    pub(super) fn stop(self) {
        self.stopping.store(true, Relaxed);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

fn work(path: &std::path::Path, gauges: &Gauges, stop: &AtomicBool) {
    let conn = match open::checkpointer(path) {
        Ok(conn) => conn,
        Err(error) => return tracing::warn!(%error, "checkpoints are left to the writer"),
    };
    let mut seen = 0;
    while !stop.load(Relaxed) {
        let commits = gauges.commits.load(Relaxed);
        if commits != seen && !gauges.broken.load(Relaxed) {
            seen = commits;
            // What fails here is tried again with the next look, and nothing is lost: the log is the truth.
            if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                tracing::warn!(%error, "the write-ahead log could not be written back");
            }
        }
        std::thread::park_timeout(EVERY);
    }
}
