//! `GET /v1/operations/{id}/items`: what became of each event of a batch, in the order of the request.

use acceptd::delivery::State;
use acceptd::store::{Item, ItemDelivery, ItemState, Listing};
use acceptd::{Data, DeliveryId, Failure, OperationId, Timestamp};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::pages::Pages;
use crate::call::{Answer, Call, json};
use crate::monitor::by_consumer;
use crate::problem::{INVALID_REQUEST, Problem};

/// Pages of the store that are read at most for one page of an answer, when a state leaves much out.
const READS_MAX: usize = 20;

#[derive(Serialize)]
struct ItemDocument<'a> {
    index: u64,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: Option<&'a str>,
    state: ItemState,
    /// As for an operation: a single one is itself, several are an object by consumer name.
    result: Option<Box<RawValue>>,
    /// Of the first delivery that failed.
    error: Option<&'a Failure>,
    deliveries: Vec<DeliveryDocument<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryDocument<'a> {
    id: DeliveryId,
    consumer: &'a str,
    state: State,
    attempt: u32,
    max_attempts: u32,
    since: Timestamp,
    due: Timestamp,
    result: Option<Box<RawValue>>,
    error: Option<&'a Failure>,
}

impl<'a> DeliveryDocument<'a> {
    fn of(one: &'a ItemDelivery) -> Self {
        let delivery = &one.delivery;
        Self {
            id: delivery.id,
            consumer: &delivery.consumer,
            state: delivery.state,
            attempt: delivery.attempts,
            max_attempts: delivery.max_attempts,
            since: delivery.since,
            due: delivery.due,
            result: one.result.as_ref().filter(|_| delivery.state == State::Done).and_then(Data::to_raw_json),
            error: one.failure.as_ref(),
        }
    }
}

pub(crate) async fn list(call: Call) -> Answer {
    let id: OperationId = call.id("operation")?;
    let query = call.query(&["state", "pageToken", "pageSize"])?;
    let state = query.get("state").map(read_state).transpose()?;
    let filters = [Some(id.to_string()), query.owned("state")];
    let filters = filters.each_ref().map(|filter| filter.as_deref());
    let pages = Pages::of("items", &filters, &query)?;
    let (items, next) = full_page(&call, id, state, &pages).await?;
    let ids: Vec<_> = items.iter().map(|item| item.event.id()).collect();
    let documents = items.iter().zip(&ids).map(|(item, id)| document(item, id));
    json(StatusCode::OK, &pages.items(documents.collect(), next))
}

fn document<'a>(item: &'a Item, id: &'a str) -> ItemDocument<'a> {
    let done = item.deliveries.iter().filter(|one| one.delivery.state == State::Done);
    let results = done.filter_map(|one| Some((one.delivery.consumer.as_str(), one.result.as_ref()?)));
    let of_state = |state| item.deliveries.iter().filter(move |one| one.delivery.state == state);
    let failed = of_state(State::Dead).chain(of_state(State::Waiting));
    ItemDocument {
        index: item.index,
        id,
        kind: &item.event.draft.kind,
        subject: item.event.draft.subject.as_deref(),
        state: item.state(),
        result: by_consumer(&results.collect::<Vec<_>>()),
        error: failed.filter_map(|one| one.failure.as_ref()).next(),
        deliveries: item.deliveries.iter().map(DeliveryDocument::of).collect(),
    }
}

fn read_state(word: &str) -> Result<ItemState, Problem> {
    let state = ItemState::ALL.into_iter().find(|state| state.as_str() == word);
    state.ok_or_else(|| {
        let words = ItemState::ALL.map(ItemState::as_str).join(", ");
        INVALID_REQUEST.because(format!("{word:?} is no state of an item; there are {words}"))
    })
}

/// A page of those in a state; the store's pages are joined, within reason.
async fn full_page(
    call: &Call,
    id: OperationId,
    state: Option<ItemState>,
    pages: &Pages,
) -> Result<(Vec<Item>, Option<i64>), Problem> {
    let size = pages.page.size;
    let (mut after, mut items) = (pages.page.before, Vec::new());
    for _ in 0..READS_MAX {
        let Listing { items: read, next } = call.app.engine.store().items(id, after, size).await?;
        let last = read.last().map(|item| item.event.key.ordinal());
        for item in read {
            let place = item.event.key.ordinal();
            if state.is_none_or(|state| item.state() == state) {
                items.push(item);
            }
            if items.len() == size {
                let is_end = next.is_none() && last == Some(place);
                return Ok((items, (!is_end).then_some(place)));
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    Ok((items, after))
}
