//! What can't be an event.

use acceptd::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
struct Unnamed {}

#[derive(Event, Serialize, Deserialize)]
#[event("order placed")]
struct HasSpace {}

#[derive(Event, Serialize, Deserialize)]
#[event("order.placed", version = 0)]
struct Zeroth {}

#[derive(Event, Serialize, Deserialize)]
#[event("order.placed", key = order_id, no_schema)]
struct NoSuchField {
    id: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("order.placed", schema = false)]
struct Unknown {}

#[derive(Event, Serialize, Deserialize)]
#[event("order.placed")]
struct NoSchema {}

fn main() {}
