//! `/v1/notifications`: messages to owners, as a list and as a stream.

use acceptd::store::{NotificationQuery, Ordinal as _, Page};
use acceptd::{Level, Notification, NotificationId, OperationId, Timestamp};
use http::StatusCode;
use serde::Serialize;

use super::pages::Pages;
use crate::call::{Answer, Call, json};
use crate::stream::{self, Notifications};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationDocument<'a> {
    id: NotificationId,
    owner: Option<&'a str>,
    operation: OperationId,
    title: &'a str,
    text: &'a str,
    level: Level,
    create_time: Timestamp,
    read_time: Option<Timestamp>,
}

impl<'a> NotificationDocument<'a> {
    pub(crate) fn of(notification: &'a Notification) -> Self {
        Self {
            id: notification.id,
            owner: notification.owner.as_deref(),
            operation: notification.operation,
            title: &notification.title,
            text: &notification.text,
            level: notification.level,
            create_time: notification.created,
            read_time: notification.read,
        }
    }
}

/// `GET /v1/notifications`: newest first; everybody's without an owner.
pub(crate) async fn list(call: Call) -> Answer {
    let query = call.query(&["owner", "pageToken", "pageSize"])?;
    let pages = Pages::of("notifications", &[query.get("owner")], &query)?;
    let of = NotificationQuery { owner: query.owned("owner"), after: None, page: pages.page };
    let listing = call.app.engine.store().notifications(of).await?;
    let items = listing.items.iter().map(NotificationDocument::of).collect();
    json(StatusCode::OK, &pages.items(items, listing.next))
}

/// `GET /v1/notifications/stream`: what comes from now on, or after `Last-Event-ID`.
pub(crate) async fn stream(call: Call) -> Answer {
    let query = call.query(&["owner"])?;
    let owner = query.owned("owner");
    let engine = &call.app.engine;
    // Watched before the list is read, so that nothing falls between.
    let watcher = engine.changes().inbox();
    let after = match stream::last_event_id(&call)? {
        Some(last) => last,
        None => {
            let newest = Page { before: None, size: 1 };
            let of = NotificationQuery { owner: owner.clone(), after: None, page: newest };
            let listing = engine.store().notifications(of).await?;
            listing.items.first().map_or(0, acceptd::store::Ordinal::ordinal)
        }
    };
    Notifications { owner, after, watcher }.respond(&call)
}

/// `POST /v1/notifications/{id}/read`.
pub(crate) async fn read(call: Call) -> Answer {
    let engine = &call.app.engine;
    let notification = engine.store().read(call.id("notification")?, engine.now()).await?;
    json(StatusCode::OK, &NotificationDocument::of(&notification))
}

/// The stream's `id:` of a notification.
pub(crate) fn stream_id(notification: &Notification) -> i64 {
    notification.ordinal()
}
