//! Prune: removes operations past their retention, in slices, so that nobody waits long behind it.

use std::time::Duration;

use crate::Result;
use crate::engine::Engine;
use crate::engine::service::Service;

/// Operations removed in one transaction.
const SLICE: usize = 500;

pub(crate) struct Prune;

impl Service for Prune {
    const NAME: &'static str = "prune";

    fn every(engine: &Engine) -> Duration {
        engine.settings().prune_every
    }

    async fn pass(engine: &Engine) -> Result<()> {
        let now = engine.now();
        let before = now - engine.settings().retention;
        while engine.0.store.prune(before, now, SLICE).await? == SLICE {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
