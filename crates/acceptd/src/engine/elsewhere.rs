//! What other nodes do: their work wakes our consumers, their cancels stop our attempts, and who watches looks again.

use std::time::Duration;

use crate::engine::Engine;
use crate::store::Elsewhere;

/// How often those who watch look again while other nodes are busy.
const PAUSE: Duration = Duration::from_millis(20);

/// Follows the other nodes until this one stops.
pub(crate) fn follow(engine: &Engine) {
    let Some(mut elsewhere) = engine.store().elsewhere() else { return };
    let engine = engine.clone();
    tokio::spawn(async move {
        let stopped = engine.0.stopped.clone();
        let following = async {
            let mut news = Vec::new();
            while elsewhere.recv_many(&mut news, 64).await > 0 {
                if news.iter().any(|one| one.gates)
                    && let Err(error) = engine.heartbeat().await
                {
                    tracing::debug!(%error, "which gates are shut elsewhere is learned later");
                }
                news.drain(..).for_each(|one| engine.learn(one));
                engine.0.changes.touch_all();
                tokio::time::sleep(PAUSE).await;
            }
        };
        stopped.run_until_cancelled(following).await;
    });
}

impl Engine {
    fn learn(&self, elsewhere: Elsewhere) {
        self.wake(&elsewhere.woken);
        self.0.running.stop(&elsewhere.stopped);
        self.0.freed.notify_waiters();
    }
}
