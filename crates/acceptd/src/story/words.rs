//! How the parts of a story are put into words.

use std::time::Duration;

use super::times::between;
use super::tree::EventNode;
use super::{Story, StoryAttempt, StoryDelivery, StoryEvent};
use crate::delivery::{Ending, State};
use crate::duration::format_duration;
use crate::safe::plain;
use crate::{Failure, Gate, Timestamp, Wait};

/// Waits that are shorter in sum are not put into words.
pub(super) const WAITED_MIN: u64 = 100;

/// Characters of an error that are shown.
const ERROR_MAX: usize = 160;

/// Text of at most so many characters; the last one of those says that there was more.
pub(super) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// How long something takes: `400ms`, `2.1s`, `28s`, `1h30m`.
pub(super) fn span(millis: u64) -> String {
    match millis {
        1_000..10_000 if millis % 1_000 >= 100 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        1_000..10_000 => format!("{}s", millis / 1_000),
        _ => format_duration(Duration::from_millis(millis)),
    }
}

/// A number of bytes: `52 B`, `1.2 KiB`, `3.4 MiB`.
pub(super) fn size(bytes: usize) -> String {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{:.1} KiB", bytes as f64 / KIB as f64),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

/// An error with its code.
pub(super) fn error(failure: &Failure) -> String {
    cut(&plain(&format!("{}: {}", failure.code, failure.message)), ERROR_MAX)
}

/// What a time before a gate was spent for.
pub(super) fn at_gate(gate: Gate, name: &str) -> String {
    let name = plain(name);
    match gate {
        Gate::DueTime => format!("for the due time at {name}"),
        Gate::Pause => format!("while {name} was paused"),
        Gate::Capacity => format!("for a free slot of {name}"),
        Gate::NoConsumer => format!("for someone to serve {name}"),
        Gate::Limit => format!("for limit {name}"),
        Gate::Lock => format!("for lock {name}"),
    }
}

/// What a delivery spent time with before one of its attempts; `before` is how the attempt before ended.
fn spent(wait: &Wait, before: Option<Ending>) -> (&'static str, String) {
    let limit = wait.limit.as_deref().map(plain).unwrap_or_default();
    match (wait.gate, before) {
        (Gate::DueTime, None) => ("delayed", String::new()),
        (Gate::DueTime, Some(Ending::Throttled)) => ("throttled", String::new()),
        (Gate::DueTime, Some(Ending::Snoozed)) => ("snoozed", String::new()),
        (Gate::DueTime, Some(_)) => ("backed off", String::new()),
        (Gate::Pause, _) => ("paused", String::new()),
        (Gate::Capacity, _) => ("waited", " for a free slot".to_owned()),
        (Gate::NoConsumer, _) => ("waited", " for someone to serve it".to_owned()),
        (Gate::Limit, _) => ("waited", format!(" for limit {limit}")),
        (Gate::Lock, _) => ("waited", format!(" for lock {limit}")),
    }
}

/// Sums of waits in the order of their first appearance.
#[derive(Default)]
pub(super) struct Waited(Vec<((&'static str, String), u64)>);

impl Waited {
    fn add(&mut self, waits: &[Wait], before: Option<Ending>) {
        for wait in waits {
            let (what, millis) = (spent(wait, before), between(wait.from, wait.until));
            match self.0.iter_mut().find(|(known, _)| *known == what) {
                Some((_, sum)) => *sum += millis,
                None => self.0.push((what, millis)),
            }
        }
    }

    /// Everything that a delivery waited for.
    pub(super) fn of(deliveries: &[&StoryDelivery]) -> Self {
        let mut waited = Self::default();
        for delivery in deliveries {
            let mut before = None;
            for attempt in &delivery.attempts {
                waited.add(&attempt.waits, before);
                before = Some(attempt.ending);
            }
            waited.add(&delivery.waits, before);
        }
        waited
    }

    /// One phrase for each that took a while: `waited 2.1s for limit stripe`.
    pub(super) fn phrases(&self) -> impl Iterator<Item = String> {
        let long = self.0.iter().filter(|(_, millis)| *millis >= WAITED_MIN);
        long.map(|((verb, what), millis)| format!("{verb} {}{what}", span(*millis)))
    }
}

/// How long deliveries ran, over all attempts.
pub(super) fn ran(deliveries: &[&StoryDelivery], now: Timestamp) -> u64 {
    let attempts = deliveries.iter().flat_map(|delivery| &delivery.attempts);
    let ended: u64 = attempts.map(|attempt| between(attempt.start_time, attempt.end_time)).sum();
    let running = deliveries.iter().filter(|delivery| delivery.state == State::Running);
    ended + running.map(|delivery| between(delivery.since, now)).sum::<u64>()
}

/// How a delivery stands. `why` says what it waits for; its last error is told unless it has ended well.
pub(super) fn sentence(delivery: &StoryDelivery, now: Timestamp, why: Option<&str>, with_error: bool) -> String {
    let StoryDelivery { state, attempt, max_attempts, .. } = delivery;
    let mut parts = match state {
        State::Waiting => vec![waiting(delivery, now, why)],
        State::Running => vec![format!("running for {}", span(between(delivery.since, now)))],
        State::Done | State::Dead | State::Canceled => vec![state.as_str().to_owned()],
    };
    if *state != State::Waiting {
        parts.extend(Waited::of(&[delivery]).phrases());
    }
    if state.has_ended() && !delivery.attempts.is_empty() {
        parts.push(format!("ran {}", span(ran(&[delivery], now))));
    }
    if *state != State::Waiting && *attempt > 1 {
        parts.push(format!("attempt {attempt} of {max_attempts}"));
    }
    parts.extend(reported(delivery));
    parts.extend(delivery.result_size.map(|bytes| format!("result {}", size(bytes))));
    let failure = delivery.error().filter(|_| with_error && matches!(state, State::Waiting | State::Dead));
    let error = failure.map(|failure| format!(": {}", error(failure))).unwrap_or_default();
    parts.join(", ") + &error
}

fn waiting(delivery: &StoryDelivery, now: Timestamp, why: Option<&str>) -> String {
    let (waits, left) = (span(between(delivery.since, now)), span(between(now, delivery.due)));
    match why {
        Some(why) => format!("waiting for {waits}: {}", plain(why)),
        None if delivery.due > now && delivery.attempt > 0 => {
            format!("waiting, {left} until attempt {} of {}", delivery.attempt + 1, delivery.max_attempts)
        }
        None if delivery.due > now => format!("waiting, starts in {left}"),
        None => {
            let (_, gate) = delivery.waits.last().map(|wait| spent(wait, None)).unwrap_or_default();
            format!("waiting for {waits}{gate}")
        }
    }
}

/// What a running handler last said of its progress.
fn reported(delivery: &StoryDelivery) -> Option<String> {
    let report = delivery.progress.as_ref().filter(|_| delivery.state == State::Running)?;
    let message = report.message.as_deref().map(|message| format!(" {}", plain(message))).unwrap_or_default();
    Some(format!("{}/{}{message}", report.done, report.total))
}

/// How an attempt went; `before` is how the one before it ended.
pub(super) fn attempt(attempt: &StoryAttempt, before: Option<Ending>) -> String {
    let mut waited = Waited::default();
    waited.add(&attempt.waits, before);
    let mut parts = vec![ended(attempt.ending).to_owned()];
    parts.extend(waited.phrases());
    parts.push(format!("ran {}", span(between(attempt.start_time, attempt.end_time))));
    let error = attempt.error.as_ref().map(|failure| format!(": {}", error(failure))).unwrap_or_default();
    parts.join(", ") + &error
}

/// The word for how an attempt ended.
pub(super) fn ended(ending: Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Retry | Ending::Dead => "failed",
        Ending::Snoozed => "snoozed",
        Ending::Throttled => "throttled",
        Ending::Released => "released",
        Ending::Canceled => "canceled",
        Ending::Lost => "lost",
    }
}

/// How many of several deliveries are in which state: `29 done, 1 dead`.
pub(super) fn counts(deliveries: &[&StoryDelivery]) -> Vec<String> {
    const STATES: [State; 5] = [State::Done, State::Running, State::Waiting, State::Dead, State::Canceled];
    let count = |state: State| deliveries.iter().filter(|delivery| delivery.state == state).count();
    let counts = STATES.into_iter().map(|state| (state, count(state))).filter(|(_, count)| *count > 0);
    counts.map(|(state, count)| format!("{count} {}", state.as_str())).collect()
}

/// The state that says most of several deliveries: something dead, or else something that goes on.
pub(super) fn worst(deliveries: &[&StoryDelivery]) -> Option<State> {
    const WORST: [State; 5] = [State::Dead, State::Running, State::Waiting, State::Canceled, State::Done];
    WORST.into_iter().find(|state| deliveries.iter().any(|delivery| delivery.state == *state))
}

/// The type of a node's events, with how many they are, how many of their deliveries are dead letters, and how large
/// their data is.
pub(super) fn event(node: &EventNode<'_>, with_size: bool) -> (String, String) {
    let dead = node.deliveries.iter().flat_map(|one| &one.deliveries).filter(|one| one.state == State::Dead).count();
    let mut facts = Vec::new();
    let name = match node.events.as_slice() {
        [event] => plain(&event.kind),
        events => {
            facts.extend((dead > 0).then(|| format!("{dead} failed")));
            format!("{} x {}", plain(events.first().map_or("", |event| &event.kind)), events.len())
        }
    };
    if with_size {
        facts.extend(sizes(&node.events));
    }
    (name, if facts.is_empty() { String::new() } else { format!("({})", facts.join(", ")) })
}

/// How large the data of events is, and of what kind unless it is JSON.
fn sizes(events: &[&StoryEvent]) -> Option<String> {
    let total: usize = events.iter().map(|event| event.size).sum();
    let kind = events.first()?.content_type.as_deref()?;
    let is_plain = crate::is_json(kind) || events.iter().any(|event| event.content_type.as_deref() != Some(kind));
    Some(if is_plain { size(total) } else { format!("{} of {}", size(total), cut(&plain(kind), 60)) })
}

/// The first line: how the operation stands and where the time went.
pub(super) fn headline(story: &Story) -> String {
    let Story { kind, status, times, .. } = story;
    let total = format!("{} {}, {}", plain(kind), status.as_str(), span(times.total_ms));
    if times.total_ms == 0 {
        return total;
    }
    let [waiting, running, backing_off] = times.shares();
    format!("{total} = waiting {waiting}% / running {running}% / backing off {backing_off}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_and_cut() {
        let error = error(&Failure::new("x\n", "é\u{7}".repeat(500)));
        assert_eq!(error.chars().count(), ERROR_MAX);
        assert!(error.starts_with("x : é é") && error.ends_with('…'), "{error}");
    }

    #[test]
    fn durations_and_sizes() {
        let spans = [0, 7, 999, 1_000, 1_099, 2_100, 9_999, 10_000, 61_234, 5_400_000].map(span);
        assert_eq!(spans, ["0s", "7ms", "999ms", "1s", "1s", "2.1s", "9.9s", "10s", "1m1s", "1h30m"]);
        assert_eq!(
            [0, 52, 1_023, 1_024, 1_300, 3_565_158].map(size),
            ["0 B", "52 B", "1023 B", "1.0 KiB", "1.3 KiB", "3.4 MiB"]
        );
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!((cut("12345", 5), cut("äöüßé!", 5)), ("12345".to_owned(), "äöüß…".to_owned()));
    }
}
