//! The server under measurement: the real engine, store and API, with a consumer that does nothing and a route that
//! does nothing but parse JSON.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acceptd::consumer::Consumer;
use acceptd::{Acceptd, Done, Engine, Event, Limit, Outcome, Settings, State};
use acceptd_http::HttpSettings;
use acceptd_http::target::{Push, PushClient};
use anyhow::Result;
use axum::Json;
use axum::http::StatusCode;
use axum::routing::{get, post};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::config::{Log, LogFormat};

/// What the server consumes with.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// The store.
    #[arg(long)]
    store: String,
    /// `function`, or the URL of an HTTP consumer.
    #[arg(long, default_value = "function")]
    consumer: String,
    /// Whether a limit that never holds anything is taken by each delivery.
    #[arg(long)]
    limited: bool,
    /// Whether log lines are written, as `serve` does.
    #[arg(long)]
    logged: bool,
    /// Whether metrics are recorded and the catalog's edges counted, as `serve` does.
    #[arg(long)]
    observed: bool,
    /// Deliveries that may run at once.
    #[arg(long, default_value_t = 1_024)]
    concurrency: usize,
}

/// The event that everything is measured with; about 200 bytes of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// When the request was sent, in microseconds since 1970.
    pub(crate) sent: u64,
    /// Fills the payload up.
    pub(crate) filler: String,
}

impl Event for Measured {
    const TYPE: &'static str = "bench.measured";
}

impl Measured {
    pub(crate) fn json(sent: u64) -> String {
        format!(r#"{{"sent":{sent},"filler":"{}"}}"#, "x".repeat(150))
    }
}

/// An event of a consumer with a lock; those of the key `full` never end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    key: String,
    sent: u64,
}

impl Event for Held {
    const TYPE: &'static str = "bench.held";
}

impl Held {
    pub(crate) fn json(key: &str, sent: u64) -> String {
        format!(r#"{{"key":"{key}","sent":{sent}}}"#)
    }
}

/// What the consumer saw.
#[derive(Debug, Clone, Default)]
struct Seen {
    done: Arc<AtomicU64>,
    latencies: Arc<Mutex<Vec<u64>>>,
}

/// What `/bench/stats` answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Handlers that ran.
    pub(crate) done: u64,
    /// Deliveries that wait or run.
    pub(crate) backlog: u64,
    /// From the request to the start of the handler, in microseconds; since the last question.
    pub(crate) latencies: Vec<u64>,
}

/// The most latencies kept between two questions.
const LATENCIES_MAX: usize = 100_000;

pub(crate) fn micros_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Seen {
    fn note(&self, sent: u64) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if sent > 0 {
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            if latencies.len() < LATENCIES_MAX {
                latencies.push(micros_now().saturating_sub(sent));
            }
        }
    }
}

async fn note(event: Measured, State(seen): State<Seen>) -> Outcome {
    seen.note(event.sent);
    Done::new()
}

async fn hold(event: Held, State(seen): State<Seen>) -> Outcome {
    seen.note(event.sent);
    if event.key == "full" {
        std::future::pending::<()>().await;
    }
    Done::new()
}

/// Serves until it is killed; says on stdout where.
pub(crate) async fn run(args: ServerArgs) -> Result<()> {
    let seen = Seen::default();
    if args.observed {
        crate::metrics::install().map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
    }
    if args.logged {
        crate::logging::start(&Log { level: "info".to_owned(), format: LogFormat::Text });
    }
    let measure_every = if args.observed { Settings::default().measure_every } else { Duration::ZERO };
    let consumer = match args.consumer.as_str() {
        "function" => Consumer::new("noop", note),
        url => Consumer::to("noop", [Measured::TYPE], Arc::new(Push::new(PushClient::new()?, url, None)?)),
    };
    let consumer = consumer.concurrency(args.concurrency);
    let consumer = if args.limited { consumer.limit("wide") } else { consumer };
    let engine = Acceptd::open(&args.store)
        .settings(Settings { measure_every, observe: args.observed, ..Settings::default() })
        .state(seen.clone())
        .limit(Limit::new("wide").rate("1000000/s burst 1000000")?.concurrency(1_000_000))
        .consumer(consumer)
        .consumer(Consumer::new("held", hold).lock("/key").timeout("1d"))
        .start()
        .await?;
    let stats = {
        let engine = engine.clone();
        get(async move || Json(stats(&engine, &seen)))
    };
    let noop = post(async |Json(_): Json<Measured>| StatusCode::ACCEPTED);
    let router =
        acceptd_http::router(engine, HttpSettings::default()).route("/bench/noop", noop).route("/bench/stats", stats);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", listener.local_addr()?);
    acceptd_http::serve(listener, router, std::future::pending()).await?;
    Ok(())
}

fn stats(engine: &Engine, seen: &Seen) -> Stats {
    Stats {
        done: seen.done.load(Ordering::Relaxed),
        backlog: engine.store().health().backlog,
        latencies: std::mem::take(&mut *seen.latencies.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}
