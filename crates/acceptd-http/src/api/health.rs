//! `/livez`, `/readyz`, `/metrics`, and the pages of problems.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use crate::call::{Answer, Call, json};
use crate::problem::{METHOD_NOT_ALLOWED, NO_SUCH_ROUTE, NOT_READY, PROBLEMS};

/// The process lives and answers.
pub(crate) async fn livez(_call: Call) -> Answer {
    Ok(text("text/plain; charset=utf-8", "ok\n".to_owned()))
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    backlog: u64,
}

/// Accepting works.
pub(crate) async fn readyz(call: Call) -> Answer {
    let engine = &call.app.engine;
    let health = engine.store().health();
    let reason = match health {
        _ if engine.is_draining() => "the server is stopping",
        _ if health.away => "the database can't be reached",
        _ if health.full => "the disk is full",
        _ if !health.writable => "the store can't be written",
        _ => {
            let mut response = json(StatusCode::OK, &Ready { status: "ready", backlog: health.backlog })?;
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return Ok(response);
        }
    };
    Err(NOT_READY.because(reason))
}

/// What Prometheus scrapes.
pub(crate) async fn metrics(call: Call) -> Answer {
    match &call.app.settings.metrics {
        Some(render) => Ok(text("text/plain; version=0.0.4; charset=utf-8", render())),
        None => Err(NO_SUCH_ROUTE.because("metrics are not collected here")),
    }
}

/// `GET /problems/{slug}`: what a problem means.
pub(crate) async fn problem_page(call: Call) -> Answer {
    let slug = call.segment(1)?;
    let kind = PROBLEMS.iter().find(|kind| kind.slug == slug);
    let kind = kind.ok_or_else(|| NO_SUCH_ROUTE.because(format!("there is no problem {slug:?}")))?;
    Ok(text("text/markdown; charset=utf-8", kind.markdown()))
}

/// Any other path.
pub(crate) async fn no_such_route(call: Call) -> Answer {
    Err(NO_SUCH_ROUTE.because(format!("there is nothing at {}", call.parts.uri.path())))
}

/// Any other method.
pub(crate) async fn method_not_allowed(call: Call) -> Answer {
    let (method, path) = (&call.parts.method, call.parts.uri.path());
    Err(METHOD_NOT_ALLOWED.because(format!("{path} does not take {method}")))
}

fn text(content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
