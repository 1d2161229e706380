//! Accept: validate, route, store; the answer comes after the commit.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::engine::{Engine, Monitor};
use crate::store::{Accept, Accepted, IdempotencyKey, OperationView, Replay};
use crate::{Draft, Error, ErrorKind, Event, NewEvent, OperationId, Place, Result, Timestamp, TraceContext};

/// Wrong places that are told of one request.
const PLACES_MAX: usize = 100;

/// What a caller asks for.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    /// The root events; at least one.
    pub events: Vec<Draft>,
    /// Who is told how it ends.
    pub owner: Option<String>,
    /// The earliest instant it may run; None is now.
    pub due: Option<Timestamp>,
    /// From -100 to 100; higher runs first.
    pub priority: i8,
    /// Whose key it is, the key, and a digest of the request.
    pub idempotency: Option<(String, String, [u8; 32])>,
    /// Where in which trace it is asked for. Events that do not say where they were created were created here.
    pub trace: Option<TraceContext>,
}

impl Submission {
    /// A submission of one Rust event.
    ///
    /// # Errors
    /// When the event can't be written as JSON.
    pub fn of<E: Event>(event: &E) -> Result<Self> {
        Ok(Self { events: vec![Draft::of(event)?], ..Self::default() })
    }

    /// The same for this owner.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }
}

impl Engine {
    /// Stores an operation durably and returns it; from then on its work will be done.
    ///
    /// # Errors
    /// `InvalidArgument`, `InvalidData`, `UnknownEventType`, `KeyReused`; `Overloaded`, `StorageFull`, `ShuttingDown`:
    /// nothing was stored, ask again later.
    pub async fn accept(&self, mut submission: Submission) -> Result<Accepted> {
        if self.is_draining() {
            return Err(Error::new(ErrorKind::ShuttingDown, "the server is stopping and accepts nothing more"));
        }
        let started = tokio::time::Instant::now();
        let sending = self.begin_send(&mut submission);
        let accept = self.plan_accept(submission)?;
        let asked = self.asked(&accept.events);
        let accepted = self.0.store.accept(accept).await?;
        self.observe_accepted(&asked, &accepted);
        self.wake(&accepted.woken);
        self.0.meter.accept.record(started.elapsed().as_secs_f64());
        self.end_send(sending, &accepted);
        Ok(accepted)
    }

    /// Waits until an operation has ended, at most this long, and returns where it stands.
    ///
    /// # Errors
    /// `NotFound`, and the store's errors.
    pub async fn wait_for_end(&self, id: OperationId, at_most: Duration) -> Result<Monitor> {
        let mut watcher = self.0.changes.operation(id);
        let deadline = tokio::time::Instant::now() + at_most;
        // Only its end is waited for: what it waits for is told once.
        while !self.0.store.operation(id).await?.status().is_done() {
            tokio::select! {
                () = watcher.changed() => {}
                () = tokio::time::sleep_until(deadline) => break,
                () = self.draining() => break,
            }
        }
        self.monitor(id).await
    }

    /// The monitor of an operation that was accepted just now, without asking the store again when it is a new one
    /// with one delivery a consumer, none of which has limits.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn monitor_accepted(&self, accepted: &Accepted) -> Result<Monitor> {
        let operation = &accepted.operation;
        let deliveries = operation.tracked.total + operation.untracked.total;
        let has_limits =
            |name: &String| self.0.served.get(name).is_some_and(|served| !served.policy().limits.is_empty());
        if accepted.replay == Replay::New
            && deliveries as usize == accepted.woken.len()
            && !accepted.woken.iter().any(has_limits)
        {
            let view = OperationView { operation: operation.clone(), live: Vec::new() };
            return Ok(self.new_monitor(&view, &accepted.woken, accepted.due));
        }
        self.monitor(operation.id).await
    }

    fn plan_accept(&self, submission: Submission) -> Result<Accept> {
        let (now, settings) = (self.now(), self.settings());
        if submission.events.is_empty() {
            return Err(Error::invalid("there is no event to accept"));
        }
        if !(-100..=100).contains(&submission.priority) {
            return Err(Error::invalid(format!("the priority {} is not from -100 to 100", submission.priority)));
        }
        if submission.owner.as_ref().is_some_and(|owner| owner.is_empty() || owner.len() > 255) {
            return Err(Error::invalid("an owner has 1 to 255 characters"));
        }
        let events = self.routed(submission.events, submission.owner.as_deref())?;
        let idempotency = submission.idempotency.map(|(scope, key, fingerprint)| IdempotencyKey {
            scope,
            key,
            fingerprint,
            expires: now + settings.idempotency_retention,
        });
        Ok(Accept {
            events,
            owner: submission.owner,
            due: submission.due.unwrap_or(now).max(now),
            priority: submission.priority,
            idempotency,
            backlog_max: settings.backlog_max,
            now,
        })
    }

    /// Every event with its consumers, or everything that is wrong with any of them.
    fn routed(&self, drafts: Vec<Draft>, owner: Option<&str>) -> Result<Vec<NewEvent>> {
        let count = drafts.len();
        let mut events = Vec::with_capacity(count);
        let mut wrong = Vec::new();
        for (index, draft) in drafts.into_iter().enumerate() {
            match self.route_root(draft, owner) {
                Ok(event) => events.push(event),
                Err(error) if count == 1 => return Err(error),
                Err(error) => wrong.push((index, error)),
            }
        }
        if wrong.is_empty() { Ok(events) } else { Err(all_wrong(count, wrong)) }
    }

    /// A root event with its consumers, checked as everything that is accepted.
    ///
    /// # Errors
    /// As for [`Engine::accept`].
    pub(crate) fn route_root(&self, draft: Draft, owner: Option<&str>) -> Result<NewEvent> {
        draft.check()?;
        let declared = self.0.declared.get(draft.kind.as_ref());
        if owner.is_none() && declared.is_some_and(|event| event.owner_required) {
            return Err(Error::invalid(format!("{} needs an owner", draft.kind)));
        }
        let draft = self.0.schemas.checked(draft)?;
        self.0.router.root(draft, owner)
    }
}

/// One error for all events that are wrong, each with its index. Its kind is theirs, if they have the same.
fn all_wrong(count: usize, wrong: Vec<(usize, Error)>) -> Error {
    let kinds: BTreeSet<_> = wrong.iter().map(|(_, error)| error.kind()).collect();
    let kind = kinds.first().copied().filter(|_| kinds.len() == 1).unwrap_or(ErrorKind::InvalidData);
    let first = wrong.first().map(|(index, error)| format!("event {index}: {}", error.message()));
    let message = match wrong.len() {
        1 => first.unwrap_or_default(),
        several => format!("{several} of {count} events are wrong; the first is {}", first.unwrap_or_default()),
    };
    let places = wrong.into_iter().flat_map(|(event, error)| match error.places() {
        [] => vec![Place { event, pointer: String::new(), message: error.message().to_owned() }],
        places => places.iter().map(|place| Place { event, ..place.clone() }).collect(),
    });
    Error::new(kind, message).with_places(places.take(PLACES_MAX).collect())
}
