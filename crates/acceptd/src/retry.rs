//! When a failed attempt is tried again: exponential backoff with full jitter.

use std::time::Duration;

/// How often and how soon a consumer's deliveries are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; at least 1.
    pub max_attempts: u32,
    /// The longest wait before the second attempt; it doubles with each further one.
    pub base: Duration,
    /// The longest wait of all.
    pub max: Duration,
    /// How long a target may keep throttling a delivery before it becomes a dead letter.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    /// 8 attempts, 1 s doubling up to 5 min, and 24 h of throttling.
    fn default() -> Self {
        Self {
            max_attempts: 8,
            base: Duration::from_secs(1),
            max: Duration::from_secs(300),
            give_up_after: Duration::from_secs(24 * 3600),
        }
    }
}

impl RetryPolicy {
    /// The wait after the given failed attempt (1 is the first). `jitter` from 0 to 1 picks within the upper half
    /// of the range, so that deliveries which failed together come back apart, yet never at once.
    pub fn backoff(&self, attempt: u32, jitter: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.max);
        ceiling.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_the_maximum() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(1, 1.0), Duration::from_secs(1));
        assert_eq!(policy.backoff(2, 1.0), Duration::from_secs(2));
        assert_eq!(policy.backoff(2, 0.0), Duration::from_secs(1));
        assert_eq!(policy.backoff(30, 1.0), Duration::from_secs(300));
        assert_eq!(policy.backoff(u32::MAX, f64::NAN.max(1.0)), Duration::from_secs(300));
    }
}
