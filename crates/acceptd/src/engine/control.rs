//! What people do: cancel, retry, discard, pause, resume.

use crate::engine::{Engine, Monitor};
use crate::store::{DeadLetters, Pausable, Stopped};
use crate::{Closure, DeliveryId, Error, Gate, OperationId, Result, Timestamp};

impl Engine {
    /// Cancels everything of an operation that has not ended; attempts that run are stopped.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended.
    pub async fn cancel(&self, id: OperationId) -> Result<Monitor> {
        let stopped = self.0.store.cancel(id, self.now()).await?;
        self.0.running.stop(&stopped.running);
        let canceled = &stopped.operation.operation;
        if let Some((status, _)) = canceled.ended {
            self.0.meter.operation_ended(&canceled.kind, status);
        }
        self.after(stopped).await
    }

    /// Retries all dead letters of an operation.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has none.
    pub async fn retry(&self, what: DeadLetters) -> Result<Monitor> {
        let stopped = self.0.store.retry(what, self.now()).await?;
        self.after(stopped).await
    }

    /// Discards a dead letter.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is none.
    pub async fn discard(&self, delivery: DeliveryId) -> Result<Monitor> {
        let stopped = self.0.store.discard(delivery, self.now()).await?;
        self.after(stopped).await
    }

    /// Stops a consumer from starting anything, until it is resumed or until `until`.
    ///
    /// # Errors
    /// `NotFound` for a consumer that nobody serves and nothing waits for.
    pub async fn pause(&self, consumer: &str, until: Option<Timestamp>, by: &str, reason: &str) -> Result<()> {
        self.known(consumer).await?;
        let (by, reason) = (by.to_owned(), reason.to_owned());
        let closure = Closure { gate: Gate::Pause, from: self.now(), until, by, reason };
        self.0.store.pause(Pausable::Consumer(consumer.to_owned()), closure).await?;
        self.heartbeat().await
    }

    /// Lets a paused consumer go on. False when it was not paused.
    ///
    /// # Errors
    /// `NotFound`, as for [`Engine::pause`].
    pub async fn resume(&self, consumer: &str) -> Result<bool> {
        self.known(consumer).await?;
        let resumed = self.0.store.resume(Pausable::Consumer(consumer.to_owned()), self.now()).await?;
        self.heartbeat().await?;
        self.wake(&[consumer.to_owned()]);
        Ok(resumed)
    }

    async fn known(&self, consumer: &str) -> Result<()> {
        if self.0.served.contains_key(consumer) {
            return Ok(());
        }
        let consumers = self.0.store.consumers(self.now()).await?;
        if consumers.iter().any(|view| view.name == consumer) {
            return Ok(());
        }
        let names = self.0.served.keys().map(String::as_str);
        Err(match super::route::nearest(consumer, names) {
            Some(name) => Error::not_found("consumer", format!("{consumer}; did you mean {name}?")),
            None => Error::not_found("consumer", consumer),
        })
    }

    async fn after(&self, stopped: Stopped) -> Result<Monitor> {
        let id = stopped.operation.operation.id;
        self.wake(&stopped.woken);
        self.0.changes.touch(id);
        if !stopped.notified.is_empty() {
            self.0.changes.notified();
        }
        self.explain(stopped.operation).await
    }
}
