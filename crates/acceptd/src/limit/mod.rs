//! Limits: how often something may start and how many may run at once, for everybody or for each key.
//!
//! A limit always waits, it never drops. What is here is pure: the words of a limit ([`Limit`], [`Rate`], [`KeySpec`]),
//! the place of a delivery before its limits ([`Policy`], [`Lane`]), the arithmetic of rates ([`gcra`]) and how a rate
//! that nobody knows is found ([`Adapt`]). Who may start now is decided in `store/turnstile`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Gate, Result};

mod adapt;
pub mod gcra;
mod key;
mod lane;
mod rate;

pub use adapt::Adapt;
pub use key::KeySpec;
pub use lane::{Lane, LimitUse, Policy};
pub use rate::Rate;

/// The most that may be allowed to run at once.
const CONCURRENCY_MAX: u32 = 1_000_000;

/// How many deliveries may start in a time and run at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Its name; consumers name it to be held by it.
    pub name: String,
    /// How often something may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many may run at once, on all nodes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// What it counts apart; None is one limit for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySpec>,
    /// Whether it looks for its rate by itself, from what targets answer. A declared rate is where it begins.
    #[serde(default)]
    pub adapt: bool,
    /// Whether it is the `lock` of a consumer rather than a limit that was named.
    #[serde(default)]
    pub private: bool,
}

impl Limit {
    /// A limit that holds nothing yet: it only learns from targets when to leave them alone.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rate: None, concurrency: None, key: None, adapt: false, private: false }
    }

    /// The lock of a consumer: one at a time for each key.
    pub fn lock(consumer: &str, key: KeySpec) -> Self {
        let name = format!("{consumer}.lock");
        Self { concurrency: Some(1), key: Some(key), private: true, ..Self::new(name) }
    }

    /// Sets how often something may start: `"2/s"`, `"100/m burst 20"`.
    ///
    /// # Errors
    /// `InvalidArgument` for text that is no rate.
    pub fn rate(mut self, rate: &str) -> Result<Self> {
        self.rate = Some(rate.parse()?);
        Ok(self)
    }

    /// Sets how many may run at once.
    #[must_use]
    pub fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = Some(concurrency);
        self
    }

    /// Counts apart for each value of `"/pointer"` into the data, of `"owner"` or of `"subject"`.
    ///
    /// # Errors
    /// `InvalidArgument` for anything else.
    pub fn key(mut self, key: &str) -> Result<Self> {
        self.key = Some(key.parse()?);
        Ok(self)
    }

    /// Lets it look for its rate by itself.
    #[must_use]
    pub fn adapt(mut self) -> Self {
        self.adapt = true;
        self
    }

    /// Whether it is a lock: one at a time for each key.
    pub fn is_lock(&self) -> bool {
        self.concurrency == Some(1) && self.key.is_some()
    }

    /// The gate that it is.
    pub fn gate(&self) -> Gate {
        if self.is_lock() { Gate::Lock } else { Gate::Limit }
    }

    /// What it allows, in words: `2/s, 1 at a time`.
    pub fn allows(&self) -> String {
        let rate = self.rate.map(|rate| rate.to_string());
        let rate = if self.adapt { Some("finds its rate".to_owned()) } else { rate };
        let slots = self.concurrency.map(|slots| format!("{slots} at a time"));
        let parts: Vec<_> = rate.into_iter().chain(slots).collect();
        if parts.is_empty() { "no bound".to_owned() } else { parts.join(", ") }
    }

    /// Checks its name and numbers.
    ///
    /// # Errors
    /// `InvalidArgument` that names the limit.
    pub fn check(&self) -> Result<()> {
        let fits = !self.name.is_empty()
            && self.name.len() <= 100
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits {
            let what = "a limit's name has 1 to 100 letters, digits, '-', '_' and '.'";
            return Err(Error::invalid(format!("{:?}: {what}", self.name)));
        }
        match self.concurrency {
            Some(slots) if !(1..=CONCURRENCY_MAX).contains(&slots) => Err(Error::invalid(format!(
                "limit {}: concurrency must be from 1 to 1,000,000, not {slots}",
                self.name
            ))),
            _ => Ok(()),
        }
    }
}

/// A change of a limit at run time: it holds in place of what was declared, across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitChange {
    /// The rate in place of the declared one; None leaves it, `Some(None)` lifts it.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    pub rate: Option<Option<Rate>>,
    /// The concurrency in place of the declared one; None leaves it, `Some(None)` lifts it.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Option<u32>>,
    /// Who changed it.
    pub by: String,
    /// When.
    pub at: crate::Timestamp,
}

/// Keeps "not said" apart from null.
mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &Option<Option<T>>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(from).map(Some)
    }
}

impl LimitChange {
    /// The limit with this change.
    pub fn apply(&self, declared: &Limit) -> Limit {
        Limit {
            rate: self.rate.unwrap_or(declared.rate),
            concurrency: self.concurrency.unwrap_or(declared.concurrency),
            ..declared.clone()
        }
    }
}

/// How long before its time a delivery may be claimed, so that it can start on time.
pub const AHEAD: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_checked() {
        Limit::new("cloud-api").concurrency(1).check().unwrap();
        for bad in ["", "has space", "a/b"] {
            assert!(Limit::new(bad).check().is_err(), "{bad:?}");
        }
        assert!(Limit::new("a").concurrency(0).check().is_err());
        assert!(Limit::new("a").concurrency(1_000_001).check().is_err());
    }

    #[test]
    fn a_lock_is_one_at_a_time_for_each_key() {
        assert!(Limit::lock("c", KeySpec::Owner).is_lock());
        assert!(!Limit::new("a").concurrency(1).is_lock());
        assert_eq!(Limit::new("a").rate("2/s").unwrap().concurrency(3).allows(), "2/s, 3 at a time");
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let declared = Limit::new("a").rate("2/s").unwrap().concurrency(3);
        let text = r#"{"rate":null,"by":"x","at":"2026-01-01T00:00:00Z"}"#;
        let change: LimitChange = serde_json::from_str(text).unwrap();
        let changed = change.apply(&declared);
        assert_eq!((changed.rate, changed.concurrency), (None, Some(3)));
        let again: LimitChange = serde_json::from_str(&serde_json::to_string(&change).unwrap()).unwrap();
        assert_eq!(again, change);
    }
}
