//! Observe: stores what was seen of the catalog's edges, once a second.

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
        engine.store_observations().await
    }
}
