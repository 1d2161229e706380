//! Outcomes as stubs write them.

use crate::{Done, Draft, Event, Fail, Notice, Outcome};

/// What a stub adds to the outcome of an attempt that ends well.
pub trait DoneExt {
    /// Emits an event with it.
    ///
    /// # Errors
    /// The outcome's own failure, or the event's, when it can't be written as JSON.
    fn emit<E: Event>(self, event: E) -> Outcome;

    /// Tells the owner of it.
    ///
    /// # Errors
    /// The outcome's own failure.
    fn notify(self, title: &str) -> Outcome;
}

impl DoneExt for Outcome {
    fn emit<E: Event>(self, event: E) -> Outcome {
        let mut done = self?;
        done.emit.push(Draft::of(&event).map_err(|error| Fail::terminal("bad-event", error))?);
        Ok(done)
    }

    fn notify(self, title: &str) -> Outcome {
        let notice = Notice { title: title.to_owned(), ..Notice::default() };
        Ok(Done { notify: Some(notice), ..self? })
    }
}
