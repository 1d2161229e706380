//! `acceptd dead-letters`: list, retry, accept, discard.

use clap::{Args, Subcommand};

use crate::cli::client::Client;
use crate::cli::operations::sentence;
use crate::cli::output::{Column, Console, age, field};
use crate::exit::{Exit, Result};

/// What to do with dead letters; without anything they are listed.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    what: Option<What>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Try a dead letter again, or all of an operation
    #[command(arg_required_else_help = true)]
    Retry {
        /// The delivery
        #[arg(required_unless_present = "operation")]
        id: Option<String>,
        /// All dead letters of this operation
        #[arg(long, value_name = "ID", conflicts_with = "id")]
        operation: Option<String>,
    },
    /// Accept what a handler had answered: for events that were not declared then, and are now
    Accept {
        /// The delivery
        id: String,
    },
    /// Give a dead letter up for good; it counts as canceled
    Discard {
        /// The delivery
        id: String,
    },
}

const COLUMNS: [Column; 6] = [
    ("DELIVERY", |letter| field(letter, "/id")),
    ("CONSUMER", |letter| field(letter, "/consumer")),
    ("EVENT", |letter| field(letter, "/event/type")),
    ("ATTEMPTS", |letter| field(letter, "/attempt")),
    ("WHEN", |letter| age(letter, "/deadSince")),
    ("ERROR", |letter| field(letter, "/error/message")),
];

impl DeadLetters {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        let path: [&str; 4] = match &self.what {
            None => {
                let letters = client.list(&["v1", "dead-letters"], &[], self.limit).await?;
                console.list("dead letters", &letters, &COLUMNS)?;
                return Ok(Exit::Ok);
            }
            Some(What::Retry { operation: Some(id), .. }) => ["v1", "operations", id, "retry"],
            Some(What::Retry { id, .. }) => ["v1", "dead-letters", id.as_deref().unwrap_or_default(), "retry"],
            Some(What::Accept { id }) => ["v1", "dead-letters", id, "accept"],
            Some(What::Discard { id }) => ["v1", "dead-letters", id, "discard"],
        };
        let monitor = client.post(&path).await?;
        console.document(&monitor, || sentence(&monitor))?;
        Ok(Exit::Ok)
    }
}
