//! Notifications: messages to an operation's owner.

use crate::operation::{Operation, Status};
use crate::{Level, Notice, NotificationId, OperationId, Timestamp};

/// A message to an owner, as the inbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id; ids ascend with age.
    pub id: NotificationId,
    /// Who it is for; None when neither the event nor the operation names an owner.
    pub owner: Option<String>,
    /// The operation it is about.
    pub operation: OperationId,
    /// One line.
    pub title: String,
    /// The rest.
    pub text: String,
    /// How urgent.
    pub level: Level,
    /// When it was written.
    pub created: Timestamp,
    /// When the owner read it.
    pub read: Option<Timestamp>,
}

impl Notification {
    /// A notification made of a handler's notice.
    pub fn from_notice(id: NotificationId, notice: &Notice, operation: &Operation, now: Timestamp) -> Self {
        Self {
            id,
            owner: notice.owner.clone().or_else(|| operation.owner.clone()),
            operation: operation.id,
            title: notice.title.clone(),
            text: notice.text.clone(),
            level: notice.level,
            created: now,
            read: None,
        }
    }
}

/// The words of the automatic notification of an operation that ended with `status`.
pub fn ending_notice(operation: &Operation, status: Status) -> Notice {
    let tally = operation.deciding();
    let kind = &operation.kind;
    let (title, level) = match status {
        Status::Failed => (format!("{kind} failed"), Level::Error),
        Status::Canceled => (format!("{kind} was canceled"), Level::Warning),
        _ => (format!("{kind} is done"), Level::Success),
    };
    let text = match (status, &operation.failure) {
        (Status::Failed, Some(failure)) if tally.total == 1 => failure.message.clone(),
        (Status::Failed, Some(failure)) => {
            format!("{} of {} failed, the last one with: {}", tally.dead, tally.total, failure.message)
        }
        _ if tally.total > 1 => format!("{} of {} done", tally.done, tally.total),
        _ => String::new(),
    };
    Notice { title, text, level, owner: None }
}
