//! `GET /v1/operations/{id}/chain`: the story of an operation.

use http::StatusCode;

use crate::call::{Answer, Call, json};

pub(crate) async fn get(call: Call) -> Answer {
    let story = call.app.engine.story(call.id("operation")?).await?;
    json(StatusCode::OK, &story)
}
