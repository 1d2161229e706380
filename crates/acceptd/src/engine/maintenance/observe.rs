//! Observe: stores what was seen of the catalog's edges, once a second at most.

use std::time::Duration;

use crate::Result;
use crate::engine::Engine;
use crate::engine::service::Service;

pub(crate) struct Observe;

impl Service for Observe {
    const NAME: &'static str = "observe";

    fn every(_engine: &Engine) -> Duration {
        Duration::from_secs(1)
    }

    async fn pass(engine: &Engine) -> Result<()> {
        // While nothing happens there is nothing to store.
        engine.0.observer.noted().await;
        engine.store_observations().await
    }
}
