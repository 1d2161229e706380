//! Services beside the hot path, one file each.

mod observe;
mod prune;
mod report;
mod rescue;

pub(crate) use rescue::rescue_once;

use crate::engine::{Engine, service};

/// Starts all of them.
pub(crate) fn start(engine: &Engine) {
    service::start::<rescue::Rescue>(engine);
    service::start::<prune::Prune>(engine);
    service::start::<report::Report>(engine);
    service::start::<observe::Observe>(engine);
}
