//! Accepting: a replay is answered with what was accepted before, the rest is written at once.

use std::collections::BTreeSet;

use super::{KeptKey, Tables, consumers_of};
use crate::store::plan::{self, NewOperation};
use crate::store::{Accept, Accepted, IdempotencyKey, KnownEvent, Replay};
use crate::{Error, ErrorKind, NewEvent, OperationId, Result, Timestamp};

impl Tables {
    pub(super) fn accept(&mut self, mut accept: Accept) -> Result<Accepted> {
        if accept.events.is_empty() {
            return Err(Error::invalid("an operation needs at least one event"));
        }
        if let Some(operation) = self.replayed(accept.idempotency.as_ref(), accept.now)? {
            return self.again(operation, Replay::IdempotencyKey, Vec::new());
        }
        let (fresh, known) = self.split_known(std::mem::take(&mut accept.events));
        if let (true, Some(first)) = (fresh.is_empty(), known.first()) {
            return self.again(first.operation, Replay::Event, known);
        }
        accept.events = fresh;
        self.check_backlog(&accept)?;
        let new = plan::accept(&accept, &mut self.ids);
        let operation = new.operation.clone();
        let events = new.events.iter().map(|(event, _)| event.key).collect();
        let woken = self.add(new, accept.due);
        if let Some(IdempotencyKey { scope, key, fingerprint, expires }) = accept.idempotency {
            self.keys.insert((scope, key), KeptKey { fingerprint, operation: operation.id, expires });
        }
        Ok(Accepted { operation, replay: Replay::New, known, events, woken, due: accept.due })
    }

    /// Writes a new operation. Answers the consumers that got deliveries.
    pub(super) fn add(&mut self, new: NewOperation, due: Timestamp) -> Vec<String> {
        let id = new.operation.id;
        for (event, unrouted) in new.events {
            if let Some(given) = &event.draft.id {
                self.known.insert((event.draft.source.to_string(), given.clone()), id);
            }
            if unrouted {
                self.unrouted.insert(event.key, due);
            }
            self.events.insert(event.key, event);
        }
        let woken = consumers_of(&new.deliveries);
        for delivery in new.deliveries {
            self.put(delivery);
        }
        self.operations.insert(id, new.operation);
        woken
    }

    /// The operation that was accepted under this key, while the key is kept.
    fn replayed(&self, key: Option<&IdempotencyKey>, now: Timestamp) -> Result<Option<OperationId>> {
        let Some(key) = key else { return Ok(None) };
        match self.keys.get(&(key.scope.clone(), key.key.clone())) {
            Some(kept) if kept.expires <= now => Ok(None),
            Some(kept) if kept.fingerprint != key.fingerprint => Err(Error::new(
                ErrorKind::KeyReused,
                format!("the idempotency key {:?} was used before with another request", key.key),
            )),
            Some(kept) => Ok(Some(kept.operation)),
            None => Ok(None),
        }
    }

    /// Parts the events that are new from those that were accepted before. Of the same event twice in one request
    /// the second is left out.
    fn split_known(&self, events: Vec<NewEvent>) -> (Vec<NewEvent>, Vec<KnownEvent>) {
        let (mut fresh, mut known, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for event in events {
            let Some(id) = event.draft.id.clone() else {
                fresh.push(event);
                continue;
            };
            let name = (event.draft.source.to_string(), id);
            if !seen.insert(name.clone()) {
                continue;
            }
            match self.known.get(&name) {
                Some(operation) => known.push(KnownEvent { id: name.1, operation: *operation }),
                None => fresh.push(event),
            }
        }
        (fresh, known)
    }

    fn check_backlog(&self, accept: &Accept) -> Result<()> {
        let new: usize = accept.events.iter().map(NewEvent::backlog).sum();
        let after = (self.live.len() + self.unrouted.len() + new) as u64;
        if after <= accept.backlog_max {
            return Ok(());
        }
        let message = format!("{after} deliveries and events would wait, and the most is {}", accept.backlog_max);
        Err(Error::new(ErrorKind::Overloaded, message))
    }

    fn again(&self, operation: OperationId, replay: Replay, known: Vec<KnownEvent>) -> Result<Accepted> {
        let operation = self.operation(operation)?.clone();
        let due = operation.created;
        Ok(Accepted { operation, replay, known, events: Vec::new(), woken: Vec::new(), due })
    }
}
