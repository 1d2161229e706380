//! Handles of metrics, made once: what is recorded for each attempt is not looked up by name.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::metric::{self, label};
use crate::delivery::Ending;
use crate::store::ConsumerView;
use crate::{Failure, Status, Timestamp};

/// What becomes of event types that nobody declares: they may be as many as callers like.
const OTHER: &str = "other";

/// What the engine measures apart from consumers.
pub(crate) struct EngineMeter {
    pub(crate) accept: Histogram,
    pub(crate) lock_wait: Histogram,
    pub(crate) rate_limited: Counter,
    pub(crate) leases_lost: Counter,
    operations: BTreeMap<String, [Counter; 3]>,
    others: [Counter; 3],
}

impl EngineMeter {
    /// For these event types.
    pub(crate) fn new<'a>(known: impl IntoIterator<Item = &'a String>) -> Self {
        let ended = |kind: &str| {
            [Status::Succeeded, Status::Failed, Status::Canceled].map(|status| {
                let labels = [(label::EVENT_TYPE, kind.to_owned()), (label::OUTCOME, status.as_str().to_owned())];
                counter!(metric::OPERATIONS, &labels)
            })
        };
        Self {
            accept: histogram!(metric::ACCEPT_SECONDS),
            lock_wait: histogram!(metric::LOCK_WAIT_SECONDS),
            rate_limited: counter!(metric::RATE_LIMITED),
            leases_lost: counter!(metric::LEASES_LOST),
            operations: known.into_iter().map(|kind| (kind.clone(), ended(kind))).collect(),
            others: ended(OTHER),
        }
    }

    /// An operation of this type ended.
    pub(crate) fn operation_ended(&self, kind: &str, status: Status) {
        let [succeeded, failed, canceled] = self.operations.get(kind).unwrap_or(&self.others);
        match status {
            Status::Succeeded => succeeded.increment(1),
            Status::Failed => failed.increment(1),
            Status::Canceled => canceled.increment(1),
            Status::Queued | Status::Running => {}
        }
    }
}

/// What an attempt's target answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did the work.
    Done,
    /// An HTTP status of this hundred.
    Status(u8),
    /// An error of its own, or no answer.
    Error,
    /// Nobody heard.
    Nothing,
}

impl Answer {
    const WORDS: [&str; 6] = ["2xx", "3xx", "4xx", "5xx", "error", "none"];

    /// What a failure says of it: its code is `http-503` where the target answered 503.
    pub(crate) fn of(failure: &Failure) -> Self {
        match failure.code.strip_prefix("http-").and_then(|status| status.bytes().next()) {
            Some(hundred @ b'3'..=b'5') => Self::Status(hundred - b'0'),
            _ => Self::Error,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Done => 0,
            Self::Status(hundred) => usize::from(hundred.clamp(3, 5)) - 2,
            Self::Error => 4,
            Self::Nothing => 5,
        }
    }
}

/// What is measured of a consumer.
pub(crate) struct ConsumerMeter {
    name: String,
    /// By how the attempt ended; made when one ends so for the first time.
    handler: [OnceLock<Histogram>; Ending::ALL.len()],
    answers: [Counter; Answer::WORDS.len()],
    retries: Counter,
}

impl ConsumerMeter {
    pub(crate) fn new(name: &str) -> Self {
        let answers = Answer::WORDS.map(|word| {
            let labels = [(label::CONSUMER, name.to_owned()), (label::CODE_CLASS, word.to_owned())];
            counter!(metric::DELIVERIES, &labels)
        });
        let retries = counter!(metric::RETRIES, label::CONSUMER => name.to_owned());
        Self { name: name.to_owned(), handler: Default::default(), answers, retries }
    }

    /// An attempt ended so, after this long.
    pub(crate) fn ended(&self, ending: Ending, answer: Answer, took: Duration) {
        if let Some(handler) = self.handler.get(ending as usize) {
            handler.get_or_init(|| self.histogram(ending)).record(took.as_secs_f64());
        }
        if let Some(answers) = self.answers.get(answer.index()) {
            answers.increment(1);
        }
    }

    /// Another attempt follows one that failed.
    pub(crate) fn retried(&self) {
        self.retries.increment(1);
    }

    fn histogram(&self, ending: Ending) -> Histogram {
        let labels = [(label::CONSUMER, self.name.clone()), (label::OUTCOME, ending.as_str().to_owned())];
        histogram!(metric::HANDLER_SECONDS, &labels)
    }
}

/// Sets the gauges of a consumer.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn gauge(view: &ConsumerView, now: Timestamp) {
    let name = || view.name.clone();
    for (state, count) in [("waiting", view.waiting), ("running", view.running)] {
        metrics::gauge!(metric::QUEUE_DEPTH, label::CONSUMER => name(), label::STATE => state).set(count as f64);
    }
    let age = view.ready_since.map_or(Duration::ZERO, |since| now.since(since));
    metrics::gauge!(metric::OLDEST_READY_AGE, label::CONSUMER => name()).set(age.as_secs_f64());
    metrics::gauge!(metric::DEAD_LETTERS, label::CONSUMER => name()).set(view.dead as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_by_their_hundred() {
        let word = |code: &str| Answer::WORDS[Answer::of(&Failure::new(code, "")).index()];
        let words = ["http-301", "http-429", "http-503", "http-broken", "timeout", "http-"].map(word);
        assert_eq!(words, ["3xx", "4xx", "5xx", "error", "error", "error"]);
        assert_eq!(Answer::WORDS[Answer::Done.index()], "2xx");
        assert_eq!(Answer::WORDS[Answer::Nothing.index()], "none");
    }
}
