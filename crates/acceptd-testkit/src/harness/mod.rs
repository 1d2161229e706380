//! The fault harness: it breaks acceptd on purpose and proves that nothing was lost.
//!
//! A real server process is killed, stopped, starved of disk and flooded while clients post and consumers answer.
//! What everyone saw is kept outside of the server in three [`ledger`]s, and the [`checker`] holds them against the
//! promises afterwards. [`world`] plays one such run; the tests in `tests/fault` say which faults are in it.
//!
//! The same harness must fail when a bug is planted (`acceptd::fault::PLANTED`): a proof that can't fail proves
//! nothing.

pub mod api;
pub mod binary;
pub mod checker;
pub mod config;
pub mod http;
pub mod ledger;
pub mod limits;
pub mod load;
pub mod receiver;
pub mod server;
pub mod world;

use std::future::Future;
use std::time::{Duration, Instant};

/// Asks again and again until there is an answer. Panics when there is none within `limit`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> T {
    let asked_since = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(asked_since.elapsed() < limit, "{what}: not within {limit:?}");
        // The pause between two looks at a condition.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The seed of a run: from `ACCEPTD_FAULT_SEED`, or a new one. Printed, so that a run can be played again.
pub fn seed() -> u64 {
    let given = std::env::var("ACCEPTD_FAULT_SEED").ok().map(|text| text.parse().expect("a number"));
    let seed = given.unwrap_or_else(rand::random);
    println!("seed {seed} (ACCEPTD_FAULT_SEED={seed} plays the same choices again)");
    seed
}
