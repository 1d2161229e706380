//! A message to the operation's owner, from within a handler.

use std::sync::PoisonError;

use crate::consumer::{Argument, Context, Description};
use crate::{Fail, Level, Notice, Result};

/// Tells the operation's owner something when the attempt ends well; a second message replaces the first.
///
/// A handler that takes it declares that it notifies: the catalog says so.
#[derive(Clone)]
pub struct Notify(Context);

impl Notify {
    /// Tells this, in one line.
    pub fn tell(&self, title: impl Into<String>) {
        self.send(Notice { title: title.into(), ..Notice::default() });
    }

    /// The same, and how urgent it is.
    pub fn tell_as(&self, level: Level, title: impl Into<String>) {
        self.send(Notice { title: title.into(), level, ..Notice::default() });
    }

    /// Sends a whole notice.
    pub fn send(&self, notice: Notice) {
        *self.0.running().notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notice);
    }
}

impl Argument for Notify {
    fn from_context(context: &Context) -> Result<Self, Fail> {
        Ok(Self(context.clone()))
    }

    fn describe(description: &mut Description) {
        description.notifies = true;
    }
}
