//! Rescue: shows that this node lives, and takes deliveries from nodes and targets that don't.

use std::time::Duration;

use crate::Result;
use crate::engine::Engine;
use crate::engine::service::Service;
use crate::store::Rescued;

pub(crate) struct Rescue;

impl Service for Rescue {
    const NAME: &'static str = "rescue";

    fn every(engine: &Engine) -> Duration {
        engine.settings().rescue_every
    }

    async fn pass(engine: &Engine) -> Result<()> {
        follow_clock(engine).await?;
        engine.heartbeat().await?;
        rescue_once(engine).await
    }
}

/// When someone set the machine's clock, what is measured in time moves along before anything looks at it.
async fn follow_clock(engine: &Engine) -> Result<()> {
    let set_by = engine.0.clock.set_by();
    if set_by != 0 {
        tracing::warn!(milliseconds = set_by / 1_000, "the machine's clock was set; leases and limits move along");
        let _nobody_else = engine.0.steady.write().await;
        engine.0.store.shift(set_by, engine.now()).await?;
        engine.0.clock.follow(set_by);
    }
    Ok(())
}

/// One look at all leases.
pub(crate) async fn rescue_once(engine: &Engine) -> Result<()> {
    let inner = &engine.0;
    let rescued = inner.store.rescue(inner.node, inner.settings.lease, engine.now()).await?;
    for rescued in &rescued {
        let (id, consumer) = (rescued.delivery.id, &rescued.delivery.consumer);
        tracing::info!(delivery = %id, consumer, operation = %rescued.delivery.operation, "rescued a delivery");
        inner.changes.touch(rescued.delivery.operation);
        if rescued.delivery.state.has_ended()
            && let Ok(view) = inner.store.delivery(id).await
        {
            engine.observe_delivery(&view.event, &rescued.delivery, false);
        }
        if !rescued.notified.is_empty() {
            inner.changes.notified();
        }
    }
    let concerns = |rescued: Rescued| rescued.woken.into_iter().chain([rescued.delivery.consumer]);
    let mut consumers: Vec<_> = rescued.into_iter().flat_map(concerns).collect();
    consumers.sort();
    consumers.dedup();
    engine.wake(&consumers);
    Ok(())
}
