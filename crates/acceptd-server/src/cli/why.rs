//! `acceptd why`: what something waits for, one sentence for each thing that waits.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::operations::{sentence, waiting};
use crate::cli::output::{Console, field, plain};
use crate::exit::{Exit, Result};

/// Of what.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// An operation or a delivery
    id: String,
}

/// What is to be said, and whether it waits for something that will not come by itself.
struct Explanation {
    sentences: Vec<String>,
    is_blocked: bool,
    hint: Option<String>,
}

impl Why {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        let Explanation { sentences, is_blocked, hint } = match client.get(&["v1", "operations", &self.id]).await {
            Ok(monitor) => explain_operation(&monitor),
            Err(no_operation) if no_operation.exit == Exit::NotFound => {
                let delivery = client.get(&["v1", "deliveries", &self.id]).await;
                explain_delivery(&delivery.map_err(|_| no_operation)?)
            }
            Err(failure) => return Err(failure),
        };
        let document = json!({ "id": self.id, "blocked": is_blocked, "why": sentences });
        console.document(&document, || sentences.iter().map(|s| plain(s)).collect::<Vec<_>>().join("\n"))?;
        if let Some(hint) = hint {
            console.say(hint);
        }
        Ok(if is_blocked { Exit::Blocked } else { Exit::Ok })
    }
}

fn explain_operation(monitor: &Value) -> Explanation {
    let waits: Vec<&Value> = monitor["waitingOn"].as_array().into_iter().flatten().collect();
    let is_failed = monitor["status"] == "failed";
    if monitor["done"] == true || waits.is_empty() {
        let id = field(monitor, "/id");
        let hint = format!("its dead letters wait for someone: acceptd operations retry {id}");
        return Explanation {
            sentences: vec![sentence(monitor)],
            is_blocked: is_failed,
            hint: is_failed.then_some(hint),
        };
    }
    let blocked = waits.iter().find(|wait| is_blocked(wait));
    Explanation {
        sentences: waits.iter().map(|wait| waiting(wait)).collect(),
        is_blocked: blocked.is_some(),
        hint: blocked.and_then(|wait| hint(wait)),
    }
}

fn explain_delivery(delivery: &Value) -> Explanation {
    let (id, wait) = (field(delivery, "/id"), &delivery["waitingOn"]);
    let is_dead = delivery["state"] == "dead";
    let dead = format!("it waits for someone: acceptd dead-letters retry {id}, or discard {id}");
    Explanation {
        sentences: vec![field(delivery, "/why")],
        is_blocked: is_dead || is_blocked(wait),
        hint: if is_dead { Some(dead) } else { hint(wait).filter(|_| is_blocked(wait)) },
    }
}

/// Whether the gate opens only when someone opens it.
fn is_blocked(wait: &Value) -> bool {
    match wait["gate"].as_str() {
        Some("no-consumer") => true,
        Some("pause") => wait["until"].is_null(),
        _ => false,
    }
}

fn hint(wait: &Value) -> Option<String> {
    (wait["gate"] == "pause").then(|| format!("let it go on: acceptd consumers resume {}", field(wait, "/name")))
}
