//! Commands on their way through the writer.

use tokio::sync::oneshot;

use super::error::{Failure, Stop, Try};
use super::tables::PostgresTables;
use crate::store::book::Book;
use crate::{DeliveryId, Error, Result};

/// The writer's book.
pub(super) type PostgresBook = Book<PostgresTables>;

/// What a command is, as far as crash points and planted bugs are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Accept,
    Claim,
    Settle,
    Prune,
    Other,
}

/// What a command will read, so that it is read for a whole batch at once.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) delivery: Option<DeliveryId>,
    /// Ids and sources of events.
    pub(super) given: Vec<(String, String)>,
}

/// A command on its way through the writer.
pub(super) trait Request: Send {
    /// What it is.
    fn kind(&self) -> Kind;
    /// What it will read.
    fn needs(&self) -> &Needs;
    /// Does its work and keeps the answer; may be called again after a rollback.
    fn run(&mut self, book: &mut PostgresBook) -> std::result::Result<(), Failure>;
    /// Puts this error in place of the answer.
    fn fail(&mut self, error: Error);
    /// Gives the answer to the caller. What comes back takes the effect back, when the caller is gone.
    fn answer(&mut self) -> Option<Box<dyn Request>>;
}

/// Takes back what was done for a caller that is gone.
pub(super) type Undo<T> = fn(T) -> Box<dyn Request>;

struct Command<T, F> {
    kind: Kind,
    needs: Needs,
    run: F,
    answer: Option<Result<T>>,
    caller: Option<oneshot::Sender<Result<T>>>,
    undo: Option<Undo<T>>,
}

impl<T: Send, F: FnMut(&mut PostgresBook) -> Try<T> + Send> Request for Command<T, F> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn needs(&self) -> &Needs {
        &self.needs
    }

    fn run(&mut self, book: &mut PostgresBook) -> std::result::Result<(), Failure> {
        match (self.run)(book) {
            Ok(answer) => self.answer = Some(Ok(answer)),
            Err(Stop::Refused(error)) => self.answer = Some(Err(error)),
            Err(Stop::HalfWay(error)) => {
                tracing::warn!(%error, "a command stopped half way");
                return Err(Failure::Changed);
            }
            Err(Stop::Broken(failure)) => return Err(failure),
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) {
        self.answer = Some(Err(error));
    }

    fn answer(&mut self) -> Option<Box<dyn Request>> {
        let (caller, answer) = (self.caller.take()?, self.answer.take()?);
        match (caller.send(answer), self.undo) {
            (Err(Ok(unheard)), Some(undo)) => Some(undo(unheard)),
            _ => None,
        }
    }
}

/// A command and where its answer will come from.
pub(super) fn command<T, F>(
    (kind, needs): (Kind, Needs),
    run: F,
    undo: Option<Undo<T>>,
) -> (Box<dyn Request>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: FnMut(&mut PostgresBook) -> Try<T> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    (Box::new(Command { kind, needs, run, answer: None, caller: Some(caller), undo }), answer)
}

/// A command that nobody waits for.
pub(super) fn unheard<F>(kind: Kind, run: F) -> Box<dyn Request>
where
    F: FnMut(&mut PostgresBook) -> Try<()> + Send + 'static,
{
    Box::new(Command { kind, needs: Needs::default(), run, answer: None, caller: None, undo: None })
}
