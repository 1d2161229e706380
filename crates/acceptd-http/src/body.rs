//! Reading a request's body: never more than allowed, never for longer than allowed, and copied only when it comes in
//! parts.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::problem::{CONTENT_TOO_LARGE, INVALID_REQUEST, Problem, REQUEST_TIMEOUT};

/// Reads a body of at most as many bytes as `max` says of its beginning.
pub(crate) async fn read(body: Body, max: impl Fn(&[u8]) -> usize, within: Duration) -> Result<Bytes, Problem> {
    // The client may have said how much will come: what no beginning allows is refused before any of it is taken.
    let most = max(&[]);
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let reading = tokio::time::timeout(within, read_frames(body, max));
    reading.await.unwrap_or_else(|_| {
        let seconds = within.as_secs();
        Err(REQUEST_TIMEOUT.because(format!("the body did not arrive within {seconds} s")))
    })
}

async fn read_frames(mut body: Body, max: impl Fn(&[u8]) -> usize) -> Result<Bytes, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| INVALID_REQUEST.because("the body broke off"))?;
        let Ok(part) = frame.into_data() else { continue };
        let beginning = if !first.is_empty() {
            &first
        } else if !more.is_empty() {
            &more[..]
        } else {
            &part[..]
        };
        let max = max(beginning);
        if announced.max(first.len() + more.len() + part.len()) > max {
            return Err(too_large(max));
        }
        match (first.is_empty(), more.is_empty()) {
            (true, true) => first = part,
            (_, true) => {
                more.reserve((first.len() + part.len()) * 2);
                more.extend_from_slice(&first);
                more.extend_from_slice(&part);
                first = Bytes::new();
            }
            (_, false) => more.extend_from_slice(&part),
        }
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

/// Refuses a body that turned out to be none of those that may be larger.
pub(crate) fn check_size(body: &Bytes, max: usize) -> Result<(), Problem> {
    if body.len() > max { Err(too_large(max)) } else { Ok(()) }
}

fn too_large(max: usize) -> Problem {
    CONTENT_TOO_LARGE.because(format!("the body has more than {max} bytes"))
}
