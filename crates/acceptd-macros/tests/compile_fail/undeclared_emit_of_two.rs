//! The same with two events in the list.

use acceptd::{Done, Emits, Event, Outcome, consumer};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event("order.placed", no_schema)]
struct OrderPlaced {
    id: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("card.charged", no_schema)]
struct CardCharged {
    id: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("invoice.ready", no_schema)]
struct InvoiceReady {
    id: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("card.declined", no_schema)]
struct CardDeclined {}

#[consumer]
async fn charge(event: OrderPlaced, mut out: Emits<(CardCharged, CardDeclined)>) -> Outcome {
    out.emit(InvoiceReady { id: event.id });
    Done::new()
}

fn main() {}
