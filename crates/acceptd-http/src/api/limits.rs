//! `/v1/limits`: where each stands, its pauses, and changes at run time.

use acceptd::engine::describe_limit;
use acceptd::limit::{Limit, Rate};
use acceptd::store::turnstile::Hold;
use acceptd::store::{KeyView, LimitView};
use acceptd::{Engine, OperationId, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};

use super::documents::PauseDocument;
use super::pages::Items;
use crate::call::{Answer, Call, json};
use crate::problem::{INVALID_REQUEST, Problem};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitDocument<'a> {
    name: &'a str,
    #[serde(flatten)]
    now: Allowance,
    key: Option<String>,
    adapt: bool,
    /// Whether it is one at a time for each key.
    lock: bool,
    /// What it allows where nobody changed it.
    declared: Allowance,
    change: Option<ChangeDocument<'a>>,
    paused: bool,
    pause: Option<PauseDocument<'a>>,
    in_use: u64,
    waiting: u64,
    consumers: &'a [String],
    /// The keys with most waiting, at most 20.
    keys: Vec<KeyDocument<'a>>,
    /// One sentence.
    message: String,
}

#[derive(Serialize)]
struct Allowance {
    rate: Option<Rate>,
    concurrency: Option<u32>,
}

#[derive(Serialize)]
struct ChangeDocument<'a> {
    by: &'a str,
    at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyDocument<'a> {
    key: &'a str,
    in_use: u64,
    waiting: u64,
    paused: bool,
    pause: Option<PauseDocument<'a>>,
    /// Starts in a second, found so far.
    found_rate: Option<f64>,
    next_start: Option<Timestamp>,
    holders: Vec<HolderDocument<'a>>,
}

#[derive(Serialize)]
struct HolderDocument<'a> {
    operation: OperationId,
    consumer: &'a str,
    since: Timestamp,
    /// Until when at the latest, when nobody will hear of its end.
    until: Option<Timestamp>,
}

impl Allowance {
    fn of(limit: &Limit) -> Self {
        Self { rate: limit.rate, concurrency: limit.concurrency }
    }
}

impl<'a> LimitDocument<'a> {
    fn of(view: &'a LimitView, now: Timestamp) -> Self {
        let LimitView { limit, declared, change, pause, consumers, in_use, waiting, keys } = view;
        Self {
            name: &limit.name,
            now: Allowance::of(limit),
            key: limit.key.as_ref().map(ToString::to_string),
            adapt: limit.adapt,
            lock: limit.is_lock(),
            declared: Allowance::of(declared),
            change: change.as_ref().map(|change| ChangeDocument { by: &change.by, at: change.at }),
            paused: pause.is_some(),
            pause: pause.as_ref().map(PauseDocument::of),
            in_use: *in_use,
            waiting: *waiting,
            consumers,
            keys: keys.iter().map(KeyDocument::of).collect(),
            message: describe_limit(view, now),
        }
    }
}

impl<'a> KeyDocument<'a> {
    fn of(view: &'a KeyView) -> Self {
        let KeyView { key, in_use, waiting, pause, found_rate, next_start, holders } = view;
        let holder = |Hold { operation, consumer, since, until, .. }: &'a Hold| HolderDocument {
            operation: *operation,
            consumer,
            since: *since,
            until: *until,
        };
        Self {
            key,
            in_use: *in_use,
            waiting: *waiting,
            paused: pause.is_some(),
            pause: pause.as_ref().map(PauseDocument::of),
            found_rate: *found_rate,
            next_start: *next_start,
            holders: holders.iter().map(holder).collect(),
        }
    }
}

/// `GET /v1/limits`.
pub(crate) async fn list(call: Call) -> Answer {
    let engine = &call.app.engine;
    let (views, now) = (engine.limits().await?, engine.now());
    let items = views.iter().map(|view| LimitDocument::of(view, now)).collect();
    json(StatusCode::OK, &Items { items, next_page_token: None })
}

/// `GET /v1/limits/{name}`.
pub(crate) async fn get(call: Call) -> Answer {
    let engine = &call.app.engine;
    show(engine, &engine.limit(&call.segment(2)?).await?)
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct PauseOptions {
    key: Option<String>,
    reason: String,
    until: Option<Timestamp>,
}

/// `POST /v1/limits/{name}/pause`; the body may say `key`, `reason` and `until`.
pub(crate) async fn pause(call: Call) -> Answer {
    let (engine, name) = (&call.app.engine, call.segment(2)?);
    let PauseOptions { key, reason, until } = call.take_options().await?;
    if until.is_some_and(|until| until <= engine.now()) {
        return Err(INVALID_REQUEST.because("until lies in the past").at("#/until"));
    }
    show(engine, &engine.pause_limit(&name, key, until, by(&call)?, &reason).await?)
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ResumeOptions {
    key: Option<String>,
}

/// `POST /v1/limits/{name}/resume`; the body may say `key`.
pub(crate) async fn resume(call: Call) -> Answer {
    let (engine, name) = (&call.app.engine, call.segment(2)?);
    let ResumeOptions { key } = call.take_options().await?;
    let (_, view) = engine.resume_limit(&name, key).await?;
    show(engine, &view)
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ChangeOptions {
    #[serde(deserialize_with = "said")]
    rate: Option<Option<String>>,
    #[serde(deserialize_with = "said")]
    concurrency: Option<Option<u32>>,
}

/// Keeps null, which lifts a bound, apart from nothing said, which leaves it.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// `PATCH /v1/limits/{name}` with `{"rate":"5/s","concurrency":null}`: what is left out stays, null lifts it.
pub(crate) async fn change(call: Call) -> Answer {
    let (engine, name) = (&call.app.engine, call.segment(2)?);
    let ChangeOptions { rate, concurrency } = call.take_options().await?;
    if rate.is_none() && concurrency.is_none() {
        return Err(INVALID_REQUEST.because("the body names neither rate nor concurrency"));
    }
    let parse =
        |text: String| text.parse::<Rate>().map_err(|error| INVALID_REQUEST.because(error.message()).at("#/rate"));
    let rate = match rate {
        Some(Some(text)) => Some(Some(parse(text)?)),
        lifted => lifted.map(|_| None),
    };
    show(engine, &engine.change_limit(&name, rate, concurrency, by(&call)?).await?)
}

/// `POST /v1/limits/{name}/reset`: what is declared holds again.
pub(crate) async fn reset(call: Call) -> Answer {
    let engine = &call.app.engine;
    show(engine, &engine.reset_limit(&call.segment(2)?).await?)
}

fn by(call: &Call) -> Result<&str, Problem> {
    Ok(call.header("acceptd-owner")?.unwrap_or("someone"))
}

fn show(engine: &Engine, view: &LimitView) -> Answer {
    json(StatusCode::OK, &LimitDocument::of(view, engine.now()))
}
