//! `acceptd limits`: list, show, pause, resume, set, reset.

use std::time::Duration;

use acceptd::duration::parse_duration;
use acceptd::limit::Rate;
use acceptd::{Clock as _, SystemClock, Timestamp};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::output::{Console, argument, field, plain};
use crate::exit::{Exit, Result};

mod words;

pub(crate) use words::pause_of;

/// What to do with limits; without anything they are listed.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show everything of a limit, with its keys and who holds its slots
    Show {
        /// The limit
        name: String,
    },
    /// Let nothing more start that a limit holds, until it is resumed
    Pause(Pause),
    /// Let a paused limit go on, whoever paused it
    Resume {
        /// The limit
        name: String,
        /// Only this key of it
        #[arg(long)]
        key: Option<String>,
    },
    /// Change what a limit allows, also after a restart
    Set {
        /// The limit
        name: String,
        #[command(flatten)]
        change: Change,
    },
    /// Take a change back: what is declared holds again
    Reset {
        /// The limit
        name: String,
    },
}

/// What is paused, for how long, and why.
#[derive(Debug, Args)]
struct Pause {
    /// The limit
    name: String,
    /// Only this key of it
    #[arg(long)]
    key: Option<String>,
    /// For how long, such as 10m
    #[arg(long = "for", value_parser = parse_duration, value_name = "DURATION")]
    duration: Option<Duration>,
    /// Until when, such as 2026-11-23T15:00:00Z
    #[arg(long, conflicts_with = "duration", value_name = "TIME")]
    until: Option<Timestamp>,
    /// Why, for whoever asks what deliveries wait for
    #[arg(long)]
    reason: Option<String>,
}

/// What changes; the rest stays as it is.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// How often something may start: 5/s, or "100/m burst 20"
    #[arg(long)]
    rate: Option<Rate>,
    /// Lift the rate
    #[arg(long, conflicts_with = "rate")]
    no_rate: bool,
    /// How many may run at once
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Lift the concurrency
    #[arg(long, conflicts_with = "concurrency")]
    no_concurrency: bool,
}

impl Limits {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        match &self.what {
            None => {
                let limits = client.list(&["v1", "limits"], &[], usize::MAX).await?;
                console.list("limits", &limits, &words::COLUMNS)?;
            }
            Some(What::Show { name }) => {
                let limit = client.get(&["v1", "limits", name]).await?;
                console.document(&limit, || words::describe(&limit))?;
            }
            Some(What::Pause(pause)) => {
                let (name, key) = (&pause.name, pause.key.as_deref());
                let limit = act(client, name, "pause", &pause.body(SystemClock.now())).await?;
                tell(console, &limit)?;
                console.say(format_args!("go on with: {}", resume_command(name, key)));
            }
            Some(What::Resume { name, key }) => {
                let body = key.as_ref().map_or(Value::Null, |key| json!({ "key": key }));
                tell(console, &act(client, name, "resume", &body).await?)?;
            }
            Some(What::Set { name, change }) => {
                let limit = client.act(Method::PATCH, &["v1", "limits", name], &change.body()).await?;
                tell(console, &limit)?;
                console.say(format_args!("take it back with: acceptd limits reset {}", argument(name)));
            }
            Some(What::Reset { name }) => tell(console, &act(client, name, "reset", &Value::Null).await?)?,
        }
        Ok(Exit::Ok)
    }
}

async fn act(client: &Client, name: &str, verb: &str, body: &Value) -> Result<Value> {
    client.act(Method::POST, &["v1", "limits", name, verb], body).await
}

/// Where a limit stands after something was done to it.
fn tell(console: &Console, limit: &Value) -> Result<()> {
    console.document(limit, || plain(&field(limit, "/message")))
}

/// The command that lets a limit go on, or one key of it.
pub(crate) fn resume_command(name: &str, key: Option<&str>) -> String {
    let key = key.map(|key| format!(" --key {}", argument(key))).unwrap_or_default();
    format!("acceptd limits resume {}{key}", argument(name))
}

impl Pause {
    fn body(&self, now: Timestamp) -> Value {
        let until = self.until.or_else(|| Some(now + self.duration?));
        let members = [
            ("key", self.key.clone()),
            ("until", until.map(|until| until.to_string())),
            ("reason", self.reason.clone()),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))).collect()
    }
}

impl Change {
    fn body(&self) -> Value {
        let lifted = |is_lifted: bool| is_lifted.then_some(Value::Null);
        let members = [
            ("rate", self.rate.map(|rate| rate.to_string().into()).or(lifted(self.no_rate))),
            ("concurrency", self.concurrency.map(Value::from).or(lifted(self.no_concurrency))),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: Limits,
    }

    fn parse(arguments: &[&str]) -> Option<What> {
        let line = Line::try_parse_from([&["limits"], arguments].concat()).ok()?;
        line.limits.what
    }

    fn changed(arguments: &[&str]) -> Option<Value> {
        match parse(&[&["set", "api"], arguments].concat())? {
            What::Set { change, .. } => Some(change.body()),
            _ => None,
        }
    }

    #[test]
    fn a_change_says_only_what_changes() {
        assert_eq!(changed(&["--rate", "5/1s"]), Some(json!({ "rate": "5/s" })));
        assert_eq!(changed(&["--no-rate", "--concurrency", "3"]), Some(json!({ "rate": null, "concurrency": 3 })));
        assert_eq!(changed(&["--no-concurrency"]), Some(json!({ "concurrency": null })));
        let wrong: [&[&str]; 4] = [&[], &["--rate", "5/s", "--no-rate"], &["--rate", "fast"], &["--concurrency", "-1"]];
        for wrong in wrong {
            assert_eq!(changed(wrong), None, "{wrong:?}");
        }
    }

    fn paused(arguments: &[&str]) -> Option<Value> {
        match parse(&[&["pause", "api"], arguments].concat())? {
            What::Pause(pause) => Some(pause.body(Timestamp::from_millis(0))),
            _ => None,
        }
    }

    #[test]
    fn a_pause_has_an_end_or_none() {
        assert_eq!(paused(&[]), Some(json!({})));
        assert_eq!(paused(&["--for", "10m"]), Some(json!({ "until": "1970-01-01T00:10:00.000Z" })));
        let until = ["--until", "2026-11-23T15:00:00+01:00", "--key", "", "--reason", "a look"];
        let body = json!({ "key": "", "until": "2026-11-23T14:00:00.000Z", "reason": "a look" });
        assert_eq!(paused(&until), Some(body));
        let wrong: [&[&str]; 2] = [&["--for", "soon"], &["--for", "1m", "--until", "2026-11-23T15:00:00Z"]];
        for wrong in wrong {
            assert_eq!(paused(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_command_to_go_on_names_the_key() {
        assert_eq!(resume_command("api", None), "acceptd limits resume api");
        assert_eq!(resume_command("api", Some("eu west")), "acceptd limits resume api --key 'eu west'");
    }
}
