//! An owner's inbox.

use std::ops::Deref;

use crate::Notification;

/// The notifications of an owner, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox(Vec<Notification>);

impl Inbox {
    pub(super) fn new(notifications: Vec<Notification>) -> Self {
        Self(notifications)
    }

    /// The title of each.
    pub fn titles(&self) -> Vec<&str> {
        self.0.iter().map(|notification| notification.title.as_str()).collect()
    }
}

impl Deref for Inbox {
    type Target = [Notification];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
