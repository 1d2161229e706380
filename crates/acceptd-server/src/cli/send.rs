//! `acceptd send`: an event or a batch of them, and perhaps the end.

use std::io::Read as _;
use std::time::{Duration, Instant};

use acceptd::duration::parse_duration;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::operations::{ending, sentence, with_forecast};
use crate::cli::output::{Console, Format, field};
use crate::exit::{Exit, Failure, Result};

mod batch;

/// The longest that is waited in one request.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What to send.
#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// The event type
    event: String,
    /// Its data: JSON, @FILE, or - for standard input
    data: Option<String>,
    /// One event for each item of FILE, or - for standard input: a JSON array or JSON lines; one operation for all
    #[arg(long, conflicts_with = "data", value_name = "FILE")]
    items: Option<String>,
    /// Who is told how it ends
    #[arg(long)]
    owner: Option<String>,
    /// Sending again with the same key accepts only once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Start it later, such as 30s
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    delay: Option<String>,
    /// From -100 to 100; higher runs first
    #[arg(long, allow_hyphen_values = true, value_parser = clap::value_parser!(i8).range(-100..=100))]
    priority: Option<i8>,
    /// Wait for the end, 30s or as long as it says; then the exit code says how it ended
    #[arg(long, value_parser = parse_duration, num_args = 0..=1, require_equals = true,
          default_missing_value = "30s", value_name = "DURATION")]
    wait: Option<Duration>,
}

fn duration(text: &str) -> acceptd::Result<String> {
    parse_duration(text).map(|_| text.to_owned())
}

impl Send {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        let mut request = client.request(Method::POST, client.url(&["v1", "events", &self.event]));
        let (body, what) = self.body()?;
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let started = Instant::now();
        let first = self.wait.unwrap_or_default().min(WAIT_MAX);
        if !first.is_zero() {
            request = request.header("prefer", format!("wait={}", seconds(first)));
        }
        let answer = client.send(request.timeout(first + Duration::from_secs(30))).await?;
        let replayed = answer.headers.contains_key("idempotent-replayed");
        let mut monitor = answer.document;
        if let Some(wait) = self.wait {
            monitor = self.wait_on(client, monitor, started + wait).await?;
        }
        self.tell(console, &monitor, &what, replayed)
    }

    /// The body of the request, and what it is.
    fn body(&self) -> Result<(Option<Vec<u8>>, String)> {
        if let Some(file) = &self.items {
            let text = if file == "-" { read_input() } else { read_file(file) }?;
            let from = if file == "-" { "standard input" } else { file };
            let wrong = |what| Failure::new(Exit::Usage, format!("can't read items from {from}: {what}"));
            let (body, count) = batch::body(&text).map_err(wrong)?;
            return Ok((Some(body), format!("{count} of {}", self.event)));
        }
        Ok((self.data.as_deref().map(read).transpose()?, self.event.clone()))
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, String)> {
        let key =
            self.idempotency_key.as_ref().map(|key| format!("\"{}\"", key.replace('\\', r"\\").replace('"', r#"\""#)));
        let headers = [
            ("acceptd-owner", self.owner.clone()),
            ("idempotency-key", key),
            ("acceptd-delay", self.delay.clone()),
            ("acceptd-priority", self.priority.map(|priority| priority.to_string())),
        ];
        headers.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value?)))
    }

    async fn wait_on(&self, client: &Client, mut monitor: Value, deadline: Instant) -> Result<Value> {
        let id = field(&monitor, "/id");
        while monitor["done"] != true {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let wait = left.min(WAIT_MAX);
            let request = client.request(Method::GET, client.url(&["v1", "operations", &id]));
            let request = request.header("prefer", format!("wait={}", seconds(wait)));
            monitor = client.send(request.timeout(wait + Duration::from_secs(30))).await?.document;
        }
        Ok(monitor)
    }

    fn tell(&self, console: &Console, monitor: &Value, what: &str, replayed: bool) -> Result {
        let id = field(monitor, "/id");
        console.document(monitor, || id.clone())?;
        if replayed {
            console.say("this was accepted before; the operation is the same one");
        }
        if self.wait.is_none() {
            if console.format == Format::Table {
                console.say(format_args!("accepted {what}; follow it: acceptd watch {id}"));
            }
            return Ok(Exit::Ok);
        }
        if monitor["done"] != true {
            let stands = with_forecast(sentence(monitor), monitor);
            return Err(Failure::new(Exit::StillPending, format!("the wait is over: {stands}")));
        }
        console.say(sentence(monitor));
        Ok(ending(monitor))
    }
}

/// Whole seconds, at least one.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX)
}

fn read(data: &str) -> Result<Vec<u8>> {
    if data == "-" {
        return read_input();
    }
    match data.strip_prefix('@') {
        Some(file) => read_file(file),
        None => Ok(data.as_bytes().to_vec()),
    }
}

fn read_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|error| unreadable("standard input", &error))?;
    Ok(bytes)
}

fn read_file(file: &str) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("can't read {what}: {error}"))
}
