//! `acceptd dev --demo`: a slow upload in one process, so that everything can be seen without writing anything.
//!
//! `upload.item` goes to an HTTP endpoint that takes its time and sometimes fails; its answer emits `item.uploaded`,
//! which a Rust function takes; for the last item that emits `alarm.create`, which becomes a notification.

use std::num::NonZeroUsize;
use std::time::Duration;

use acceptd::{Consumer, Done, Emits, Event, Level, Outcome, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::config::{Config, ConsumerConfig, Goes, Sources, Undeclared, WebUrl, load};
use crate::exit::{Exit, Failure, Result};

mod service;
mod story;

pub(crate) use service::UploadService;
pub(crate) use story::tell;

/// Items in the batch that the demo sends.
pub(crate) const ITEMS: u64 = 30;
/// The item that fails twice and recovers.
pub(crate) const RECOVERS: u64 = 7;
/// The item that never works.
pub(crate) const REFUSED: u64 = 23;
/// Uploads that may run at once.
pub(crate) const AT_ONCE: usize = 4;
/// Who is told.
pub(crate) const OWNER: &str = "demo";

/// An item has arrived.
#[derive(Debug, Serialize, Deserialize)]
struct ItemUploaded {
    item: u64,
    #[serde(default)]
    of: Option<u64>,
}

impl Event for ItemUploaded {
    const TYPE: &'static str = "item.uploaded";
}

/// Someone shall be told.
#[derive(Debug, Serialize, Deserialize)]
struct CreateAlarm {
    title: String,
    text: String,
    level: Level,
}

impl Event for CreateAlarm {
    const TYPE: &'static str = "alarm.create";
}

async fn summarize(event: ItemUploaded, mut out: Emits<(CreateAlarm,)>) -> Outcome {
    if event.of == Some(event.item) {
        let title = format!("item {0} of {0} is online", event.item);
        out.emit(CreateAlarm { title, text: "the end of your upload is reached".into(), level: Level::Success });
    }
    Done::with(serde_json::json!({ "item": event.item }))
}

/// The consumer that is a Rust function.
pub(crate) fn function() -> Consumer {
    Consumer::new("summarize", summarize)
}

/// The demo's own configuration: defaults, consumers, and a short lease so that it goes on soon after a `kill -9`.
pub(crate) fn config(listen: Option<&str>, endpoint: reqwest::Url) -> Result<Config> {
    let flags = listen.map(|listen| ("server", "listen", "--listen", listen.to_owned())).into_iter().collect();
    let loaded = load(&Sources { flags, ..Sources::default() });
    let mut config = loaded.map_err(|problems| Failure::new(Exit::Usage, problems))?.config;
    config.server.lease = Duration::from_secs(3);
    config.server.drain_grace = Duration::from_secs(2);
    config.log.level = "warn".to_owned();
    config.consumers = consumers(endpoint);
    Ok(config)
}

/// The consumers that could as well stand in a file.
fn consumers(endpoint: reqwest::Url) -> Vec<ConsumerConfig> {
    let retry = RetryPolicy { max_attempts: 5, base: Duration::from_millis(200), ..RetryPolicy::default() };
    let upload = ConsumerConfig {
        name: "upload-item".to_owned(),
        description: None,
        team: None,
        on: vec!["upload.item".to_owned()],
        emits: vec![ItemUploaded::TYPE.to_owned()],
        goes: Goes::Url { url: WebUrl(endpoint), secret_file: None },
        retry,
        timeout: Duration::from_secs(10),
        concurrency: NonZeroUsize::new(AT_ONCE).unwrap_or(NonZeroUsize::MIN),
        undeclared: Undeclared::Refuse,
        limits: Vec::new(),
        lock: None,
        ordered: false,
        fair_by: None,
        fair_weights: Default::default(),
    };
    let alarm = ConsumerConfig {
        name: "alarm".to_owned(),
        description: None,
        team: None,
        on: vec![CreateAlarm::TYPE.to_owned()],
        emits: Vec::new(),
        goes: Goes::Inbox,
        retry: RetryPolicy::default(),
        ..upload.clone()
    };
    vec![upload, alarm]
}
