//! Functions that can't be consumers.

use acceptd::{Done, Event, Outcome, consumer};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event("order.placed", no_schema)]
struct OrderPlaced {}

#[consumer]
fn not_async(_event: OrderPlaced) -> Outcome {
    Done::new()
}

#[consumer]
async fn any<T>(_event: T) -> Outcome {
    Done::new()
}

#[consumer]
async fn nothing() -> Outcome {
    Done::new()
}

fn main() {}
