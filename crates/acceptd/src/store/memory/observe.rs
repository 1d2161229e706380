//! What was seen of the catalog's edges: added up by day.

use super::Tables;
use crate::catalog::{Day, Observation};

impl Tables {
    pub(super) fn observe(&mut self, observations: Vec<Observation>, keep: Day) {
        self.observations.retain(|(day, ..), _| *day >= keep);
        for seen in observations.into_iter().filter(|seen| seen.day >= keep) {
            let key = (seen.day, seen.event.clone(), seen.consumer.clone(), seen.emits.clone());
            match self.observations.get_mut(&key) {
                Some(sum) => sum.add(&seen),
                None => drop(self.observations.insert(key, seen)),
            }
        }
    }

    pub(super) fn observed(&self, since: Day) -> Vec<Observation> {
        self.observations.values().filter(|seen| seen.day >= since).cloned().collect()
    }
}
