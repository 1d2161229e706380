//! Measure: sets the gauges of what waits. What it asks the store is answered by indexes and bounded.

use std::time::Duration;

use crate::Result;
use crate::engine::Engine;
use crate::engine::service::Service;
use crate::telemetry;

pub(crate) struct Measure;

impl Service for Measure {
    const NAME: &'static str = "measure";

    fn every(engine: &Engine) -> Duration {
        engine.settings().measure_every
    }

    async fn pass(engine: &Engine) -> Result<()> {
        let now = engine.now();
        let consumers = engine.0.store.consumers(now).await?;
        consumers.iter().for_each(|view| telemetry::gauge(view, now));
        Ok(())
    }
}
