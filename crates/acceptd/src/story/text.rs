//! A story as lines of text: the same story gives the same text.

use std::collections::HashMap;

use super::times::between;
use super::tree::{DeliveryNode, EventNode, tree};
use super::words::{self, span};
use super::{Story, StoryAttempt, StoryDelivery, StoryEvent};
use crate::delivery::State;
use crate::safe::plain;
use crate::wait::WaitingOn;
use crate::{DeliveryId, Timestamp};

/// More siblings that are alike are one line.
const FOLD: usize = 20;

/// Deliveries of one line that get lines of their own because something is to be said of them.
const NOTABLE: usize = 4;

/// Gates that are told at the top.
const GATES: usize = 5;

/// What is shown besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextOptions {
    /// Ids of the operation, its events and deliveries. Without them, what goes the same way reads the same.
    pub ids: bool,
    /// For something that is drawn again and again: only the tree, with one line for all events of a type, and without
    /// attempts, sizes, and what is waited for.
    pub brief: bool,
    /// The present instant, for what runs and waits; None is when the story was read.
    pub now: Option<Timestamp>,
}

/// What stands before a line to draw the tree, one for each level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rail {
    /// The line hangs here, and others below it.
    Branch,
    /// The line hangs here, and it is the last.
    Last,
    /// A later line hangs here.
    Through,
    /// Nothing more hangs here.
    Blank,
}

/// A line of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What stands before it.
    pub rails: Vec<Rail>,
    /// The state that it shows, when it is about deliveries.
    pub mark: Option<State>,
    /// What it is about; may be empty.
    pub name: String,
    /// What is said of it; may be empty.
    pub says: String,
}

/// A story as text: how the operation stands and where the time went, then the tree of its events, deliveries and
/// attempts. More than 20 siblings of one type are told as one. Ends without a line feed.
///
/// ```text
/// ec2.start succeeded, 12s = waiting 60% / running 40% / backing off 0%
/// waited 7.2s for limit cloud-api
/// ec2.start (52 B)
/// └─ ✓ start-ec2 done, waited 7.2s for limit cloud-api, ran 4.8s, result 31 B
/// ```
pub fn text(story: &Story, options: &TextOptions) -> String {
    let lines = lines(story, options);
    lines.iter().map(Line::to_text).collect::<Vec<_>>().join("\n")
}

/// The same, line by line, for whoever has colors or other signs.
pub fn lines(story: &Story, options: &TextOptions) -> Vec<Line> {
    let waits = story.waiting_on.iter().filter_map(|wait| Some((wait.delivery?, wait))).collect();
    let now = options.now.unwrap_or(story.read_time);
    let telling = Telling { story, options, now, waits };
    let mut lines = if options.brief { Vec::new() } else { telling.head() };
    for node in tree(story, if options.brief { 1 } else { FOLD }) {
        lay(telling.event(&node), &[], &[], &mut lines);
    }
    lines
}

impl Line {
    fn new(mark: Option<State>, name: impl Into<String>, says: impl Into<String>) -> Self {
        Self { rails: Vec::new(), mark, name: name.into(), says: says.into() }
    }

    fn to_text(&self) -> String {
        let rail = |rail: &Rail| match rail {
            Rail::Branch => "├─ ",
            Rail::Last => "└─ ",
            Rail::Through => "│  ",
            Rail::Blank => "   ",
        };
        let sign = self.mark.map_or("", |state| match state {
            State::Done => "✓",
            State::Running => "▶",
            State::Waiting => "·",
            State::Dead => "✗",
            State::Canceled => "-",
        });
        let words = [sign, &self.name, &self.says];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        self.rails.iter().map(rail).chain([words.join(" ").as_str()]).collect()
    }
}

/// A line and what hangs below it.
struct Twig {
    line: Line,
    below: Vec<Twig>,
}

impl Twig {
    fn leaf(line: Line) -> Self {
        Self { line, below: Vec::new() }
    }
}

/// Lays a twig out: its line after `rails`, and what is below it after `under`.
fn lay(twig: Twig, rails: &[Rail], under: &[Rail], into: &mut Vec<Line>) {
    into.push(Line { rails: rails.to_vec(), ..twig.line });
    let count = twig.below.len();
    for (at, below) in twig.below.into_iter().enumerate() {
        let (here, then) = if at + 1 == count { (Rail::Last, Rail::Blank) } else { (Rail::Branch, Rail::Through) };
        lay(below, &[under, &[here]].concat(), &[under, &[then]].concat(), into);
    }
}

struct Telling<'a> {
    story: &'a Story,
    options: &'a TextOptions,
    now: Timestamp,
    /// What waits, by the first delivery that does.
    waits: HashMap<DeliveryId, &'a WaitingOn>,
}

impl Telling<'_> {
    fn head(&self) -> Vec<Line> {
        let Story { operation, owner, trace_id, waits, waiting_on, .. } = self.story;
        let mut lines = vec![words::headline(self.story)];
        lines.extend(owner.as_ref().map(|owner| format!("owner {}", plain(owner))));
        if self.options.ids {
            lines.push(format!("operation {operation}"));
            lines.extend(trace_id.as_ref().map(|trace| format!("trace {}", plain(trace))));
        }
        for time in waits.iter().filter(|time| time.total_ms >= words::WAITED_MIN).take(GATES) {
            let several = if time.count > 1 { format!(" ({} deliveries)", time.count) } else { String::new() };
            lines.push(format!("waited {} {}{several}", span(time.total_ms), words::at_gate(time.gate, &time.name)));
        }
        // What waits and stands in no line of the tree.
        let homeless = waiting_on.iter().filter(|wait| wait.delivery.is_none());
        lines.extend(homeless.map(|wait| self.why(wait)));
        lines.into_iter().map(|line| Line::new(None, line, "")).collect()
    }

    fn event(&self, node: &EventNode<'_>) -> Twig {
        let (name, facts) = words::event(node, !self.options.brief);
        let mut says = vec![facts];
        if let ([event], true) = (node.events.as_slice(), self.options.ids && !self.options.brief) {
            says.push(plain(&event.id));
        }
        if node.deliveries.is_empty() {
            says.push(self.nobody(&node.events).to_owned());
        }
        says.retain(|part| !part.is_empty());
        let mut below: Vec<Twig> = node.deliveries.iter().map(|one| self.delivery(one)).collect();
        below.extend(node.next.iter().map(|next| self.event(next)));
        if node.deeper > 0 {
            below.push(Twig::leaf(Line::new(None, "", format!("and {} events below", node.deeper))));
        }
        Twig { line: Line::new(None, name, says.join(" ")), below }
    }

    fn nobody(&self, events: &[&StoryEvent]) -> &'static str {
        let waits = events.iter().all(|event| event.depth == 0) && !self.story.status.is_done();
        if waits { "waits: nobody takes it" } else { "nobody takes it" }
    }

    fn delivery(&self, node: &DeliveryNode<'_>) -> Twig {
        let (line, mut below) = match node.deliveries.as_slice() {
            [delivery] => self.single(delivery),
            several => self.several(node.consumer, several),
        };
        below.extend(node.next.iter().map(|next| self.event(next)));
        Twig { line, below }
    }

    fn single(&self, delivery: &StoryDelivery) -> (Line, Vec<Twig>) {
        let attempts = if self.options.brief { Vec::new() } else { attempts(delivery, self.now) };
        let why = self.waits.get(&delivery.id).filter(|_| !self.options.brief).map(|wait| self.why(wait));
        let mut says = words::sentence(delivery, self.now, why.as_deref(), attempts.is_empty());
        if self.options.ids && !self.options.brief {
            says = format!("{says} {}", delivery.id);
        }
        let line = Line::new(Some(delivery.state), plain(&delivery.consumer), says);
        (line, attempts.into_iter().map(Twig::leaf).collect())
    }

    fn several(&self, consumer: &str, deliveries: &[&StoryDelivery]) -> (Line, Vec<Twig>) {
        let mut says = words::counts(deliveries);
        if !self.options.brief {
            says.extend(words::Waited::of(deliveries).phrases());
            says.push(format!("ran {} in all", span(words::ran(deliveries, self.now))));
        }
        let line = Line::new(words::worst(deliveries), plain(consumer), says.join(", "));
        let mut below = Vec::new();
        if !self.options.brief {
            let whys = deliveries.iter().filter_map(|delivery| self.waits.get(&delivery.id));
            below.extend(whys.map(|wait| Line::new(Some(State::Waiting), "", self.why(wait))));
        }
        let notable: Vec<_> = deliveries.iter().filter(|delivery| is_notable(delivery)).collect();
        for delivery in notable.iter().take(NOTABLE) {
            let name = if self.options.ids { delivery.id.to_string() } else { String::new() };
            below.push(Line::new(Some(delivery.state), name, words::sentence(delivery, self.now, None, true)));
        }
        if notable.len() > NOTABLE {
            below.push(Line::new(None, "", format!("and {} more like these", notable.len() - NOTABLE)));
        }
        (line, below.into_iter().map(Twig::leaf).collect())
    }

    /// A wait in one sentence. Who holds a lock is told without its id unless ids are asked for.
    fn why(&self, wait: &WaitingOn) -> String {
        let mut message = wait.message.clone();
        if let Some(holder) = wait.holder.as_ref().filter(|_| !self.options.ids) {
            let whose = if holder.operation == self.story.operation { "this" } else { "another" };
            message = message.replace(&format!("operation {}", holder.operation), &format!("{whose} operation"));
        }
        let count = if wait.count > 1 { format!(" ({} deliveries)", wait.count) } else { String::new() };
        plain(&(message + &count))
    }
}

/// Whether a delivery among many deserves a line of its own.
fn is_notable(delivery: &StoryDelivery) -> bool {
    matches!(delivery.state, State::Dead | State::Canceled)
        || (delivery.state != State::Done && delivery.error().is_some())
}

/// The attempts of a delivery, when there is more to say than its own line does. Many that ended alike are one line.
fn attempts(delivery: &StoryDelivery, now: Timestamp) -> Vec<Line> {
    let ended = &delivery.attempts;
    let is_running = delivery.state == State::Running;
    if ended.len() + usize::from(is_running) < 2 && (ended.is_empty() || delivery.state.has_ended()) {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let mut before = None;
    for run in ended.chunk_by(|a, b| a.ending == b.ending && code(a) == code(b)) {
        if run.len() > FOLD
            && let [first, .., last] = run
        {
            let name = format!("attempts {} to {} x {}", first.number, last.number, run.len());
            lines.push(Line::new(None, name, format!("the last {}", words::attempt(last, Some(first.ending)))));
            before = Some(last.ending);
            continue;
        }
        for attempt in run {
            lines.push(Line::new(None, format!("attempt {}", attempt.number), words::attempt(attempt, before)));
            before = Some(attempt.ending);
        }
    }
    if is_running {
        let says = format!("running for {}", span(between(delivery.since, now)));
        lines.push(Line::new(None, format!("attempt {}", delivery.attempt), says));
    }
    lines
}

fn code(attempt: &StoryAttempt) -> Option<&str> {
    attempt.error.as_ref().map(|error| error.code.as_str())
}
