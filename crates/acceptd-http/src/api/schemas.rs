//! `GET /schemas/{type}` and `/schemas/{type}/{version}`: the JSON Schema of an event type's data. The `dataschema` of
//! events leads here.

use acceptd::Error;
use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::call::{Answer, Call};

pub(crate) async fn current(call: Call) -> Answer {
    answer(&call, None)
}

pub(crate) async fn version(call: Call) -> Answer {
    let written = call.segment(2)?;
    let version = written.parse().ok().filter(|version: &u32| version.to_string() == written);
    let kind = call.segment(1)?;
    let version = version.ok_or_else(|| Error::not_found("schema of", format!("{kind} in version {written}")))?;
    answer(&call, Some(version))
}

fn answer(call: &Call, version: Option<u32>) -> Answer {
    let schema = call.app.engine.schema(&call.segment(1)?, version)?;
    let mut response = Response::new(Body::from(schema.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/schema+json"));
    // A schema only changes when the server starts anew.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}
