//! How an attempt ends: what a handler returns, and what the engine makes of it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Data, Draft, Timestamp};

/// Why an attempt failed, as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word for machines, such as `http-503`, `timeout`, `panic`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// The HTTP status that the operation's result answers with; 500 where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Failure {
    /// A failure with a code and a sentence. Sentences over 2,000 characters are cut.
    pub fn new(code: impl Into<String>, message: impl fmt::Display) -> Self {
        let mut message = message.to_string();
        if let Some((end, _)) = message.char_indices().nth(2_000) {
            message.truncate(end);
            message.push('…');
        }
        Self { code: code.into(), message, status: None }
    }
}

/// How far something is, as its handler reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProgressReport {
    /// Units finished.
    pub done: u64,
    /// Units in all; 0 when unknown.
    pub total: u64,
    /// What is going on, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How urgent a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    #[default]
    Info,
    /// Something ended well.
    Success,
    /// Something needs a look.
    Warning,
    /// Something failed.
    Error,
}

impl Level {
    /// The word used in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A message for an owner, before it is stored as a notification.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notice {
    /// One line.
    pub title: String,
    /// The rest.
    #[serde(default)]
    pub text: String,
    /// How urgent.
    #[serde(default)]
    pub level: Level,
    /// Who gets it; the operation's owner when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A target's wish to be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttle {
    /// Until when.
    pub until: Timestamp,
    /// What it said.
    pub reason: String,
}

/// A finished attempt: what it leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// The delivery's result.
    pub result: Option<Data>,
    /// Events that follow from it; stored in the same transaction as the end of the delivery.
    pub emit: Vec<Draft>,
    /// Its last progress.
    pub progress: Option<ProgressReport>,
    /// A message to the owner.
    pub notify: Option<Notice>,
    /// The target asks to be left alone until then: its limits pause.
    pub pause: Option<Throttle>,
}

/// An attempt that did not finish: why, and what shall happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail {
    /// What happened.
    pub failure: Failure,
    /// What shall happen next.
    pub next: Next,
    /// Whether the target may still be working on it: nobody heard of its end.
    pub unfinished: bool,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Try again by the consumer's retry policy.
    Retry,
    /// Try again after this long; counts as an attempt.
    RetryAfter(Duration),
    /// Not a failure: come back after this long. Counts as no attempt.
    Snooze(Duration),
    /// The target asks to be left alone until then: the limit pauses for everyone. Counts as no attempt.
    Throttled {
        /// The limit that is throttled; None is the consumer's own implicit limit.
        limit: Option<String>,
        /// Until when.
        until: Timestamp,
    },
    /// Never try again: a dead letter.
    GiveUp,
}

/// What a handler returns.
pub type Outcome = std::result::Result<Done, Fail>;

impl Done {
    /// Finished without a result.
    ///
    /// # Errors
    /// Never; it is an [`Outcome`] so that it can be a handler's last expression.
    pub fn new() -> Outcome {
        Ok(Self::default())
    }

    /// Finished with a result, kept as JSON.
    ///
    /// # Errors
    /// A [`Fail`] that gives up when the value can't be written as JSON.
    pub fn with(result: impl Serialize) -> Outcome {
        let result = Data::json(&result).map_err(|error| Fail::terminal("bad-result", error))?;
        Ok(Self { result: Some(result), ..Self::default() })
    }
}

impl Fail {
    /// Try again by the retry policy.
    pub fn retry(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { failure: Failure::new(code, message), next: Next::Retry, unfinished: false }
    }

    /// Never try again.
    pub fn terminal(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { failure: Failure::new(code, message), next: Next::GiveUp, unfinished: false }
    }

    /// Come back later without counting an attempt.
    pub fn snooze(after: Duration) -> Self {
        let failure = Failure::new("snooze", "asked to come back later");
        Self { failure, next: Next::Snooze(after), unfinished: false }
    }

    /// The same, where nobody knows whether the target goes on with it.
    #[must_use]
    pub fn unfinished(self) -> Self {
        Self { unfinished: true, ..self }
    }
}

impl<E: std::error::Error> From<E> for Fail {
    /// `?` on any error tries again by the retry policy.
    fn from(error: E) -> Self {
        Self::retry("handler-error", error)
    }
}

/// Says on a handler's error what shall follow; without it `?` retries.
pub trait FailExt<T> {
    /// Never try again: a dead letter.
    ///
    /// # Errors
    /// The error as a [`Fail`].
    fn terminal(self) -> Result<T, Fail>;

    /// Try again after this long.
    ///
    /// # Errors
    /// The error as a [`Fail`].
    fn retry_after(self, after: Duration) -> Result<T, Fail>;

    /// The target throttles: pause the named limit until then; counts as no attempt.
    ///
    /// # Errors
    /// The error as a [`Fail`].
    fn throttled(self, limit: &str, until: Timestamp) -> Result<T, Fail>;
}

impl<T, E: Into<Fail>> FailExt<T> for Result<T, E> {
    fn terminal(self) -> Result<T, Fail> {
        self.map_err(|error| Fail { next: Next::GiveUp, ..error.into() })
    }

    fn retry_after(self, after: Duration) -> Result<T, Fail> {
        self.map_err(|error| Fail { next: Next::RetryAfter(after), ..error.into() })
    }

    fn throttled(self, limit: &str, until: Timestamp) -> Result<T, Fail> {
        self.map_err(|error| Fail { next: Next::Throttled { limit: Some(limit.to_owned()), until }, ..error.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(text: &str) -> Outcome {
        let number: u32 = text.parse().terminal()?;
        Done::with(number)
    }

    #[test]
    fn question_mark_and_terminal() {
        assert_eq!(handler("x").unwrap_err().next, Next::GiveUp);
        assert_eq!(handler("7").unwrap().result.unwrap().bytes, "7");
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(Failure::new("x", "é".repeat(3_000)).message.chars().count(), 2_001);
    }
}
