//! What the demo shows: a batch of slow uploads, told as it happens, and checked at the end.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use acceptd::delivery::State;
use acceptd::story::{self, StoryDelivery, StoryEvent, TextOptions};
use acceptd::{Clock as _, DeliveryId, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::operations::waiting;
use crate::cli::output::{Console, plain};
use crate::cli::paint::{Mood, Paint};
use crate::cli::story::read;
use crate::demo::{AT_ONCE, ITEMS, OWNER, RECOVERS, REFUSED, UploadService};
use crate::exit::{Failure, Result};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long the batch may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The demo as it went.
pub(crate) struct Story {
    operation: String,
    dead_letter: Option<DeliveryId>,
    missing: Vec<String>,
}

/// Sends the batch, or goes on with one that an earlier run left, and tells what happens until it has ended.
pub(crate) async fn tell(client: &Client, service: &UploadService, console: &Console) -> Result<Story> {
    let (paint, started) = (Paint::of(true), Instant::now());
    let (operation, goes_on) = match unfinished(client).await? {
        Some(operation) => {
            console.say("\nthe last run left a batch behind; it goes on");
            (operation, true)
        }
        None => (send(client, console).await?, false),
    };
    let mut telling = Telling { console, paint, bar: bar(console, paint), told: HashSet::new() };
    let (monitor, chain) = telling.follow(client, &operation).await?;
    telling.bar.finish_and_clear();
    let notifications = client.list(&["v1", "notifications"], &[("owner", OWNER)], 200).await?;
    let mine: Vec<&Value> = notifications.iter().filter(|n| n["operation"] == operation.as_str()).collect();
    let mut checks = Checks { console, paint, goes_on, missing: Vec::new() };
    checks.chain(&chain);
    checks.told(&mine);
    checks.ended(&monitor, started.elapsed());
    if !goes_on {
        let counts = service.counts();
        checks.expect(
            counts.at_once <= AT_ONCE && counts.uploaded >= 29,
            &format!("the service saw {} requests, never more than {} at once", counts.requests, counts.at_once),
        );
    }
    let dead_letter = item(&chain, REFUSED).map(|(_, delivery)| delivery.id);
    Ok(Story { operation, dead_letter, missing: checks.missing })
}

/// The newest batch that has not ended.
async fn unfinished(client: &Client) -> Result<Option<String>> {
    for status in ["running", "queued"] {
        let query = [("owner", OWNER), ("type", "upload.item"), ("status", status)];
        let operations = client.list(&["v1", "operations"], &query, 1).await?;
        if let Some(id) = operations.first().and_then(|operation| operation["id"].as_str()) {
            return Ok(Some(id.to_owned()));
        }
    }
    Ok(None)
}

async fn send(client: &Client, console: &Console) -> Result<String> {
    let run = SystemClock.now().as_micros();
    let event = |item: u64| {
        json!({
            "specversion": "1.0", "id": format!("{run}-{item}"), "source": "/demo", "type": "upload.item",
            "datacontenttype": "application/json", "data": { "item": item, "of": ITEMS },
        })
    };
    let batch = Value::Array((1..=ITEMS).map(event).collect());
    let request = client
        .request(Method::POST, client.url(&["v1", "events"]))
        .header(CONTENT_TYPE, "application/cloudevents-batch+json")
        .header("acceptd-owner", OWNER)
        .body(batch.to_string());
    let sent = Instant::now();
    let answer = client.send(request.timeout(Duration::from_secs(10))).await?;
    let id = answer.document["id"].as_str().ok_or_else(|| Failure::error("the answer has no id"))?.to_owned();
    console.say(format_args!(
        "\n{ITEMS} uploads are accepted as one operation: {} after {} ms\n{id}",
        answer.status,
        sent.elapsed().as_millis()
    ));
    Ok(id)
}

fn bar(console: &Console, paint: Paint) -> ProgressBar {
    let target = if console.is_live() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let template = "{bar:30} {pos}/{len}  {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(ITEMS), target).with_style(style.progress_chars(paint.bar()))
}

/// The delivery of an item, with its event.
fn item(chain: &story::Story, number: u64) -> Option<(&StoryEvent, &StoryDelivery)> {
    chain.deliveries().find(|(event, _)| event.kind == "upload.item" && data(event)["item"] == number)
}

/// The data of an event.
fn data(event: &StoryEvent) -> Value {
    let json = event.data.as_ref().map_or("null", |data| data.get());
    serde_json::from_str(json).unwrap_or_default()
}

struct Telling<'a> {
    console: &'a Console,
    paint: Paint,
    bar: ProgressBar,
    /// What was said already.
    told: HashSet<String>,
}

impl Telling<'_> {
    async fn follow(&mut self, client: &Client, operation: &str) -> Result<(Value, story::Story)> {
        let started = Instant::now();
        loop {
            let monitor = client.get(&["v1", "operations", operation]).await?;
            let chain = read(client, operation).await?;
            self.notice(&monitor, &chain);
            let is_over = monitor["done"] == true && chain.deliveries().all(|(_, delivery)| delivery.state.has_ended());
            if is_over {
                return Ok((monitor, chain));
            }
            if started.elapsed() > PATIENCE {
                return Err(Failure::error("the demo did not come to its end"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn notice(&mut self, monitor: &Value, chain: &story::Story) {
        let uploads = || chain.deliveries().filter(|(event, _)| event.kind == "upload.item");
        self.bar.set_position(uploads().filter(|(_, delivery)| delivery.state.has_ended()).count() as u64);
        let running = uploads().filter(|(_, delivery)| delivery.state == State::Running).count();
        let waits = monitor["waitingOn"].as_array().and_then(|waits| waits.last());
        let wait = waits.map(|wait| format!("\n{}", plain(&waiting(wait)))).unwrap_or_default();
        self.bar.set_message(format!("{running} running{wait}"));
        if let Some((_, delivery)) = item(chain, RECOVERS) {
            for (number, attempt) in delivery.attempts.iter().enumerate() {
                if let Some(error) = &attempt.error {
                    let text =
                        format!("item {RECOVERS}: attempt {} failed, another follows: {}", number + 1, error.message);
                    self.say(Mood::Waiting, text);
                }
            }
            if delivery.state == State::Done {
                self.say(Mood::Good, format!("item {RECOVERS}: recovered, attempt {} worked", delivery.attempt));
            }
        }
        if let Some((_, delivery)) = item(chain, REFUSED).filter(|(_, delivery)| delivery.state == State::Dead) {
            let error = delivery.error().map_or("no reason", |error| error.message.as_str());
            self.say(Mood::Bad, format!("item {REFUSED}: gave up and is kept as a dead letter: {error}"));
        }
        let alarms = chain
            .deliveries()
            .filter(|(event, delivery)| event.kind == "alarm.create" && delivery.state == State::Done);
        for (event, _) in alarms {
            let data = data(event);
            let title = data["title"].as_str().unwrap_or_default();
            self.say(Mood::Good, format!("{OWNER} is told: {title}"));
        }
    }

    fn say(&mut self, mood: Mood, text: String) {
        if !self.told.insert(text.clone()) || self.console.quiet {
            return;
        }
        let line = format!("  {} {}", self.paint.sign(mood), plain(&text));
        // Where there is no bar, its lines would not be shown either.
        if self.bar.is_hidden() { self.console.say(line) } else { self.bar.println(line) }
    }
}

/// What should have been seen, and what was not.
struct Checks<'a> {
    console: &'a Console,
    paint: Paint,
    /// Whether an earlier run began: what it was killed in took one attempt more.
    goes_on: bool,
    missing: Vec<String>,
}

impl Checks<'_> {
    fn expect(&mut self, is_so: bool, what: &str) {
        let (mood, word) = if is_so { (Mood::Good, "") } else { (Mood::Bad, "not so: ") };
        self.console.say(format_args!("  {} {word}{what}", self.paint.sign(mood)));
        if !is_so {
            self.missing.push(what.to_owned());
        }
    }

    fn chain(&mut self, chain: &story::Story) {
        self.console.say("\nthe chain, and what acceptd promised:");
        for line in story::lines(chain, &TextOptions { brief: true, ids: true, now: None }) {
            self.console.say(format_args!("  {}", self.paint.line(&line)));
        }
        let done = |kind: &str| chain.deliveries().filter(|(e, d)| e.kind == kind && d.state == State::Done).count();
        let all_but_one = (ITEMS - 1) as usize;
        let uploads = (done("upload.item"), done("item.uploaded"));
        self.expect(uploads == (all_but_one, all_but_one), &format!("{} of {ITEMS} uploads are done", uploads.0));
        let state = |number| item(chain, number).map(|(_, delivery)| (delivery.state, delivery.attempt));
        let as_planned = |planned: u32, seen: u32| seen == planned || (self.goes_on && seen > planned);
        let recovered = matches!(state(RECOVERS), Some((State::Done, attempts)) if as_planned(3, attempts));
        let kept = matches!(state(REFUSED), Some((State::Dead, attempts)) if as_planned(1, attempts));
        self.expect(recovered, &format!("item {RECOVERS} failed twice and recovered by itself"));
        self.expect(
            kept,
            &format!("item {REFUSED} was refused, which no retry can change: one attempt, one dead letter"),
        );
        let links = chain.events.iter().any(|event| event.kind == "alarm.create" && event.depth == 2);
        self.expect(
            links && done("alarm.create") == 1,
            "one chain went upload.item -> item.uploaded -> alarm.create -> inbox",
        );
    }

    fn told(&mut self, notifications: &[&Value]) {
        let title = notifications.first().and_then(|notification| notification["title"].as_str()).unwrap_or("nothing");
        self.expect(notifications.len() == 1, &format!("{OWNER} was told once: {}", plain(title)));
    }

    fn ended(&mut self, monitor: &Value, after: Duration) {
        let status = monitor["status"].as_str().unwrap_or_default();
        let seconds = after.as_secs_f64();
        self.expect(
            status == "failed",
            &format!("the operation {status} after {seconds:.1} s, because of item {REFUSED}"),
        );
    }
}

impl Story {
    /// Whether everything was seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Says what to try now.
    pub(crate) fn suggest(&self, url: &str, db: Option<&Path>, console: &Console) {
        let Self { operation, dead_letter, .. } = self;
        console.say("\nthe server goes on until Ctrl-C; try in another terminal:");
        if url != "http://127.0.0.1:8202" {
            console.say(format_args!("  export ACCEPTD_URL={url}"));
        }
        console.say(format_args!("  acceptd story {operation}"));
        if let Some(delivery) = dead_letter {
            console.say(format_args!("  acceptd why {delivery}"));
        }
        console.say("  acceptd dead-letters");
        console.say(format_args!("  acceptd notifications --owner {OWNER}"));
        match db {
            Some(file) => console.say(format_args!(
                "  kill -9 {} while it runs, then again: acceptd dev --demo --db {}",
                std::process::id(),
                file.display()
            )),
            None => console.say("  acceptd dev --demo --db demo.db, then kill -9 it while it runs and start it again"),
        }
    }
}
