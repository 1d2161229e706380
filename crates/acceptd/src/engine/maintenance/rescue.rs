//! Rescue: shows that this node lives, and takes deliveries from nodes and targets that don't.

use std::time::Duration;

use crate::Result;
use crate::engine::Engine;
use crate::engine::service::Service;

pub(crate) struct Rescue;

impl Service for Rescue {
    const NAME: &'static str = "rescue";

    fn every(engine: &Engine) -> Duration {
        engine.settings().rescue_every
    }

    async fn pass(engine: &Engine) -> Result<()> {
        engine.heartbeat().await?;
        rescue_once(engine).await
    }
}

/// One look at all leases.
pub(crate) async fn rescue_once(engine: &Engine) -> Result<()> {
    let inner = &engine.0;
    let rescued = inner.store.rescue(inner.node, inner.settings.lease, engine.now()).await?;
    for rescued in &rescued {
        let (id, consumer) = (rescued.delivery.id, &rescued.delivery.consumer);
        tracing::info!(delivery = %id, consumer, operation = %rescued.delivery.operation, "rescued a delivery");
        inner.changes.touch(rescued.delivery.operation);
        if !rescued.notified.is_empty() {
            inner.changes.notified();
        }
    }
    let mut consumers: Vec<_> = rescued.into_iter().map(|rescued| rescued.delivery.consumer).collect();
    consumers.sort();
    consumers.dedup();
    engine.wake(&consumers);
    Ok(())
}
