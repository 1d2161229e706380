//! `acceptd operations items`: what became of each item of a batch.

use clap::Args;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::output::{Column, Console, cut, field};
use crate::exit::{Exit, Result};

/// The longest result or error that a table shows.
const SHOWN_MAX: usize = 60;

/// Of which operation.
#[derive(Debug, Args)]
pub(super) struct Items {
    /// The operation
    id: String,
    /// Only those in this state
    #[arg(long, value_parser = ["queued", "running", "succeeded", "failed", "canceled"])]
    state: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

const COLUMNS: [Column; 6] = [
    ("ITEM", |item| field(item, "/index")),
    ("EVENT", |item| field(item, "/id")),
    ("STATE", |item| field(item, "/state")),
    ("ATTEMPTS", attempts),
    ("RESULT", |item| cut(field(item, "/result"), SHOWN_MAX)),
    ("ERROR", |item| cut(field(item, "/error/message"), SHOWN_MAX)),
];

impl Items {
    pub(super) async fn run(&self, client: &Client, console: &Console) -> Result {
        let query: Vec<_> = self.state.iter().map(|state| ("state", state.as_str())).collect();
        // One more than is shown says whether there are more.
        let read = self.limit.saturating_add(1);
        let mut items = client.list(&["v1", "operations", &self.id, "items"], &query, read).await?;
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        console.list("items", &items, &COLUMNS)?;
        if has_more {
            console.say(format_args!("these are the first {}; see more with --limit", self.limit));
        }
        Ok(Exit::Ok)
    }
}

/// The attempts of each delivery, of how many it has.
fn attempts(item: &Value) -> String {
    let deliveries = item["deliveries"].as_array().into_iter().flatten();
    let each = deliveries.map(|one| format!("{}/{}", field(one, "/attempt"), field(one, "/maxAttempts")));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attempts_are_counted_for_each_delivery() {
        let item = json!({ "deliveries": [{ "attempt": 3, "maxAttempts": 8 }, { "attempt": 0, "maxAttempts": 1 }] });
        assert_eq!(attempts(&item), "3/8, 0/1");
        assert_eq!(attempts(&json!({ "deliveries": [] })), "");
    }
}
