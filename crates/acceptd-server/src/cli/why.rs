//! `acceptd why`: what something waits for, one sentence for each thing that waits, and how much longer it takes.

use std::collections::BTreeMap;

use acceptd::{Clock as _, SystemClock, Timestamp};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::limits::{pause_of, resume_command};
use crate::cli::operations::{forecast, sentence, waiting};
use crate::cli::output::{Console, argument, field, plain, span};
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

/// The limits that something waits for, by name.
type Limits = BTreeMap<String, Value>;

impl Why {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        let (thing, is_operation) = match client.get(&["v1", "operations", &self.id]).await {
            Ok(monitor) => (monitor, true),
            Err(no_operation) if no_operation.exit == Exit::NotFound => {
                let delivery = client.get(&["v1", "deliveries", &self.id]).await;
                (delivery.map_err(|_| no_operation)?, false)
            }
            Err(failure) => return Err(failure),
        };
        let waits: Vec<&Value> = match &thing["waitingOn"] {
            Value::Array(waits) => waits.iter().collect(),
            Value::Null => Vec::new(),
            wait => vec![wait],
        };
        let limits = limits_of(client, &waits).await;
        let explain = if is_operation { explain_operation } else { explain_delivery };
        let Explanation { sentences, is_blocked, hint } = explain(&thing, &waits, &limits);
        let document = json!({
            "id": self.id, "blocked": is_blocked, "why": sentences, "waitingOn": waits,
            "estimatedEndTime": thing["estimatedEndTime"],
        });
        let lines = || sentences.iter().map(|s| plain(s)).chain(forecast(&thing)).collect::<Vec<_>>().join("\n");
        console.document(&document, lines)?;
        if let Some(hint) = hint {
            console.say(hint);
        }
        Ok(if is_blocked { Exit::Blocked } else { Exit::Ok })
    }
}

/// Reads the limits that something waits for: whether they are paused without an end is told only there. One that is
/// gone by now holds nothing.
async fn limits_of(client: &Client, waits: &[&Value]) -> Limits {
    let mut limits = Limits::new();
    for wait in waits.iter().filter(|wait| is_of_limit(wait)) {
        let name = field(wait, "/name");
        if !limits.contains_key(&name)
            && let Ok(limit) = client.get(&["v1", "limits", &name]).await
        {
            limits.insert(name, limit);
        }
    }
    limits
}

fn explain_operation(monitor: &Value, waits: &[&Value], limits: &Limits) -> Explanation {
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
    let blocked = waits.iter().find(|wait| is_blocked(wait, limits));
    Explanation {
        sentences: waits.iter().map(|wait| waiting(wait)).collect(),
        is_blocked: blocked.is_some(),
        hint: match blocked {
            Some(wait) => hint(wait, limits),
            None => waits.iter().find_map(|wait| hint(wait, limits)),
        },
    }
}

fn explain_delivery(delivery: &Value, waits: &[&Value], limits: &Limits) -> Explanation {
    let id = field(delivery, "/id");
    let is_dead = delivery["state"] == "dead";
    let dead = format!("it waits for someone: acceptd dead-letters retry {id}, or discard {id}");
    Explanation {
        sentences: vec![field(delivery, "/why")],
        is_blocked: is_dead || waits.iter().any(|wait| is_blocked(wait, limits)),
        hint: if is_dead { Some(dead) } else { waits.iter().find_map(|wait| hint(wait, limits)) },
    }
}

fn is_of_limit(wait: &Value) -> bool {
    wait["gate"] == "limit" || wait["gate"] == "lock"
}

/// The pause of the limit that something waits for, when that is what holds it.
fn pause<'a>(wait: &Value, limits: &'a Limits) -> Option<&'a Value> {
    pause_of(limits.get(wait["name"].as_str()?).filter(|_| is_of_limit(wait))?, wait["key"].as_str())
}

/// Whether the gate opens only when someone opens it.
fn is_blocked(wait: &Value, limits: &Limits) -> bool {
    match wait["gate"].as_str() {
        Some("no-consumer") => true,
        Some("pause") => wait["until"].is_null(),
        _ => pause(wait, limits).is_some_and(|pause| pause["until"].is_null()),
    }
}

/// What to do about it, or where to see more.
fn hint(wait: &Value, limits: &Limits) -> Option<String> {
    let name = field(wait, "/name");
    match wait["gate"].as_str()? {
        "pause" if wait["until"].is_null() => {
            Some(format!("let it go on: acceptd consumers resume {}", argument(&name)))
        }
        "limit" | "lock" if is_blocked(wait, limits) => {
            let is_whole = limits.get(&name).is_some_and(|limit| !limit["pause"].is_null());
            let key = wait["key"].as_str().filter(|_| !is_whole);
            Some(format!("let it go on: {}", resume_command(&name, key)))
        }
        "limit" | "lock" => {
            let see = || format!("see more: acceptd limits show {}", argument(&name));
            Some(held(wait, SystemClock.now()).unwrap_or_else(see))
        }
        _ => None,
    }
}

/// Who holds a lock, and for how long.
fn held(wait: &Value, now: Timestamp) -> Option<String> {
    let holder = Some(&wait["holder"]).filter(|holder| wait["gate"] == "lock" && !holder.is_null())?;
    let since: Timestamp = field(holder, "/since").parse().ok()?;
    let (consumer, operation) = (field(holder, "/consumer"), field(holder, "/operation"));
    Some(format!("{consumer} has held it for {}: acceptd why {operation}", span(now.since(since))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pause: Value, keys: Value) -> Limits {
        Limits::from([("api".to_owned(), json!({ "name": "api", "key": "/region", "pause": pause, "keys": keys }))])
    }

    fn wait() -> Value {
        json!({ "gate": "limit", "name": "api", "key": "eu", "until": "2026-11-23T14:00:00.000Z", "message": "waits" })
    }

    #[test]
    fn a_limit_that_someone_paused_waits_for_someone() {
        let monitor = json!({ "status": "queued", "done": false });
        let explain = |limits| explain_operation(&monitor, &[&wait()], &limits);
        let open = explain(limits(Value::Null, json!([{ "key": "eu", "pause": null }])));
        assert!(!open.is_blocked);
        assert_eq!(open.hint.as_deref(), Some("see more: acceptd limits show api"));
        let whole = explain(limits(json!({ "until": null, "by": "ann" }), json!([])));
        assert!(whole.is_blocked);
        assert_eq!(whole.hint.as_deref(), Some("let it go on: acceptd limits resume api"));
        let of_key = |key: &str| json!([{ "key": key, "pause": { "until": null, "by": "ann" } }]);
        let own = explain(limits(Value::Null, of_key("eu")));
        assert!(own.is_blocked);
        assert_eq!(own.hint.as_deref(), Some("let it go on: acceptd limits resume api --key eu"));
        assert!(!explain(limits(Value::Null, of_key("us"))).is_blocked);
        let ends = explain(limits(json!({ "until": "2026-11-23T14:00:00.000Z", "by": "target" }), json!([])));
        assert!(!ends.is_blocked, "a pause with an end opens by itself");
        assert_eq!(ends.hint.as_deref(), Some("see more: acceptd limits show api"));
    }

    #[test]
    fn a_lock_names_its_holder() {
        let holder = json!({ "operation": "op-1", "consumer": "start-ec2", "since": "2026-11-23T14:00:00Z" });
        let lock = json!({ "gate": "lock", "name": "start-ec2.lock", "key": "7", "holder": holder });
        let now: Timestamp = "2026-11-23T14:00:22.400Z".parse().unwrap();
        assert_eq!(held(&lock, now).as_deref(), Some("start-ec2 has held it for 22s: acceptd why op-1"));
        assert_eq!(held(&wait(), now), None);
    }
}
