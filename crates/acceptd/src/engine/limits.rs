//! Limits at run time: where they stand, pause, resume and change them.

use crate::duration::format_duration;
use crate::engine::Engine;
use crate::limit::{LimitChange, Rate};
use crate::store::{LimitView, Pausable};
use crate::{Closure, Error, Gate, Result, Timestamp};

/// Where a limit stands, in one sentence.
pub fn describe_limit(view: &LimitView, now: Timestamp) -> String {
    let LimitView { limit, pause, in_use, waiting, keys, .. } = view;
    let word = if limit.is_lock() { "lock" } else { "limit" };
    let numbers = format!("{in_use} in use, {waiting} waiting");
    if let Some(Closure { by, reason, until, .. }) = pause {
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let until = match until {
            Some(until) => format!(" for {} more, until {until}", format_duration(until.since(now))),
            None => String::new(),
        };
        return format!("{word} {} is paused by {by}{reason}{until}: {numbers}", limit.name);
    }
    let paused = keys.iter().filter(|key| key.pause.is_some()).count();
    let paused = match (paused, &limit.key) {
        (0, _) => String::new(),
        (_, None) => ", paused by its target".to_owned(),
        (1, Some(_)) => ", 1 key paused".to_owned(),
        (several, Some(_)) => format!(", {several} keys paused"),
    };
    let found = keys.iter().filter_map(|key| key.found_rate).reduce(f64::max);
    let found = found.map(|rate| format!(", found {} so far", Rate::words(rate))).unwrap_or_default();
    format!("{word} {} ({}): {numbers}{paused}{found}", limit.name, limit.allows())
}

impl Engine {
    /// Every limit and where it stands.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn limits(&self) -> Result<Vec<LimitView>> {
        self.0.store.limits(self.now()).await
    }

    /// One limit and where it stands.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name.
    pub async fn limit(&self, name: &str) -> Result<LimitView> {
        let mut limits = self.limits().await?;
        match limits.iter().position(|view| view.limit.name == name) {
            Some(index) => Ok(limits.swap_remove(index)),
            None => {
                let names = limits.iter().map(|view| view.limit.name.as_str());
                Err(match super::nearest(name, names) {
                    Some(near) => Error::not_found("limit", format!("{name}; did you mean {near}?")),
                    None => Error::not_found("limit", name),
                })
            }
        }
    }

    /// Lets nothing start that a limit holds, of one key or of all, until it is resumed or until `until`.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn pause_limit(
        &self,
        name: &str,
        key: Option<String>,
        until: Option<Timestamp>,
        by: &str,
        reason: &str,
    ) -> Result<LimitView> {
        let view = self.limit(name).await?;
        let (by, reason) = (by.to_owned(), reason.to_owned());
        let closure = Closure { gate: Gate::Pause, from: self.now(), until, by, reason };
        self.0.store.pause(Pausable::Limit { limit: name.to_owned(), key }, closure).await?;
        self.wake(&view.consumers);
        self.limit(name).await
    }

    /// Lets a limit go on, one key of it or all. False when nothing of it was paused.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn resume_limit(&self, name: &str, key: Option<String>) -> Result<(bool, LimitView)> {
        let view = self.limit(name).await?;
        let resumed = self.0.store.resume(Pausable::Limit { limit: name.to_owned(), key }, self.now()).await?;
        self.0.pacer.resume(name);
        self.wake(&view.consumers);
        Ok((resumed, self.limit(name).await?))
    }

    /// Changes a limit from now on, also after a restart. What is None stays as it is; `Some(None)` lifts it.
    ///
    /// # Errors
    /// `NotFound`; `InvalidArgument` when the limit would be none.
    pub async fn change_limit(
        &self,
        name: &str,
        rate: Option<Option<Rate>>,
        concurrency: Option<Option<u32>>,
        by: &str,
    ) -> Result<LimitView> {
        let view = self.limit(name).await?;
        let before =
            view.change.unwrap_or(LimitChange { rate: None, concurrency: None, by: String::new(), at: self.now() });
        let change = LimitChange {
            rate: rate.or(before.rate),
            concurrency: concurrency.or(before.concurrency),
            by: by.to_owned(),
            at: self.now(),
        };
        change.apply(&view.declared).check()?;
        self.0.store.change_limit(name.to_owned(), Some(change)).await?;
        self.wake(&view.consumers);
        self.limit(name).await
    }

    /// Takes a change of a limit back: what is declared holds again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn reset_limit(&self, name: &str) -> Result<LimitView> {
        let view = self.limit(name).await?;
        self.0.store.change_limit(name.to_owned(), None).await?;
        self.wake(&view.consumers);
        self.limit(name).await
    }
}
