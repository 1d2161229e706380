//! Departure: the moment at which an attempt leaves for its target, from which on its start counts for rates.

use std::sync::{Mutex, PoisonError};

/// Told once when an attempt leaves for its target; at the latest when the attempt ends.
#[derive(Default)]
pub struct Departure(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Departure {
    /// Calls this at the departure.
    pub fn new(at_departure: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(at_departure))))
    }

    /// The attempt leaves now. Only the first time counts.
    pub fn depart(&self) {
        let at_departure = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(at_departure) = at_departure {
            at_departure();
        }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.depart();
    }
}
