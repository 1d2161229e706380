//! Limits at run time: where they stand, pause, resume and change them.

use crate::engine::Engine;
use crate::limit::{LimitChange, Rate};
use crate::store::{LimitView, Pausable};
use crate::{Closure, Error, Gate, Result, Timestamp};

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
