//! Chance: what the engine leaves to it, which repeats for the same seed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

/// Where chance comes from.
pub(crate) struct Chance(Mutex<SmallRng>);

impl Default for Chance {
    fn default() -> Self {
        Self(Mutex::new(rand::make_rng()))
    }
}

impl Chance {
    /// Chance that repeats for the same seed and the same questions.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Mutex::new(SmallRng::seed_from_u64(seed)))
    }

    /// A number from 0 to 1.
    pub(crate) fn fraction(&self) -> f64 {
        self.lock().random()
    }

    /// A seed for something else.
    pub(crate) fn seed(&self) -> u64 {
        self.lock().random()
    }

    fn lock(&self) -> MutexGuard<'_, SmallRng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
