//! Dispatch: a loop that claims what may start while there is room for it.
//!
//! Consumers that share a limit are claimed for together, so that they take turns at it; every other has a loop of its
//! own. Only one claim of a loop is under way at a time; what ends meanwhile frees slots for the next one, so claims
//! grow into batches under load by themselves. Wake-ups are hints: a loop also looks by itself every few seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::consumer::Consumer;
use crate::engine::{Engine, Served, execute};
use crate::limit::Policy;
use crate::store::{Claim, Claims, Wanted};
use crate::{Error, ErrorKind, Result};

/// The most deliveries of a consumer taken by one claim.
const CLAIM_MAX: usize = 512;
/// How long it waits after the store failed.
const STORE_BACKOFF: Duration = Duration::from_millis(200);

/// Claims for consumers that share limits.
pub(crate) struct Dispatcher {
    served: Vec<Arc<Served>>,
    wake: Arc<Notify>,
}

impl Dispatcher {
    /// One dispatcher for each set of consumers that are tied by limits.
    pub(crate) fn for_all(consumers: Vec<(Consumer, Policy)>) -> Vec<Self> {
        let ties = ties(&consumers);
        let mut dispatchers: BTreeMap<usize, Self> = BTreeMap::new();
        for ((consumer, policy), tie) in consumers.into_iter().zip(ties) {
            let dispatcher =
                dispatchers.entry(tie).or_insert_with(|| Self { served: Vec::new(), wake: Arc::default() });
            dispatcher.served.push(Arc::new(Served::new(consumer, policy, Arc::clone(&dispatcher.wake))));
        }
        dispatchers.into_values().collect()
    }

    pub(crate) fn served(&self) -> &[Arc<Served>] {
        &self.served
    }

    pub(crate) fn start(self, engine: &Engine) {
        let engine = engine.clone();
        let tracker = engine.0.tracker.clone();
        tracker.spawn(async move {
            let draining = engine.0.draining.clone();
            draining.run_until_cancelled(self.run(&engine)).await;
        });
    }

    async fn run(self, engine: &Engine) {
        loop {
            let wanted: Vec<_> = self.served.iter().filter_map(|served| served.wanted(CLAIM_MAX)).collect();
            if wanted.is_empty() {
                self.wake.notified().await;
                continue;
            }
            let full = wanted.iter().map(|wanted| wanted.max).sum::<usize>();
            let pause = match self.claim(engine, wanted).await {
                Ok((count, _)) if count == full => continue,
                Ok((_, claims)) => {
                    self.served.iter().for_each(|served| served.learn(&claims));
                    idle_time(engine, &claims)
                }
                Err(error) => {
                    let consumers: Vec<_> = self.served.iter().map(|served| &served.consumer().name).collect();
                    tracing::warn!(?consumers, %error, "claiming failed");
                    STORE_BACKOFF
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Claims and starts; returns how many. Runs apart from the loop: a stored claim must never be dropped half way.
    async fn claim(&self, engine: &Engine, wanted: Vec<Wanted>) -> Result<(usize, Claims)> {
        let owned = engine.clone();
        let claiming = engine.0.tracker.spawn(async move {
            let _steady = owned.0.steady.read().await;
            let claim = Claim { wanted, node: owned.0.node, now: owned.now() };
            let mut claims = owned.0.store.claim(claim).await?;
            let claimed = std::mem::take(&mut claims.claimed);
            let count = claimed.len();
            execute::start(&owned, claimed);
            Ok((count, claims))
        });
        claiming.await.unwrap_or_else(|gone| Err(Error::new(ErrorKind::Internal, "a claim was lost").caused_by(gone)))
    }
}

fn idle_time(engine: &Engine, claims: &Claims) -> Duration {
    let pauses = claims.paused.iter().filter_map(|(_, until)| *until);
    let next = pauses.chain(claims.next).min();
    let poll = engine.settings().poll_every;
    next.map_or(poll, |next| next.since(engine.now()).min(poll) + Duration::from_micros(500))
}

/// A number for each consumer: the same for those that share a limit, also through others.
fn ties(consumers: &[(Consumer, Policy)]) -> Vec<usize> {
    let mut ties: Vec<usize> = (0..consumers.len()).collect();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, (_, policy)) in consumers.iter().enumerate() {
        for used in &policy.limits {
            let (mine, other) = (ties[index], ties[*first.entry(&used.limit).or_insert(index)]);
            ties.iter_mut().filter(|tie| **tie == other).for_each(|tie| *tie = mine);
        }
    }
    ties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::LimitUse;

    #[test]
    fn consumers_are_tied_by_their_limits_also_through_others() {
        let consumer = |limits: &[&str]| {
            let limits = limits.iter().map(|limit| LimitUse { limit: (*limit).to_owned(), key: None }).collect();
            (Consumer::inbox("c", "a"), Policy { limits, ..Policy::default() })
        };
        let ties = ties(&[consumer(&["x"]), consumer(&[]), consumer(&["y"]), consumer(&["z"]), consumer(&["x", "y"])]);
        assert_eq!((ties[0], ties[2]), (ties[4], ties[4]));
        assert!(ties[1] != ties[0] && ties[3] != ties[0] && ties[1] != ties[3]);
    }
}
