//! `/v1/dead-letters`: deliveries that gave up, until someone retries or discards them.

use acceptd::store::{DeadLetter, DeadLetters};
use acceptd::{Data, Failure, Timestamp};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::documents::{DeliveryDocument, EventDocument};
use super::operations::respond;
use super::pages::Pages;
use crate::call::{Answer, Call, json};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeadLetterDocument<'a> {
    #[serde(flatten)]
    delivery: DeliveryDocument<'a>,
    dead_since: Timestamp,
    error: Option<&'a Failure>,
    /// What the handler had answered, when that is why.
    outcome: Option<Box<RawValue>>,
    event: EventDocument<'a>,
}

impl<'a> DeadLetterDocument<'a> {
    fn of(letter: &'a DeadLetter) -> Self {
        Self {
            delivery: DeliveryDocument::of(&letter.delivery),
            dead_since: letter.delivery.since,
            error: letter.attempt.as_ref().and_then(|attempt| attempt.failure.as_ref()),
            outcome: letter.outcome.as_ref().and_then(Data::to_raw_json),
            event: EventDocument::of(&letter.event),
        }
    }
}

/// `GET /v1/dead-letters`: newest first.
pub(crate) async fn list(call: Call) -> Answer {
    let query = call.query(&["pageToken", "pageSize"])?;
    let pages = Pages::of("dead-letters", &[], &query)?;
    let listing = call.app.engine.store().dead_letters(pages.page).await?;
    let items = listing.items.iter().map(DeadLetterDocument::of).collect();
    json(StatusCode::OK, &pages.items(items, listing.next))
}

/// `POST /v1/dead-letters/{delivery}/retry`.
pub(crate) async fn retry(call: Call) -> Answer {
    let monitor = call.app.engine.retry(DeadLetters::Delivery(call.id("delivery")?)).await?;
    respond(&call, &monitor).await
}

/// `POST /v1/dead-letters/{delivery}/accept`: the delivery ends with the outcome that was kept.
pub(crate) async fn accept(call: Call) -> Answer {
    let monitor = call.app.engine.accept_outcome(call.id("delivery")?).await?;
    respond(&call, &monitor).await
}

/// `POST /v1/dead-letters/{delivery}/discard`.
pub(crate) async fn discard(call: Call) -> Answer {
    let monitor = call.app.engine.discard(call.id("delivery")?).await?;
    respond(&call, &monitor).await
}
