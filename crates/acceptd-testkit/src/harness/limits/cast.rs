//! Who takes part in a run: limits, the consumers that they hold, and the events that those take.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Accounts that events are for: the keys of two limits.
pub const ACCOUNTS: u32 = 200;
/// Zones that events are in: the keys of another one.
pub const ZONES: u32 = 10;
/// How many consumers there are.
pub const CONSUMERS: usize = 20;
/// How long an attempt may take.
pub const TIMEOUT: &str = "2s";

/// What a limit counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Nothing: all share it.
    Shared,
    /// Each account.
    Account,
    /// Each zone.
    Zone,
}

/// A limit of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Its name.
    pub name: &'static str,
    /// Starts in a second, and how many at once.
    pub rate: Option<(f64, u32)>,
    /// How many may run at once.
    pub concurrency: Option<usize>,
    /// What it counts apart.
    pub key: Key,
}

/// The limits of every run.
pub const LIMITS: [Limit; 5] = [
    Limit { name: "all-rate", rate: Some((900.0, 20)), concurrency: None, key: Key::Shared },
    Limit { name: "all-slots", rate: None, concurrency: Some(24), key: Key::Shared },
    Limit { name: "account-rate", rate: Some((15.0, 2)), concurrency: None, key: Key::Account },
    Limit { name: "account-lock", rate: None, concurrency: Some(1), key: Key::Account },
    Limit { name: "zone", rate: Some((120.0, 1)), concurrency: Some(6), key: Key::Zone },
];

/// Which limits hold which consumer.
#[derive(Debug, Clone)]
pub struct Cast {
    /// For each consumer the places of its limits in [`LIMITS`].
    pub limits: Vec<Vec<usize>>,
}

impl Cast {
    /// One to three limits for each consumer, by a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = (0..CONSUMERS).map(|consumer| {
            let mut limits: Vec<_> = (0..rng.random_range(0..3)).map(|_| rng.random_range(0..LIMITS.len())).collect();
            // Each limit holds some of them, whatever the seed.
            limits.push(consumer % LIMITS.len());
            limits.sort_unstable();
            limits.dedup();
            limits
        });
        Self { limits: limits.collect() }
    }

    /// The server's configuration, with the consumers' endpoints at these services in turn.
    pub fn to_toml(&self, database: &Path, services: &[SocketAddr]) -> String {
        let database = database.display();
        let mut toml =
            format!("[store]\nurl = \"sqlite:{database}\"\n[server]\nlease = \"1s\"\ndrain_grace = \"1s\"\n");
        for Limit { name, rate, concurrency, key } in LIMITS {
            writeln!(toml, "[limits.{name}]").expect("text");
            if let Some((rate, burst)) = rate {
                writeln!(toml, "rate = \"{rate}/s burst {burst}\"").expect("text");
            }
            if let Some(concurrency) = concurrency {
                writeln!(toml, "concurrency = {concurrency}").expect("text");
            }
            match key {
                Key::Shared => {}
                Key::Account => toml.push_str("key = \"/account\"\n"),
                Key::Zone => toml.push_str("key = \"/zone\"\n"),
            }
        }
        for (consumer, limits) in self.limits.iter().enumerate() {
            let names: Vec<_> = limits.iter().map(|limit| LIMITS[*limit].name).collect();
            let service = services[consumer % services.len()];
            write!(
                toml,
                "[consumers.c{consumer}]\non = \"e{consumer}\"\nurl = \"http://{service}/{consumer}\"\n\
                 limits = {names:?}\ntimeout = {TIMEOUT:?}\n\
                 retry = {{ max_attempts = 100, base = \"20ms\", max = \"200ms\" }}\n"
            )
            .expect("text");
        }
        toml
    }
}
