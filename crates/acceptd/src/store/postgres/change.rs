//! What a commit tells the other nodes: enough to keep in memory what the writer keeps in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::turnstile::Fact;
use crate::{DeliveryId, NodeId, Timestamp};

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Change {
    /// Who waits, or who holds what.
    Turnstile(Fact),
    /// A delivery of this consumer is due then, and not in line.
    Due(Arc<str>, Timestamp),
    /// A root event waits for a consumer that the node which accepted it does not serve.
    Unrouted,
    /// An attempt of this delivery is not wanted any more.
    Stopped(DeliveryId),
    /// A node was alive then.
    Beat(NodeId, Timestamp),
    /// Consumers, nodes or pauses: they are read again.
    Names,
    /// Limits, or how consumers wait: all of it is read again.
    Everything,
}

impl Change {
    /// Whether another node, or who watches there, may have something to do by it.
    pub(super) fn is_for_others(&self) -> bool {
        !matches!(self, Self::Beat(..))
    }
}
