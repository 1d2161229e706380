//! `/v1/consumers`: what each has to do, and its pause.

use acceptd::catalog::{Catalog, CatalogConsumer};
use acceptd::store::ConsumerView;
use acceptd::{Engine, Gate, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::documents::PauseDocument;
use super::pages::Items;
use crate::call::{Answer, Call, json};
use crate::problem::{INVALID_REQUEST, Problem};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerDocument<'a> {
    name: &'a str,
    waiting: u64,
    running: u64,
    waiting_since: Option<Timestamp>,
    paused: bool,
    pause: Option<PauseDocument<'a>>,
    /// Whether this node serves it.
    served: bool,
    on: &'a [String],
    target: Option<&'a str>,
    address: Option<&'a str>,
    concurrency: Option<usize>,
}

impl<'a> ConsumerDocument<'a> {
    fn of(view: &'a ConsumerView, catalog: &'a Catalog) -> Self {
        let declared: Option<&CatalogConsumer> = catalog.consumers.iter().find(|known| known.name == view.name);
        let pause = view.closure.as_ref().filter(|closure| closure.gate == Gate::Pause).map(PauseDocument::of);
        Self {
            name: &view.name,
            waiting: view.waiting,
            running: view.running,
            waiting_since: view.oldest,
            paused: pause.is_some(),
            pause,
            served: declared.is_some(),
            on: declared.map_or(&[], |consumer| &consumer.on),
            target: declared.map(|consumer| consumer.target.as_str()),
            address: declared.map(|consumer| consumer.address.as_str()),
            concurrency: declared.map(|consumer| consumer.concurrency),
        }
    }
}

/// `GET /v1/consumers`.
pub(crate) async fn list(call: Call) -> Answer {
    let engine = &call.app.engine;
    let views = engine.store().consumers(engine.now()).await?;
    let catalog = engine.declared();
    let items = views.iter().map(|view| ConsumerDocument::of(view, &catalog)).collect();
    json(StatusCode::OK, &Items { items, next_page_token: None })
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct PauseOptions {
    reason: String,
    until: Option<Timestamp>,
}

/// `POST /v1/consumers/{name}/pause`; the body may say `reason` and `until`.
pub(crate) async fn pause(call: Call) -> Answer {
    let name = call.segment(2)?;
    let PauseOptions { reason, until } = call.take_options().await?;
    let engine = &call.app.engine;
    if until.is_some_and(|until| until <= engine.now()) {
        return Err(INVALID_REQUEST.because("until lies in the past").at("#/until"));
    }
    let by = call.header("acceptd-owner")?.unwrap_or("someone");
    engine.pause(&name, until, by, &reason).await?;
    show(engine, &name).await
}

/// `POST /v1/consumers/{name}/resume`.
pub(crate) async fn resume(call: Call) -> Answer {
    let (engine, name) = (&call.app.engine, call.segment(2)?);
    engine.resume(&name).await?;
    show(engine, &name).await
}

async fn show(engine: &Engine, name: &str) -> Answer {
    let views = engine.store().consumers(engine.now()).await?;
    let view = views.iter().find(|view| view.name == name);
    let view = view.ok_or_else(|| Problem::from(acceptd::Error::not_found("consumer", name)))?;
    json(StatusCode::OK, &ConsumerDocument::of(view, &engine.declared()))
}
