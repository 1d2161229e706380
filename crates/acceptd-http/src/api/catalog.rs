//! `GET /v1/catalog`: every event type, consumer and limit, and the edges between them, declared and seen.

use http::StatusCode;

use crate::call::{Answer, Call, json};
use crate::problem::INVALID_REQUEST;

/// Days that are looked back on when the query does not say.
const DAYS: u32 = 30;
/// The most days: counts are kept for less.
const DAYS_MAX: u32 = 3_650;

/// `?days=7` looks back on this day and the six before.
pub(crate) async fn get(call: Call) -> Answer {
    let days = match call.query(&["days"])?.get("days") {
        None => DAYS,
        Some(text) => text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days)).ok_or_else(|| {
            INVALID_REQUEST.because(format!("days must be a whole number from 1 to {DAYS_MAX}, not {text:?}"))
        })?,
    };
    json(StatusCode::OK, &call.app.engine.catalog(days).await?)
}
