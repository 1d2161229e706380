//! Pruning: operations that ended long ago go with everything that belongs to them.

use std::collections::BTreeSet;

use super::Tables;
use crate::{Operation, OperationId, Timestamp};

impl Tables {
    pub(super) fn prune(&mut self, before: Timestamp, now: Timestamp, max: usize) -> usize {
        self.keys.retain(|_, key| key.expires > now);
        let mut ended: Vec<_> = self.operations.values().filter_map(|one| may_go(one, before)).collect();
        ended.sort();
        let gone: BTreeSet<OperationId> = ended.into_iter().take(max).map(|(_, id)| id).collect();
        self.remove(&gone);
        self.forget_closures(now);
        self.turnstile.sweep(now);
        gone.len()
    }

    fn remove(&mut self, gone: &BTreeSet<OperationId>) {
        self.deliveries.retain(|_, delivery| !gone.contains(&delivery.operation));
        let deliveries = &self.deliveries;
        self.attempts.retain(|(id, _), _| deliveries.contains_key(id));
        self.steps.retain(|(id, _), _| deliveries.contains_key(id));
        self.results.retain(|id, _| deliveries.contains_key(id));
        self.events.retain(|_, event| !gone.contains(&event.operation));
        self.notifications.retain(|_, notification| !gone.contains(&notification.operation));
        self.known.retain(|_, operation| !gone.contains(operation));
        self.keys.retain(|_, key| !gone.contains(&key.operation));
        self.operations.retain(|id, _| !gone.contains(id));
    }

    /// Closures that ended before the oldest operation began explain nobody's wait any more.
    fn forget_closures(&mut self, now: Timestamp) {
        let oldest = self.operations.values().map(|operation| operation.created).min().unwrap_or(Timestamp::MAX);
        for closures in self.closures.values_mut() {
            closures.retain(|closure| closure.until.is_none_or(|until| until >= oldest || until > now));
        }
    }
}

/// When an operation ended, if it may be removed: nothing of it waits, runs or is a dead letter.
fn may_go(operation: &Operation, before: Timestamp) -> Option<(Timestamp, OperationId)> {
    let (_, at) = operation.ended?;
    let is_over = |tally: crate::operation::Tally| tally.live() == 0 && tally.dead == 0;
    (at < before && is_over(operation.tracked) && is_over(operation.untracked)).then_some((at, operation.id))
}
