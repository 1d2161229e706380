//! `acceptd watch`: an operation until it ends, as a live tree on a terminal and as lines elsewhere.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use acceptd::delivery::State;
use acceptd::story::{Story, TextOptions, lines};
use acceptd::{Clock as _, DeliveryId, SystemClock};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::operations::{ending, forecast, progress, sentence, waiting, with_forecast};
use crate::cli::output::{Console, Format, field, plain};
use crate::cli::paint::Paint;
use crate::cli::story;
use crate::cli::stream::Stream;
use crate::exit::{Exit, Failure, Result};

/// How often what is shown is brought up to date.
const TICK: Duration = Duration::from_millis(200);

/// How often a wait is asked about again: others start before it although nothing of the operation changes.
const WAITS_EVERY: Duration = Duration::from_secs(2);

/// How long a server may be away, for example while it is deployed.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// An operation with more deliveries is shown without its story while it runs.
const STORY_MAX: u64 = 2_000;

/// Lines of the live tree at most.
const LINES_MAX: usize = 24;

/// Which operation.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The operation
    id: String,
}

impl Watch {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        let mut watching = Watching::start(client, &self.id, console).await?;
        watching.follow().await?;
        watching.finish().await
    }
}

struct Watching<'a> {
    client: &'a Client,
    console: &'a Console,
    id: &'a str,
    monitor: Value,
    read_at: Instant,
    /// None before it was read, and when it is too long.
    story: Option<Story>,
    /// Whether the story is older than the monitor.
    is_stale: bool,
    view: View,
}

/// How changes are shown.
enum View {
    /// A tree that is drawn again and again.
    Live(ProgressBar),
    /// A line for each change.
    Lines(Lines),
    /// The monitor as JSON, once for each change.
    Documents,
    /// Nothing until the end.
    Silent,
}

impl<'a> Watching<'a> {
    async fn start(client: &'a Client, id: &'a str, console: &'a Console) -> Result<Self> {
        let monitor = client.get(&["v1", "operations", id]).await?;
        let view = match console.format {
            Format::Jsonl => View::Documents,
            Format::Json => View::Silent,
            Format::Table if console.quiet => View::Silent,
            Format::Table if console.is_live() => View::Live(live_bar()),
            Format::Table | Format::Mermaid => View::Lines(Lines::start()),
        };
        Ok(Self { client, console, id, monitor, read_at: Instant::now(), story: None, is_stale: true, view })
    }

    /// Follows the stream, over restarts of the server, until the end.
    async fn follow(&mut self) -> Result<()> {
        let mut last_id: Option<String> = None;
        let mut away_since: Option<Instant> = None;
        loop {
            let opened = Stream::open(self.client, &["v1", "operations", self.id, "stream"], last_id.as_deref()).await;
            match opened {
                Ok(mut stream) => {
                    away_since = None;
                    let ended = self.read(&mut stream).await?;
                    last_id = stream.last_id().map(str::to_owned).or(last_id);
                    if ended {
                        return Ok(());
                    }
                }
                Err(failure) if failure.exit != Exit::Error => return Err(failure),
                Err(failure) => {
                    let since = *away_since.get_or_insert_with(|| {
                        self.talk("the server is away; waiting for it to come back");
                        Instant::now()
                    });
                    if since.elapsed() > AWAY_MAX {
                        return Err(failure);
                    }
                }
            }
            tokio::time::sleep(TICK).await;
            if let Ok(monitor) = self.client.get(&["v1", "operations", self.id]).await {
                self.monitor = monitor;
                if self.monitor["done"] == true {
                    return Ok(());
                }
            }
        }
    }

    /// Reads a stream; true at the operation's end.
    async fn read(&mut self, stream: &mut Stream) -> Result<bool> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                message = stream.next() => match message? {
                    None => return Ok(false),
                    Some(message) if message.name == "end" => return Ok(true),
                    Some(message) if message.name == "operation" => {
                        self.monitor = message.data;
                        self.read_at = Instant::now();
                        self.is_stale = true;
                        if matches!(self.view, View::Documents) {
                            self.console.line(&self.monitor.to_string())?;
                        }
                    }
                    Some(_) => {}
                },
                _ = tick.tick() => self.show().await?,
            }
        }
    }

    async fn show(&mut self) -> Result<()> {
        if matches!(self.view, View::Documents | View::Silent) {
            return Ok(());
        }
        self.ask_again().await;
        let is_small = self.monitor["progress"]["total"].as_u64().unwrap_or(0) <= STORY_MAX;
        if self.is_stale
            && is_small
            && let Ok(told) = story::read(self.client, self.id).await
        {
            self.story = Some(told);
            self.is_stale = false;
        }
        match &mut self.view {
            View::Live(bar) => draw(bar, &self.monitor, self.story.as_ref()),
            View::Lines(lines) => lines.say(&self.monitor, self.story.as_ref(), self.console)?,
            View::Documents | View::Silent => {}
        }
        Ok(())
    }

    /// Brings what it waits for up to date.
    async fn ask_again(&mut self) {
        let waits = self.monitor["waitingOn"].as_array().is_some_and(|waits| !waits.is_empty());
        if waits && self.read_at.elapsed() >= WAITS_EVERY {
            self.read_at = Instant::now();
            if let Ok(monitor) = self.client.get(&["v1", "operations", self.id]).await {
                self.monitor = monitor;
            }
        }
    }

    async fn finish(mut self) -> Result {
        self.is_stale = true;
        self.monitor = self.client.get(&["v1", "operations", self.id]).await?;
        match self.console.format {
            Format::Json => self.console.document(&self.monitor, String::new)?,
            Format::Jsonl => {}
            Format::Table if self.console.quiet => {}
            Format::Table | Format::Mermaid => {
                self.show().await?;
                if let View::Live(bar) = &self.view {
                    bar.finish_and_clear();
                    for line in tree(self.story.as_ref(), Paint::of(false)) {
                        self.console.line(&line)?;
                    }
                }
                self.console.line(&sentence(&self.monitor))?;
            }
        }
        Ok(ending(&self.monitor))
    }

    fn talk(&self, text: &str) {
        match &self.view {
            View::Live(bar) => bar.println(text),
            _ => self.console.say(text),
        }
    }
}

fn live_bar() -> ProgressBar {
    let paint = Paint::of(true);
    let template = "{prefix} {bar:24} {elapsed} {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    bar.set_style(style.progress_chars(paint.bar()));
    bar
}

/// The tree of a story as it is at this instant.
fn tree(story: Option<&Story>, paint: Paint) -> Vec<String> {
    let options = TextOptions { brief: true, ids: true, now: Some(SystemClock.now()) };
    story.into_iter().flat_map(|story| lines(story, &options)).map(|line| paint.line(&line)).collect()
}

fn draw(bar: &ProgressBar, monitor: &Value, story: Option<&Story>) {
    let count = |name: &str| monitor["progress"][name].as_u64().unwrap_or(0);
    bar.set_length(count("total").max(1));
    bar.set_position(count("done") + count("failed"));
    bar.set_prefix(plain(monitor["type"].as_str().unwrap_or_default()));
    let mut lines = vec![with_forecast(progress(monitor), monitor)];
    lines.extend(tree(story, Paint::of(true)));
    let waits = monitor["waitingOn"].as_array().into_iter().flatten();
    lines.extend(waits.map(|wait| plain(&waiting(wait))));
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {more} lines more"));
    }
    bar.set_message(lines.join("\n"));
    bar.tick();
}

/// A line for each delivery whose state changed, and for each new thing that it waits for.
struct Lines {
    started: Instant,
    /// How each delivery stood when it was told.
    said: HashMap<DeliveryId, (State, u32)>,
    /// The sentence about the whole that was told last.
    whole: String,
    waits: HashSet<Vec<String>>,
}

impl Lines {
    fn start() -> Self {
        Self { started: Instant::now(), said: HashMap::new(), whole: String::new(), waits: HashSet::new() }
    }

    fn say(&mut self, monitor: &Value, story: Option<&Story>, console: &Console) -> Result<(), Failure> {
        let seconds = self.started.elapsed().as_secs_f64();
        for (event, delivery) in story.iter().flat_map(|story| story.deliveries()) {
            let stands = (delivery.state, delivery.attempt);
            if self.said.insert(delivery.id, stands) != Some(stands) {
                let text = delivery.sentence(SystemClock.now());
                let (kind, consumer) = (plain(&event.kind), plain(&delivery.consumer));
                console.line(&format!("{seconds:>6.1}s  {kind} -> {consumer} {}  {text}", delivery.id))?;
            }
        }
        // What can't be told delivery by delivery is told as a whole.
        let whole = sentence(monitor);
        if story.is_none_or(|story| story.events.is_empty()) && self.whole != whole {
            console.line(&format!("{seconds:>6.1}s  {}", with_forecast(whole.clone(), monitor)))?;
            self.whole = whole;
        }
        for wait in self.new_waits(monitor) {
            let left = forecast(monitor).map(|left| format!("; {left} in all")).unwrap_or_default();
            console.line(&format!("{seconds:>6.1}s  {}{left}", plain(&waiting(wait))))?;
        }
        Ok(())
    }

    /// What it waits for and was not told yet. That a delivery is not due or waits for a slot of its consumer is told
    /// delivery by delivery. How many are ahead, and who has the slots of a limit, changes too often to be told again.
    fn new_waits<'a>(&mut self, monitor: &'a Value) -> Vec<&'a Value> {
        let waits = monitor["waitingOn"].as_array().into_iter().flatten();
        let waits = waits.filter(|wait| wait["gate"] != "due-time" && wait["gate"] != "capacity");
        let what = |wait: &Value| {
            let holder = if wait["gate"] == "lock" { field(wait, "/holder/operation") } else { String::new() };
            let named = ["/consumer", "/gate", "/name", "/key"].map(|path| field(wait, path));
            named.into_iter().chain([holder]).collect()
        };
        waits.filter(|wait| self.waits.insert(what(wait))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_told_once_and_again_when_another_holds_it() {
        let wait = |gate: &str, holder: &str, position: u32| {
            json!({ "consumer": "a", "gate": gate, "name": "b", "key": "7", "position": position,
                    "holder": { "operation": holder }, "message": format!("{position} ahead") })
        };
        let (lock, limit) = (|holder, at| wait("lock", holder, at), |holder, at| wait("limit", holder, at));
        let due = json!({ "consumer": "a", "gate": "due-time", "name": "a" });
        let mut lines = Lines::start();
        let mut told = |waits: Value| lines.new_waits(&json!({ "waitingOn": waits })).len();
        assert_eq!(told(json!([lock("x", 2), due])), 1);
        assert_eq!(told(json!([lock("x", 1)])), 0, "only the position has changed");
        assert_eq!(told(json!([lock("y", 0)])), 1);
        assert_eq!(told(json!([limit("x", 2)])), 1);
        assert_eq!(told(json!([limit("y", 1)])), 0, "the slots of a limit go from one to the next");
    }
}
