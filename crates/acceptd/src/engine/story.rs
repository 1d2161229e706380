//! The story of an operation: its chain, with what the engine knows of what waits.

use crate::delivery::State;
use crate::engine::Engine;
use crate::store::OperationView;
use crate::story::{self, Circumstances, Story};
use crate::{OperationId, Result};

/// Live deliveries that a view holds.
const LIVE_MAX: usize = 100;

impl Engine {
    /// Everything that is known of an operation: events, deliveries, attempts, waits, and where the time went.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn story(&self, id: OperationId) -> Result<Story> {
        let chain = self.0.store.chain(id).await?;
        let is_live = |state: State| !state.has_ended();
        let live = chain.deliveries.iter().filter(|delivery| is_live(delivery.state)).take(LIVE_MAX).cloned().collect();
        let monitor = self.explain(OperationView { operation: chain.operation.clone(), live }).await?;
        let held = self.held(&chain.deliveries).await?;
        let (status, waiting_on) = (monitor.status, monitor.waiting_on);
        Ok(story::tell(&chain, Circumstances { status, waiting_on, held, now: self.now() }))
    }
}
