//! Report: stores the latest progress of running attempts a few times a second.

use std::time::Duration;

use crate::Result;
use crate::engine::Engine;
use crate::engine::service::Service;

pub(crate) struct Report;

impl Service for Report {
    const NAME: &'static str = "report";

    fn every(_engine: &Engine) -> Duration {
        Duration::from_millis(150)
    }

    async fn pass(engine: &Engine) -> Result<()> {
        let inner = &engine.0;
        // While nobody reports anything there is nothing to look at.
        inner.reports.noted().await;
        for (delivery, fence, report) in inner.reports.take_all() {
            // An attempt that ended meanwhile has its last report stored with its end.
            if inner.store.report(delivery, fence, report, engine.now()).await.is_ok()
                && let Ok(view) = inner.store.delivery(delivery).await
            {
                inner.changes.touch(view.delivery.operation);
            }
        }
        Ok(())
    }
}
