//! The contract of everything that runs beside the hot path: a name, a rhythm, and one pass.

use std::future::Future;
use std::time::Duration;

use crate::Result;
use crate::engine::Engine;

/// Something done again and again until the engine stops.
pub(crate) trait Service: Send + Sync + 'static {
    /// Its name in the log.
    const NAME: &'static str;

    /// How long it rests between passes.
    fn every(engine: &Engine) -> Duration;

    /// Does it once.
    fn pass(engine: &Engine) -> impl Future<Output = Result<()>> + Send;
}

/// Runs a service until the engine has stopped. A pass that fails is logged and tried again.
pub(crate) fn start<S: Service>(engine: &Engine) {
    let engine = engine.clone();
    tokio::spawn(async move {
        let stopped = engine.0.stopped.clone();
        let passes = async {
            loop {
                tokio::time::sleep(S::every(&engine)).await;
                if let Err(error) = S::pass(&engine).await {
                    tracing::warn!(service = S::NAME, %error, "a pass failed");
                }
            }
        };
        stopped.run_until_cancelled(passes).await;
    });
}
