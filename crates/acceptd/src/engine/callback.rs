//! Calls from targets that answered 202: heartbeat, progress, complete, fail.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::settle::not_served;
use crate::store::DeliveryView;
use crate::{DeliveryId, ErrorKind, Outcome, ProgressReport, Result};

/// What a target calls about a delivery.
#[derive(Debug)]
pub enum Callback {
    /// It is alive: renew the lease, for this long when it says so.
    Heartbeat(Option<Duration>),
    /// How far it is; renews the lease, too.
    Progress(ProgressReport),
    /// How it ended.
    End(Outcome),
}

impl Engine {
    /// Takes a target's call for the attempt with this fence. False when the attempt was settled before, which
    /// changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `StaleFence` when a newer attempt exists; `Canceled`.
    pub async fn callback(&self, delivery: DeliveryId, fence: u64, callback: Callback) -> Result<bool> {
        let stored = match callback {
            Callback::Heartbeat(lease) => self.renew(delivery, fence, lease).await,
            Callback::Progress(report) => {
                self.0.store.report(delivery, fence, report, self.now()).await?;
                self.renew(delivery, fence, None).await
            }
            Callback::End(outcome) => self.end(delivery, fence, outcome).await,
        };
        match stored {
            Err(error) if error.kind() == ErrorKind::AlreadySettled => Ok(false),
            other => other.map(|()| true),
        }
    }

    async fn renew(&self, delivery: DeliveryId, fence: u64, lease: Option<Duration>) -> Result<()> {
        let _steady = self.0.steady.read().await;
        let (now, longest) = (self.now(), Duration::from_secs(24 * 3600));
        let lease = lease.unwrap_or(self.settings().target_lease).min(longest);
        self.0.store.extend(delivery, fence, now + lease, now).await?;
        if let Ok(view) = self.0.store.delivery(delivery).await {
            self.0.changes.touch(view.delivery.operation);
        }
        Ok(())
    }

    async fn end(&self, id: DeliveryId, fence: u64, outcome: Outcome) -> Result<()> {
        let DeliveryView { delivery, event, owner, .. } = self.0.store.delivery(id).await?;
        let consumer = self.consumer(&delivery.consumer).ok_or_else(|| not_served(&delivery))?;
        let _steady = self.0.steady.read().await;
        let verdict = self.verdict(consumer, (&delivery, &event, owner.as_deref()), outcome, self.now());
        self.store_end(&event, id, fence, verdict).await.map(drop)
    }
}
