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
    // Not one of those that a shutdown waits for: attempts that end meanwhile are still told of.
    tokio::spawn(async move {
        let stopped = engine.0.stopped.clone();
        let following = async {
            let mut news = Vec::new();
            while elsewhere.recv_many(&mut news, 64).await > 0 {
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
