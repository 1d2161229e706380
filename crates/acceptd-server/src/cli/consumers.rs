//! `acceptd consumers`: list, pause, resume.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::output::{Column, Console, age, field};
use crate::exit::{Exit, Result};

/// What to do with consumers; without anything they are listed.
#[derive(Debug, Args)]
pub(crate) struct Consumers {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let a consumer start nothing more until it is resumed
    Pause {
        /// The consumer
        name: String,
        /// Why, for whoever asks what its deliveries wait for
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a paused consumer go on
    Resume {
        /// The consumer
        name: String,
    },
}

const COLUMNS: [Column; 7] = [
    ("NAME", |consumer| field(consumer, "/name")),
    ("ON", |consumer| list(&consumer["on"])),
    ("TARGET", |consumer| field(consumer, "/address")),
    ("WAITING", |consumer| field(consumer, "/waiting")),
    ("RUNNING", |consumer| field(consumer, "/running")),
    ("OLDEST", |consumer| age(consumer, "/waitingSince")),
    ("PAUSED", pause),
];

impl Consumers {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        match &self.what {
            None => {
                let consumers = client.list(&["v1", "consumers"], &[], usize::MAX).await?;
                console.list("consumers", &consumers, &COLUMNS)?;
            }
            Some(What::Pause { name, reason }) => {
                let body = reason.as_ref().map_or(Value::Null, |reason| json!({ "reason": reason }));
                let consumer = client.act(Method::POST, &["v1", "consumers", name, "pause"], &body).await?;
                console.document(&consumer, || format!("{name} is paused"))?;
                console.say(format_args!("go on with: acceptd consumers resume {name}"));
            }
            Some(What::Resume { name }) => {
                let consumer = client.act(Method::POST, &["v1", "consumers", name, "resume"], &Value::Null).await?;
                console.document(&consumer, || format!("{name} goes on"))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn pause(consumer: &Value) -> String {
    if consumer["paused"] != true {
        return String::new();
    }
    let (by, reason) = (field(consumer, "/pause/by"), field(consumer, "/pause/reason"));
    if reason.is_empty() { format!("by {by}") } else { format!("by {by}: {reason}") }
}

fn list(items: &Value) -> String {
    let items = items.as_array().into_iter().flatten().filter_map(Value::as_str);
    items.collect::<Vec<_>>().join(", ")
}
