//! Reading everything there is through the API, at the end of a run.

use serde_json::Value;

use super::http::Client;
use super::ledger::{ApiEntry, Delivery, Event, Ledgers, Operation, Record, is_end};

/// Every operation's id, by turning all pages.
pub async fn list(client: &mut Client) -> Vec<String> {
    let rows = pages(client, "/v1/operations?pageSize=200").await;
    rows.iter().map(|row| text(&row["id"])).collect()
}

/// How many operations have not ended.
pub async fn count_live(client: &mut Client) -> usize {
    let mut live = 0;
    for status in ["queued", "running"] {
        live += pages(client, &format!("/v1/operations?pageSize=200&status={status}")).await.len();
    }
    live
}

/// Writes down every operation with its chain, and every notification.
pub async fn write_down(client: &mut Client, ledgers: &Ledgers) {
    for id in list(client).await {
        let operation = operation(client, &id).await;
        ledgers.api.add(ApiEntry::Final(operation));
    }
    for notification in pages(client, "/v1/notifications?pageSize=200").await {
        ledgers.api.add(ApiEntry::Notification { operation: text(&notification["operation"]) });
    }
}

/// One operation with its chain.
pub async fn operation(client: &mut Client, id: &str) -> Operation {
    let monitor = get(client, &format!("/v1/operations/{id}")).await;
    let chain = get(client, &format!("/v1/operations/{id}/chain")).await;
    let mut operation = Operation {
        id: text(&monitor["id"]),
        status: text(&monitor["status"]),
        owner: monitor["owner"].as_str().map(str::to_owned),
        ..Operation::default()
    };
    for event in list_of(&chain["events"]) {
        let id = text(&event["id"]);
        let cause = event["causationId"].as_str().map(str::to_owned);
        operation.deliveries.extend(list_of(&event["deliveries"]).iter().map(|row| delivery(row, &id)));
        operation.events.push(Event { id, kind: text(&event["type"]), cause });
    }
    assert_eq!(is_end(&operation.status), monitor["done"] == true, "{monitor}");
    operation
}

fn delivery(row: &Value, event: &str) -> Delivery {
    let record = |row: &Value| Record { fence: row["fence"].as_u64().expect("a fence"), ending: text(&row["ending"]) };
    Delivery {
        id: text(&row["id"]),
        event: event.to_owned(),
        consumer: text(&row["consumer"]),
        state: text(&row["state"]),
        attempts: list_of(&row["attempts"]).iter().map(record).collect(),
    }
}

async fn pages(client: &mut Client, path: &str) -> Vec<Value> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = get(client, &format!("{path}{token}")).await;
        all.extend(list_of(&page["items"]).iter().cloned());
        match page["nextPageToken"].as_str() {
            Some(next) if !next.is_empty() => token = format!("&pageToken={next}"),
            _ => return all,
        }
    }
}

async fn get(client: &mut Client, path: &str) -> Value {
    let answer = client.get(path).await.unwrap_or_else(|error| panic!("GET {path}: {error}"));
    assert_eq!(answer.status, 200, "GET {path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_else(|| panic!("{value} is no list"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
