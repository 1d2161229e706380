//! `acceptd notifications`: what owners were told.

use clap::Args;

use crate::cli::client::Client;
use crate::cli::output::{Column, Console, age, field};
use crate::exit::{Exit, Result};

/// Whose notifications.
#[derive(Debug, Args)]
pub(crate) struct Notifications {
    /// Only those of this owner
    #[arg(long)]
    owner: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

const COLUMNS: [Column; 6] = [
    ("OWNER", |notification| field(notification, "/owner")),
    ("LEVEL", |notification| field(notification, "/level")),
    ("TITLE", |notification| field(notification, "/title")),
    ("TEXT", |notification| field(notification, "/text")),
    ("WHEN", |notification| age(notification, "/createTime")),
    ("READ", |notification| if notification["readTime"].is_null() { String::new() } else { "yes".to_owned() }),
];

impl Notifications {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        let query: Vec<_> = self.owner.iter().map(|owner| ("owner", owner.as_str())).collect();
        let notifications = client.list(&["v1", "notifications"], &query, self.limit).await?;
        console.list("notifications", &notifications, &COLUMNS)?;
        Ok(Exit::Ok)
    }
}
