//! Progress that a handler reports while it runs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::consumer::{Argument, Context};
use crate::{DeliveryId, Fail, ProgressReport, Result};

/// Reports how far the handler is. Cheap: the engine stores the latest report a few times a second.
#[derive(Clone)]
pub struct Progress(Context);

impl Progress {
    /// `done` of `total` units are finished; `message` says what is going on.
    pub fn set(&self, done: u64, total: u64, message: impl Into<String>) {
        let report = ProgressReport { done, total, message: Some(message.into()) };
        self.0.running().reports.note(self.0.delivery(), self.0.fence(), report);
    }
}

impl Argument for Progress {
    fn from_context(context: &Context) -> Result<Self, Fail> {
        Ok(Self(context.clone()))
    }
}

/// The latest unsaved report of each running attempt.
#[derive(Debug, Default)]
pub struct Reports {
    latest: Mutex<HashMap<DeliveryId, (u64, ProgressReport)>>,
    noted: Notify,
}

impl Reports {
    /// Notes a report; it replaces an earlier one of the same attempt.
    pub fn note(&self, delivery: DeliveryId, fence: u64, report: ProgressReport) {
        self.lock().insert(delivery, (fence, report));
        self.noted.notify_one();
    }

    /// Returns when a report was noted since it returned last.
    pub async fn noted(&self) {
        self.noted.notified().await;
    }

    /// Takes the report of an attempt that ends.
    pub fn take(&self, delivery: DeliveryId) -> Option<ProgressReport> {
        let mut reports = self.lock();
        if reports.is_empty() {
            return None;
        }
        reports.remove(&delivery).map(|(_, report)| report)
    }

    /// Takes all reports, to store them.
    pub fn take_all(&self) -> Vec<(DeliveryId, u64, ProgressReport)> {
        self.lock().drain().map(|(delivery, (fence, report))| (delivery, fence, report)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DeliveryId, (u64, ProgressReport)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
