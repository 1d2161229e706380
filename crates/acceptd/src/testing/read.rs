//! Reading the store: in memory every answer is there at once, so that expectations need not be awaited.

use std::future::Future;

use futures_util::FutureExt as _;

use crate::store::{Chain, DeadLetter, NotificationQuery, OperationFilter, OperationView, Page};
use crate::testing::stage::Stage;
use crate::{Notification, OperationId, Result, Store as _};

/// All rows of a listing.
const ALL: Page = Page { before: None, size: 1_000_000 };

/// What needs no waiting.
pub(super) fn at_once<T>(answer: impl Future<Output = T>) -> T {
    match answer.now_or_never() {
        Some(answer) => answer,
        None => panic!("the store in memory did not answer at once"),
    }
}

fn found<T>(answer: impl Future<Output = Result<T>>) -> T {
    match at_once(answer) {
        Ok(found) => found,
        Err(error) => panic!("{error}"),
    }
}

impl Stage {
    pub(super) fn view(&self, id: OperationId) -> OperationView {
        found(self.store.operation(id))
    }

    pub(super) fn chain(&self, id: OperationId) -> Chain {
        found(self.store.chain(id))
    }

    /// Operations of which something has not ended, oldest first.
    pub(super) fn open_operations(&self) -> Vec<OperationView> {
        let mut views = found(self.store.operations(OperationFilter::default(), ALL)).items;
        views.retain(|view| !view.live.is_empty() || view.operation.unrouted > 0);
        views.reverse();
        views
    }

    pub(super) fn notifications(&self, owner: &str) -> Vec<Notification> {
        let query = NotificationQuery { owner: Some(owner.to_owned()), after: None, page: ALL };
        let mut notifications = found(self.store.notifications(query)).items;
        notifications.reverse();
        notifications
    }

    pub(super) fn dead_letters(&self) -> Vec<DeadLetter> {
        let mut letters = found(self.store.dead_letters(ALL)).items;
        letters.reverse();
        letters
    }
}
