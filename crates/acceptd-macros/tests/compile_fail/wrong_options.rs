//! Options that don't exist, and values that can't be.

use acceptd::{Done, Event, Outcome, consumer};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event("order.placed", no_schema)]
struct OrderPlaced {}

#[consumer(retries = 8)]
async fn unknown(_event: OrderPlaced) -> Outcome {
    Done::new()
}

#[consumer(timeout = "5 minutes")]
async fn no_duration(_event: OrderPlaced) -> Outcome {
    Done::new()
}

#[consumer(lock = "account")]
async fn no_key(_event: OrderPlaced) -> Outcome {
    Done::new()
}

#[consumer(retry = 0)]
async fn no_attempt(_event: OrderPlaced) -> Outcome {
    Done::new()
}

#[consumer(name = "has space")]
async fn no_name(_event: OrderPlaced) -> Outcome {
    Done::new()
}

fn main() {}
