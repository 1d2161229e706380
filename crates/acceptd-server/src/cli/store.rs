//! `acceptd store`: what is done to a store while no server uses it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use acceptd::store::copy::{Copied, Progress, copy};
use acceptd::{ErrorKind, Timestamp};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::output::{Column, Console, field};
use crate::exit::{Exit, Failure, Result};

/// What to do with a store.
#[derive(Debug, Args)]
pub(crate) struct StoreCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Move a backlog from a SQLite file into an empty PostgreSQL database; both must be out of use
    Copy {
        /// The store to copy: sqlite:FILE. It is marked as moved, so that nobody serves it again
        from: String,
        /// Where it goes: postgres://USER@HOST/DATABASE
        to: String,
    },
}

const COLUMNS: [Column; 2] = [("WHAT", |row| field(row, "/what")), ("ROWS", |row| field(row, "/rows"))];

impl StoreCommand {
    pub(crate) async fn run(self, console: &Console) -> Result {
        let What::Copy { from, to } = self.what;
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, live) = (Arc::clone(&stop), console.is_live());
        let copying = tokio::task::spawn_blocking(move || {
            let bar = if live { bar() } else { ProgressBar::hidden() };
            let copied = copy(&from, &to, &mut |progress| tell(&bar, progress, &asked));
            bar.finish_and_clear();
            copied
        });
        let signals = tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.store(true, Relaxed);
            }
        });
        let ended = copying.await.map_err(Failure::error)?;
        signals.abort();
        match ended {
            Ok(copied) => report(&copied, console),
            Err(error) if error.kind() == ErrorKind::ShuttingDown => Err(Failure::new(Exit::Interrupted, error)),
            Err(error) => Err(error.into()),
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} rows, {eta} left: {msg}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn tell(bar: &ProgressBar, progress: Progress, stop: &AtomicBool) -> ControlFlow<()> {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
    bar.set_message(progress.what);
    if stop.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn report(copied: &Copied, console: &Console) -> Result {
    let Copied { target, rows, replaced, before } = copied;
    if let Some(at) = before {
        console.say(already(target, *at));
        return Ok(Exit::Ok);
    }
    let rows: Vec<Value> = rows.iter().map(|(what, rows)| json!({ "what": what, "rows": rows })).collect();
    console.list("rows", &rows, &COLUMNS)?;
    if *replaced > 0 {
        console.say(format_args!("{replaced} texts held the character NUL, which is ␀ there"));
    }
    console.say(format_args!("everything is in {target}; the file is marked and not served again"));
    Ok(Exit::Ok)
}

fn already(target: &str, at: Timestamp) -> String {
    format!("it was moved to {target} at {at}; nothing is left to copy")
}
