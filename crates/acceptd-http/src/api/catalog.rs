//! `GET /v1/catalog`: every event type and consumer, and the edges between them.

use http::StatusCode;

use crate::call::{Answer, Call, json};

pub(crate) async fn get(call: Call) -> Answer {
    json(StatusCode::OK, &call.app.engine.declared())
}
