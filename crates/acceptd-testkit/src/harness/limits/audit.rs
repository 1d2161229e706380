//! What the services saw, held against what the limits allow.

use std::collections::BTreeMap;
use std::fmt;

use super::cast::{Cast, Key, LIMITS, Limit};
use super::service::Visit;

/// By how much the network may move a request: what receivers are promised on loopback, in seconds.
const JITTER: f64 = 0.005;

/// What one key of a limit was asked for beyond what it allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Excess {
    /// The limit.
    pub limit: &'static str,
    /// The key.
    pub key: u32,
    /// Whether it is its slots that were too few, rather than its starts that came too soon.
    pub of_slots: bool,
    /// What was too much.
    pub what: String,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit {} of key {}: {}", self.limit, self.key, self.what)
    }
}

/// Everything that was too much, by limit and key; at most one of each kind for a key.
pub fn excesses(cast: &Cast, visits: &[Visit]) -> Vec<Excess> {
    let mut excesses = Vec::new();
    for (place, limit) in LIMITS.iter().enumerate() {
        for (key, visits) in by_key(cast, place, limit, visits) {
            let of = |of_slots| move |what| Excess { limit: limit.name, key, of_slots, what };
            excesses.extend(limit.rate.and_then(|rate| too_fast(rate, &visits)).map(of(false)));
            excesses.extend(limit.concurrency.and_then(|slots| too_many(slots, &visits)).map(of(true)));
        }
    }
    excesses
}

/// The visits of each key of a limit, in the order of their arrival.
fn by_key(cast: &Cast, place: usize, limit: &Limit, visits: &[Visit]) -> BTreeMap<u32, Vec<Visit>> {
    let mut keys: BTreeMap<u32, Vec<Visit>> = BTreeMap::new();
    for visit in visits.iter().filter(|visit| cast.limits[visit.consumer].contains(&place)) {
        let key = match limit.key {
            Key::Shared => 0,
            Key::Account => visit.account,
            Key::Zone => visit.zone,
        };
        keys.entry(key).or_default().push(*visit);
    }
    keys.values_mut().for_each(|visits| visits.sort_by_key(|visit| visit.arrived));
    keys
}

/// The worst window with more than `burst + rate × (window + jitter)` arrivals.
fn too_fast((rate, burst): (f64, u32), visits: &[Visit]) -> Option<String> {
    let start = visits.first()?.arrived;
    let (mut least, mut worst): ((f64, f64), Option<(f64, String)>) = ((f64::MAX, 0.0), None);
    for (count, visit) in visits.iter().enumerate() {
        let at = (visit.arrived - start) as f64 / 1e9;
        // Arrivals so far beyond the rate. A window is as bad as this grew since its beginning.
        let beyond = count as f64 - rate * at;
        if beyond < least.0 {
            least = (beyond, at);
        }
        let arrived = beyond - least.0 + 1.0;
        let excess = arrived - f64::from(burst) - rate * JITTER;
        if excess > 1e-6 && worst.as_ref().is_none_or(|(known, _)| excess > *known) {
            let (from, seconds) = (least.1, at - least.1);
            let late = excess / rate * 1e3;
            let what =
                format!("{:.0} in {seconds:.4} s from {from:.3} s on, {late:.2} ms too soon", arrived + rate * seconds);
            worst = Some((excess, what));
        }
    }
    worst.map(|(_, what)| what)
}

/// The first time that more were worked on at once.
fn too_many(slots: usize, visits: &[Visit]) -> Option<String> {
    let mut changes: Vec<(i64, i32)> = Vec::with_capacity(visits.len() * 2);
    for visit in visits {
        changes.push((visit.arrived, 1));
        changes.push((visit.ended.max(visit.arrived), -1));
    }
    // At the same instant what ended goes first.
    changes.sort_unstable();
    let mut running = 0;
    let start = visits.first()?.arrived;
    for (at, change) in changes {
        running += change;
        if running > i32::try_from(slots).unwrap_or(i32::MAX) {
            return Some(format!("{running} at once {:.3} s after the first", (at - start) as f64 / 1e9));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visits(at: &[(f64, f64)]) -> Vec<Visit> {
        let nanos = |seconds: f64| (seconds * 1e9) as i64;
        let visit = |(arrived, ended): &(f64, f64)| Visit {
            consumer: 0,
            account: 0,
            zone: 0,
            arrived: nanos(*arrived),
            ended: nanos(*ended),
            refused: false,
        };
        at.iter().map(visit).collect()
    }

    fn fast(rate: f64, burst: u32, at: &[f64]) -> bool {
        too_fast((rate, burst), &visits(&at.iter().map(|at| (*at, *at)).collect::<Vec<_>>())).is_some()
    }

    #[test]
    fn a_window_is_found_wherever_it_is() {
        assert!(!fast(10.0, 1, &[0.0, 0.1, 0.2, 0.296]));
        assert!(fast(10.0, 1, &[0.0, 0.1, 0.194]));
        assert!(!fast(10.0, 2, &[0.0, 0.0, 0.1, 0.2]));
        assert!(fast(10.0, 2, &[0.0, 5.0, 5.0, 5.05]));
        // Each gap alone is within the jitter; together they are not.
        assert!(fast(10.0, 1, &[0.0, 0.096, 0.192, 0.288]));
    }

    #[test]
    fn too_many_at_once_are_found() {
        assert!(too_many(1, &visits(&[(0.0, 1.0), (1.0, 2.0)])).is_none());
        assert!(too_many(1, &visits(&[(0.0, 1.0), (0.9, 2.0)])).is_some());
        assert!(too_many(2, &visits(&[(0.0, 1.0), (0.9, 2.0)])).is_none());
    }
}
