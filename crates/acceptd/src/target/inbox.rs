//! A target that turns an event into a notification: the reusable last link of a chain.

use serde::Deserialize;

use crate::consumer::Context;
use crate::target::{Reply, Replying, Target, TargetDescription};
use crate::{Done, Fail, Level, Notice, Outcome, Weight};

/// Writes each event into the inbox of its owner, or of the operation's owner.
///
/// The event's data gives `title`, and may give `text`, `level` (`info`, `success`, `warning`, `error`) and `owner`.
/// Without a title the event type is the title.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inbox;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    title: Option<String>,
    text: Option<String>,
    level: Option<Level>,
    owner: Option<String>,
}

impl Target for Inbox {
    fn deliver(&self, context: Context) -> Replying<'_> {
        Box::pin(async move { Reply::Ended(notify(&context)) })
    }

    fn describe(&self) -> TargetDescription {
        TargetDescription { kind: "inbox", address: "inbox".to_owned() }
    }

    fn weight(&self) -> Weight {
        Weight::Inbox
    }
}

fn notify(context: &Context) -> Outcome {
    let draft = &context.event().draft;
    let message: Message = match &draft.data {
        Some(data) if data.is_json() => data.parse().map_err(|error| Fail::terminal("bad-data", error))?,
        _ => Message::default(),
    };
    let notice = Notice {
        title: message.title.unwrap_or_else(|| draft.kind.to_string()),
        text: message.text.unwrap_or_default(),
        level: message.level.unwrap_or_default(),
        owner: message.owner,
    };
    Ok(Done { notify: Some(notice), ..Done::default() })
}
