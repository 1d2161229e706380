//! The chain of an operation as a tree of lines: events, who took them, what followed.
//!
//! Events of one type that have the same cause's type stand on one line: a batch of 10,000 is as short as one of 3.

use std::collections::{HashMap, HashSet};

use acceptd::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::output::{plain, span};
use crate::cli::paint::{Mood, Paint};

/// Deliveries of a group that get lines of their own because something is to be said of them.
const NOTABLE: usize = 4;

/// The states of a delivery, as they are listed.
const STATES: [&str; 5] = ["done", "running", "waiting", "dead", "canceled"];

/// Everything of an operation.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Chain {
    pub(crate) events: Vec<Event>,
}

/// An event with its deliveries.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) causation_id: Option<String>,
    #[serde(default)]
    pub(crate) depth: u32,
    #[serde(default)]
    pub(crate) data: Value,
    #[serde(default)]
    pub(crate) deliveries: Vec<Delivery>,
}

/// A delivery with its attempts.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) consumer: String,
    pub(crate) state: String,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) since: Timestamp,
    pub(crate) due: Timestamp,
    #[serde(default)]
    pub(crate) progress: Option<acceptd::ProgressReport>,
    #[serde(default)]
    pub(crate) attempts: Vec<Attempt>,
}

/// An attempt that ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) start_time: Timestamp,
    pub(crate) end_time: Timestamp,
    #[serde(default)]
    pub(crate) error: Option<acceptd::Failure>,
}

impl Delivery {
    /// Its last error.
    pub(crate) fn error(&self) -> Option<&str> {
        self.attempts.iter().rev().find_map(|attempt| attempt.error.as_ref()).map(|error| error.message.as_str())
    }

    fn mood(&self) -> Mood {
        match self.state.as_str() {
            "done" => Mood::Good,
            "running" => Mood::Busy,
            "waiting" => Mood::Waiting,
            "dead" => Mood::Bad,
            _ => Mood::Dim,
        }
    }

    /// How it stands, without its consumer.
    pub(crate) fn sentence(&self, now: Timestamp) -> String {
        let Self { state, attempt, max_attempts, since, due, .. } = self;
        let error = self.error().map(|error| format!(": {error}")).unwrap_or_default();
        let tries = if *attempt > 1 { format!(", attempt {attempt} of {max_attempts}") } else { String::new() };
        plain(&match state.as_str() {
            "done" => match self.attempts.last() {
                Some(last) => format!("done in {}{tries}", span(last.end_time.since(last.start_time))),
                None => format!("done{tries}"),
            },
            "running" => format!("running for {}{tries}{}", span(now.since(*since)), self.reported()),
            "waiting" if *due > now && *attempt > 0 => {
                let left = span(due.since(now));
                format!("waits {left} for attempt {} of {max_attempts}{error}", attempt + 1)
            }
            "waiting" if *due > now => format!("starts in {}", span(due.since(now))),
            "waiting" => format!("waiting for {}", span(now.since(*since))),
            "dead" => format!("gave up after attempt {attempt} of {max_attempts}{error}"),
            other => other.to_owned(),
        })
    }

    fn reported(&self) -> String {
        let Some(report) = &self.progress else { return String::new() };
        let message = report.message.as_deref().map(|message| format!(" {message}")).unwrap_or_default();
        format!(", {}/{}{message}", report.done, report.total)
    }

    /// Whether it deserves a line of its own in a group.
    fn is_notable(&self) -> bool {
        matches!(self.state.as_str(), "dead" | "canceled")
            || (self.state != "done" && self.attempts.iter().any(|attempt| attempt.error.is_some()))
    }
}

impl Chain {
    /// Reads the API's document.
    pub(crate) fn read(document: &Value) -> Self {
        Self::deserialize(document).unwrap_or_default()
    }

    /// All deliveries with their events.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = (&Event, &Delivery)> {
        self.events.iter().flat_map(|event| event.deliveries.iter().map(move |delivery| (event, delivery)))
    }

    /// The chain as lines.
    pub(crate) fn lines(&self, now: Timestamp, paint: Paint) -> Vec<String> {
        let known: HashSet<&str> = self.events.iter().map(|event| event.id.as_str()).collect();
        let mut followers: HashMap<&str, Vec<&Event>> = HashMap::new();
        let mut roots = Vec::new();
        for event in &self.events {
            match event.causation_id.as_deref().filter(|cause| known.contains(cause) && event.depth > 0) {
                Some(cause) => followers.entry(cause).or_default().push(event),
                None => roots.push(event),
            }
        }
        let mut tree = Tree { followers, now, paint, lines: Vec::new() };
        for (kind, events) in grouped(&roots, |event| event.kind.as_str()) {
            tree.group(kind, &events, "", "");
        }
        tree.lines
    }
}

/// Items by a key, in the order of their first appearance.
fn grouped<'a, T>(items: &[&'a T], key: impl Fn(&'a T) -> &'a str) -> Vec<(&'a str, Vec<&'a T>)> {
    let mut groups: Vec<(&str, Vec<&T>)> = Vec::new();
    for item in items {
        let name = key(item);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(item),
            None => groups.push((name, vec![item])),
        }
    }
    groups
}

struct Tree<'a> {
    /// Events by the id of the one before; taken out as they are drawn, so that a circle ends.
    followers: HashMap<&'a str, Vec<&'a Event>>,
    now: Timestamp,
    paint: Paint,
    lines: Vec<String>,
}

impl<'a> Tree<'a> {
    fn group(&mut self, kind: &str, events: &[&'a Event], lead: &str, below: &str) {
        let count = if events.len() > 1 { format!(" x{}", events.len()) } else { String::new() };
        self.lines.push(format!("{lead}{}{count}", plain(kind)));
        let deliveries: Vec<&Delivery> = events.iter().flat_map(|event| &event.deliveries).collect();
        let next: Vec<&Event> =
            events.iter().filter_map(|event| self.followers.remove(event.id.as_str())).flatten().collect();
        let (consumers, kinds) = (grouped(&deliveries, |d| &d.consumer), grouped(&next, |e| &e.kind));
        let mut left = consumers.len() + kinds.len();
        if left == 0 {
            let none = self.paint.color(Mood::Dim, "nobody takes it");
            self.lines.push(format!("{below}{}{none}", self.paint.branches()[1]));
        }
        let [branch, last, line, space] = self.paint.branches();
        let mut next_lead = || {
            left -= 1;
            if left == 0 {
                (format!("{below}{last}"), format!("{below}{space}"))
            } else {
                (format!("{below}{branch}"), format!("{below}{line}"))
            }
        };
        for (consumer, deliveries) in consumers {
            let (lead, below) = next_lead();
            self.consumer(consumer, &deliveries, &lead, &below);
        }
        for (kind, events) in kinds {
            let (lead, below) = next_lead();
            self.group(kind, &events, &lead, &below);
        }
    }

    fn consumer(&mut self, name: &str, deliveries: &[&Delivery], lead: &str, below: &str) {
        let Self { now, paint, .. } = *self;
        if let [delivery] = deliveries {
            let (sign, text) = (paint.sign(delivery.mood()), delivery.sentence(now));
            self.lines.push(format!("{lead}{sign} {name} {}", paint.color(Mood::Dim, &text)));
            return;
        }
        let count = |state: &str| deliveries.iter().filter(|delivery| delivery.state == state).count();
        let counts = STATES.into_iter().map(|state| (state, count(state))).filter(|(_, count)| *count > 0);
        let counts: Vec<_> = counts.map(|(state, count)| format!("{count} {state}")).collect();
        let worst = [Mood::Bad, Mood::Busy, Mood::Waiting, Mood::Dim, Mood::Good];
        let mood = worst.into_iter().find(|mood| deliveries.iter().any(|delivery| delivery.mood() == *mood));
        let sign = paint.sign(mood.unwrap_or(Mood::Dim));
        self.lines.push(format!("{lead}{sign} {name} {}", counts.join(", ")));
        let notable: Vec<_> = deliveries.iter().filter(|delivery| delivery.is_notable()).collect();
        for delivery in notable.iter().take(NOTABLE) {
            let text = format!("{} {}", delivery.id, delivery.sentence(now));
            self.lines.push(format!("{below}  {}", paint.color(delivery.mood(), &text)));
        }
        if notable.len() > NOTABLE {
            self.lines.push(format!("{below}  and {} more like these", notable.len() - NOTABLE));
        }
    }
}
