//! An event that the signature does not list, with one event in the list and with none.

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

#[consumer]
async fn charge(event: OrderPlaced, mut out: Emits<(CardCharged,)>) -> Outcome {
    out.emit(CardCharged { id: event.id.clone() });
    out.emit(InvoiceReady { id: event.id });
    Done::new()
}

#[consumer]
async fn declines(event: OrderPlaced, mut out: Emits<()>) -> Outcome {
    out.emit(InvoiceReady { id: event.id });
    Done::new()
}

fn main() {}
