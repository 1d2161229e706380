//! `acceptd operations`: list, show, items, cancel, retry. Here is also how an operation is put into words.

use acceptd::{Clock as _, SystemClock, Timestamp};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::output::{Column, Console, age, field, plain, span};
use crate::exit::{Exit, Result};

mod items;

/// Which operations, and what to do with them.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Operations {
    #[command(subcommand)]
    what: Option<What>,
    /// Show one
    id: Option<String>,
    /// Only those in this status
    #[arg(long, value_parser = ["queued", "running", "succeeded", "failed", "canceled"])]
    status: Option<String>,
    /// Only those of this event type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only those of this owner
    #[arg(long)]
    owner: Option<String>,
    /// Only those with a root event of this id
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what became of each item of a batch, in the order of the request
    Items(items::Items),
    /// Cancel everything of an operation that has not ended
    Cancel {
        /// The operation
        id: String,
    },
    /// Retry all dead letters of an operation
    Retry {
        /// The operation
        id: String,
    },
}

const COLUMNS: [Column; 6] = [
    ("ID", |operation| field(operation, "/id")),
    ("TYPE", |operation| field(operation, "/type")),
    ("STATUS", |operation| field(operation, "/status")),
    ("PROGRESS", progress),
    ("OWNER", |operation| field(operation, "/owner")),
    ("CREATED", |operation| age(operation, "/createTime")),
];

impl Operations {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        if let Some(what) = &self.what {
            let (verb, id) = match what {
                What::Items(items) => return items.run(client, console).await,
                What::Cancel { id } => ("cancel", id),
                What::Retry { id } => ("retry", id),
            };
            let monitor = client.post(&["v1", "operations", id, verb]).await?;
            console.document(&monitor, || sentence(&monitor))?;
        } else if let Some(id) = &self.id {
            let monitor = client.get(&["v1", "operations", id]).await?;
            console.document(&monitor, || describe(&monitor))?;
        } else {
            let filters =
                [("status", &self.status), ("type", &self.kind), ("owner", &self.owner), ("eventId", &self.event_id)];
            let query: Vec<_> = filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
            let operations = client.list(&["v1", "operations"], &query, self.limit).await?;
            console.list("operations", &operations, &COLUMNS)?;
        }
        Ok(Exit::Ok)
    }
}

/// How much of it is done, and how much failed.
pub(crate) fn progress(monitor: &Value) -> String {
    let count = |path| monitor.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let (done, failed, total) = (count("/progress/done"), count("/progress/failed"), count("/progress/total"));
    if failed > 0 { format!("{done}/{total}, {failed} failed") } else { format!("{done}/{total}") }
}

/// An operation in one sentence: what it is, how it stands, why it failed.
pub(crate) fn sentence(monitor: &Value) -> String {
    let count = |name: &str| monitor["progress"][name].as_u64().unwrap_or(0);
    let (kind, status) = (field(monitor, "/type"), field(monitor, "/status"));
    let mut text = format!("{kind} {status}: {} of {} done", count("done"), count("total"));
    if count("failed") > 0 {
        text.push_str(&format!(", {} failed", count("failed")));
    }
    let message = field(monitor, "/progress/message");
    let error = field(monitor, "/error/message");
    if !error.is_empty() {
        text.push_str(&format!("; {error}"));
    } else if !message.is_empty() && monitor["done"] != true {
        text.push_str(&format!("; {message}"));
    }
    plain(&text)
}

/// How much longer it takes, as far as that can be told: `about 1m40s left`.
pub(crate) fn forecast(monitor: &Value) -> Option<String> {
    forecast_at(monitor, SystemClock.now())
}

fn forecast_at(monitor: &Value, now: Timestamp) -> Option<String> {
    let end: Timestamp = field(monitor, "/estimatedEndTime").parse().ok()?;
    let left = end.since(now);
    (monitor["done"] != true && !left.is_zero()).then(|| format!("about {} left", span(left)))
}

/// Sentences about an operation with how much longer it takes.
pub(crate) fn with_forecast(sentence: String, monitor: &Value) -> String {
    forecast(monitor).into_iter().fold(sentence, |sentence, left| format!("{sentence}, {left}"))
}

/// The exit code for how an operation stands.
pub(crate) fn ending(monitor: &Value) -> Exit {
    match monitor["status"].as_str() {
        Some("failed" | "canceled") => Exit::Unsuccessful,
        _ => Exit::Ok,
    }
}

fn describe(monitor: &Value) -> String {
    let facts = [
        ("id", field(monitor, "/id")),
        ("type", field(monitor, "/type")),
        ("status", field(monitor, "/status")),
        ("owner", field(monitor, "/owner")),
        ("created", age(monitor, "/createTime")),
        ("started", age(monitor, "/startTime")),
        ("ended", age(monitor, "/endTime")),
        ("progress", format!("{} ({}%)", progress(monitor), field(monitor, "/progress/percent"))),
        ("message", field(monitor, "/progress/message")),
        ("estimate", forecast(monitor).unwrap_or_default()),
        ("result", field(monitor, "/result")),
        ("error", field(monitor, "/error/message")),
    ];
    let line = |(name, value): (&str, String)| (!value.is_empty()).then(|| format!("{name:<9} {}", plain(&value)));
    let mut lines: Vec<_> = facts.into_iter().filter_map(line).collect();
    let waits = monitor["waitingOn"].as_array().into_iter().flatten();
    lines.extend(waits.map(|wait| format!("{:<9} {}", "waits", plain(&waiting(wait)))));
    lines.join("\n")
}

/// A wait in one sentence; several deliveries that wait for the same say how many.
pub(crate) fn waiting(wait: &Value) -> String {
    let message = field(wait, "/message");
    match wait["count"].as_u64() {
        Some(count) if count > 1 => format!("{message} ({count} deliveries)"),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_is_told_as_long_as_something_is() {
        let now = Timestamp::from_millis(1_763_866_800_000);
        let monitor =
            |end: Option<&str>, done: bool| json!({ "done": done, "estimatedEndTime": end, "status": "running" });
        let left = |end, done| forecast_at(&monitor(end, done), now);
        assert_eq!(left(Some("2025-11-23T03:01:40.900Z"), false).as_deref(), Some("about 1m40s left"));
        assert_eq!(left(Some("2025-11-23T03:01:40.900Z"), true), None);
        assert_eq!(left(Some("2025-11-23T02:59:59.000Z"), false), None);
        assert_eq!(left(None, false), None);
    }

    #[test]
    fn a_wait_says_how_many_wait() {
        assert_eq!(waiting(&json!({ "message": "waits", "count": 1 })), "waits");
        assert_eq!(waiting(&json!({ "message": "waits", "count": 30 })), "waits (30 deliveries)");
    }
}
