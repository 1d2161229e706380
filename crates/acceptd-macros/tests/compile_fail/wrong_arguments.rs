//! Arguments that a consumer can't have, and a return type that says nothing.

use acceptd::{Done, Event, Outcome, Progress, consumer};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event("order.placed", no_schema)]
struct OrderPlaced {}

#[consumer]
async fn takes_a_number(_event: OrderPlaced, _count: u32) -> Outcome {
    Done::new()
}

#[consumer]
async fn takes_no_event(_event: String, _progress: Progress) -> Outcome {
    Done::new()
}

#[consumer]
async fn returns_a_number(_event: OrderPlaced) -> u32 {
    7
}

fn main() {}
