//! Where the time of an operation went: each millisecond is running, backing off or waiting.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The time from accepting to the end, or to now, split without overlap. All in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// All of it: the sum of the other three.
    pub total_ms: u64,
    /// Some delivery ran.
    pub running_ms: u64,
    /// None ran, and some delivery was not due yet after an attempt that failed.
    pub backing_off_ms: u64,
    /// The rest: limits, locks, slots, pauses, delays, people.
    pub waiting_ms: u64,
}

/// A time from one instant to another.
pub(super) type Span = (Timestamp, Timestamp);

impl Times {
    /// Splits a span by the spans in which deliveries ran and backed off; these may overlap and reach beyond it.
    pub(super) fn split((from, to): Span, running: &[Span], backing_off: &[Span]) -> Self {
        let within = |spans: &[Span]| -> Vec<(i64, i64)> {
            let millis = |at: Timestamp| at.clamp(from, to.max(from)).as_millis();
            spans.iter().map(|(start, end)| (millis(*start), millis(*end))).collect()
        };
        let total_ms = between(from, to);
        let runs = within(running);
        let running_ms = covered(runs.clone());
        let busy = covered(runs.into_iter().chain(within(backing_off)).collect());
        Self { total_ms, running_ms, backing_off_ms: busy - running_ms, waiting_ms: total_ms - busy }
    }

    /// Waiting, running and backing off as whole percents, which make 100 unless there was no time at all.
    pub(super) fn shares(&self) -> [u64; 3] {
        let parts = [self.waiting_ms, self.running_ms, self.backing_off_ms];
        let total = u128::from(self.total_ms.max(1));
        let mut shares = parts.map(|part| (u128::from(part) * 100 / total) as u64);
        let lost = |at: &usize| std::cmp::Reverse(u128::from(parts[*at]) * 100 % total);
        let mut by_loss = [0, 1, 2];
        by_loss.sort_by_key(lost);
        let missing = if self.total_ms == 0 { 0 } else { 100 - shares.iter().sum::<u64>() };
        by_loss.iter().take(missing as usize).for_each(|at| shares[*at] += 1);
        shares
    }
}

/// Milliseconds from one instant to another, by the milliseconds they are written with; 0 when they are the wrong way
/// round.
pub(super) fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millis() - from.as_millis()).unwrap_or(0)
}

/// How much of the line these spans cover together.
fn covered(mut spans: Vec<(i64, i64)>) -> u64 {
    spans.sort_unstable();
    let (mut sum, mut reached) = (0, i64::MIN);
    for (from, to) in spans {
        let from = from.max(reached);
        sum += (to - from).max(0);
        reached = reached.max(to);
    }
    u64::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn spans(spans: &[(i64, i64)]) -> Vec<Span> {
        spans.iter().map(|(from, to)| (at(*from), at(*to))).collect()
    }

    /// Running, backing off, waiting.
    fn split(to: i64, running: &[(i64, i64)], backing_off: &[(i64, i64)]) -> (u64, u64, u64) {
        let times = Times::split((at(100), at(to)), &spans(running), &spans(backing_off));
        assert_eq!(times.running_ms + times.backing_off_ms + times.waiting_ms, times.total_ms, "{times:?}");
        assert_eq!(times.total_ms, u64::try_from((to - 100).max(0)).unwrap());
        (times.running_ms, times.backing_off_ms, times.waiting_ms)
    }

    #[test]
    fn what_overlaps_counts_once() {
        assert_eq!(split(1_100, &[(200, 400), (300, 500), (250, 260)], &[]), (300, 0, 700));
        assert_eq!(split(1_100, &[(600, 700), (200, 300)], &[]), (200, 0, 800), "in any order");
        assert_eq!(split(1_100, &[(200, 300), (300, 400)], &[]), (200, 0, 800), "one after the other");
    }

    #[test]
    fn who_runs_counts_before_who_backs_off() {
        assert_eq!(split(1_100, &[(200, 400)], &[(300, 600)]), (200, 200, 600));
        assert_eq!(split(1_100, &[(100, 1_100)], &[(300, 600)]), (1_000, 0, 0));
        assert_eq!(split(1_100, &[(400, 500)], &[(200, 900), (800, 1_000)]), (100, 700, 200));
    }

    #[test]
    fn only_what_lies_within_counts() {
        assert_eq!(split(1_100, &[(0, 200), (1_000, 9_000)], &[(9_000, 9_999)]), (200, 0, 800));
        assert_eq!(split(1_100, &[(500, 400)], &[]), (0, 0, 1_000), "a clock that was set back");
        assert_eq!(split(100, &[(0, 500)], &[(0, 500)]), (0, 0, 0), "no time at all");
        assert_eq!(split(50, &[(0, 500)], &[]), (0, 0, 0), "ended before it began");
    }

    #[test]
    fn fractions_of_a_millisecond_add_up() {
        let micros = |at: i64| Timestamp::from_micros(at);
        let span = (micros(999), micros(10_001));
        let times = Times::split(span, &[(micros(1_500), micros(3_999))], &[(micros(3_999), micros(5_000))]);
        assert_eq!(times, Times { total_ms: 10, running_ms: 2, backing_off_ms: 2, waiting_ms: 6 });
    }

    #[test]
    fn shares_make_a_hundred() {
        let shares = |waiting_ms, running_ms, backing_off_ms| {
            let total_ms = waiting_ms + running_ms + backing_off_ms;
            Times { total_ms, running_ms, backing_off_ms, waiting_ms }.shares()
        };
        assert_eq!(shares(1, 1, 1), [34, 33, 33]);
        assert_eq!(shares(2, 2, 3), [29, 28, 43]);
        assert_eq!(shares(0, 7, 0), [0, 100, 0]);
        assert_eq!(shares(0, 0, 0), [0, 0, 0]);
        assert_eq!(shares(u64::MAX / 4, u64::MAX / 4, 0), [50, 50, 0]);
    }
}
