//! One attempt of one handler, for tests of a handler by itself.

use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;

use crate::consumer::{Consumer, Context, Handler, States};
use crate::target::{Reply, Replying, Target, TargetDescription};
use crate::testing::{Caller, start};
use crate::{Acceptd, Data, Done, Draft, Event, Fail, Failure, JSON, Notice, Outcome, ProgressReport, Result};

/// What the handler's consumer is called.
const NAME: &str = "run-one";

/// An attempt to run; awaited, it runs.
#[must_use = "await it"]
pub struct RunOne<E> {
    event: E,
    owner: Option<String>,
    consumer: Box<dyn Fn() -> Consumer>,
    states: Vec<Box<dyn Fn(Acceptd) -> Acceptd>>,
    caller: Caller,
}

/// What an attempt came to.
#[derive(Debug)]
pub struct TestAttempt {
    /// What the handler returned, with what it emitted; a panic and a timeout are failures.
    pub outcome: Outcome,
    /// What it reported last.
    pub progress: Option<ProgressReport>,
}

/// Runs a handler once, by itself: `run_one(make_invoice, event).state(pdf).await`.
#[track_caller]
pub fn run_one<H: Handler<Args>, Args: 'static>(handler: H, event: H::Event) -> RunOne<H::Event> {
    let consumer = Box::new(move || Consumer::new(NAME, handler.clone()).retry(1));
    RunOne { event, owner: None, consumer, states: Vec::new(), caller: Location::caller() }
}

impl<E: Event> RunOne<E> {
    /// Gives the handler a state.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.push(Box::new(move |app| app.state(state.clone())));
        self
    }

    /// The operation's owner.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    async fn run(self) -> TestAttempt {
        let (first, consumer, states) = (First::default(), self.consumer, self.states);
        let seen = Arc::clone(&first);
        let t = start(move |app| {
            let mut consumer = consumer();
            consumer.target = Arc::new(Seen { target: consumer.target, first: Arc::clone(&seen) });
            states.iter().fold(app, |app, give| give(app)).consumer(consumer)
        });
        let t = t.await;
        let accepting = t.accept(self.event);
        let operation = match self.owner {
            Some(owner) => accepting.owner(owner).await,
            None => accepting.await,
        };
        let ended = || first_of(&first).is_some() || operation.status().is_done();
        t.stage.run_until("run_one", "the attempt to end", ended, self.caller).await;
        let lost = || operation.failure().map(|Failure { code, message, .. }| Fail::retry(code, message));
        let gone = || Fail::retry("gone", "the attempt ended without an outcome");
        let (outcome, progress) = first_of(&first).take().unwrap_or_else(|| (Err(lost().unwrap_or_else(gone)), None));
        let progress = progress.or_else(|| operation.progress(NAME));
        // One attempt is all that was asked for.
        t.crash().await;
        TestAttempt { outcome, progress }
    }
}

impl<E: Event> IntoFuture for RunOne<E> {
    type Output = TestAttempt;
    type IntoFuture = Pin<Box<dyn Future<Output = TestAttempt>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl TestAttempt {
    /// The events of this type that it emitted.
    ///
    /// # Panics
    /// When the attempt did not end well, or the data of an event does not fit the type.
    #[track_caller]
    pub fn emitted<E: Event>(&self) -> Vec<E> {
        let drafts = self.done().emit.iter().filter(|draft| draft.kind == E::TYPE);
        let parse = |draft: &Draft| draft.data.as_ref().unwrap_or(&Data::new(JSON, "null")).parse();
        match drafts.map(parse).collect::<Result<_>>() {
            Ok(events) => events,
            Err(error) => panic!("{}: {error}", E::TYPE),
        }
    }

    /// Its result.
    ///
    /// # Panics
    /// When the attempt did not end well, has no result, or that does not fit the type.
    #[track_caller]
    pub fn result<T: DeserializeOwned>(&self) -> T {
        match self.done().result.as_ref().map(Data::parse) {
            Some(Ok(result)) => result,
            Some(Err(error)) => panic!("the result: {error}"),
            None => panic!("the attempt has no result"),
        }
    }

    /// What it tells the owner.
    ///
    /// # Panics
    /// When the attempt did not end well.
    #[track_caller]
    pub fn notice(&self) -> Option<&Notice> {
        self.done().notify.as_ref()
    }

    /// Why it failed.
    ///
    /// # Panics
    /// When it ended well.
    #[track_caller]
    pub fn fail(&self) -> &Fail {
        match &self.outcome {
            Ok(_) => panic!("the attempt ended well"),
            Err(fail) => fail,
        }
    }

    #[track_caller]
    fn done(&self) -> &Done {
        match &self.outcome {
            Ok(done) => done,
            Err(Fail { failure, .. }) => panic!("the attempt failed: {} ({})", failure.message, failure.code),
        }
    }
}

/// How an attempt ended first, with what it had reported.
type First = Arc<Mutex<Option<(Outcome, Option<ProgressReport>)>>>;

/// A target of which is seen how its first attempt ends.
struct Seen {
    target: Arc<dyn Target>,
    first: First,
}

fn first_of(first: &First) -> MutexGuard<'_, Option<(Outcome, Option<ProgressReport>)>> {
    first.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Target for Seen {
    fn deliver(&self, context: Context) -> Replying<'_> {
        Box::pin(async move {
            let reply = self.target.deliver(context.clone()).await;
            if let Reply::Ended(outcome) = &reply {
                let progress = context.running().reports.take(context.delivery());
                first_of(&self.first).get_or_insert_with(|| (outcome.clone(), progress));
            }
            reply
        })
    }

    fn describe(&self) -> TargetDescription {
        self.target.describe()
    }

    fn check(&self, states: &States) -> Result<()> {
        self.target.check(states)
    }
}
