//! What was seen of the catalog's edges: added up by day.

use super::error::Try;
use super::observed::observation;
use super::row::{text, to_json};
use super::tables::PostgresTables;
use crate::catalog::{Day, Observation};

const KEPT: &str = "SELECT day, event, consumer, emits, count, failed, retried, last, times FROM observations \
    WHERE day = $1 AND event = $2 AND consumer = $3 AND emits = $4";
const WRITE: &str = "INSERT INTO observations (day, event, consumer, emits, count, failed, retried, last, times) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (day, event, consumer, emits) DO UPDATE SET \
    count = EXCLUDED.count, failed = EXCLUDED.failed, retried = EXCLUDED.retried, last = EXCLUDED.last, \
    times = EXCLUDED.times";

/// Adds observations to those of their days, and forgets days before `keep`.
pub(super) fn observe(tables: &mut PostgresTables, observations: &[Observation], keep: Day) -> Try<()> {
    tables.execute("DELETE FROM observations WHERE day < $1", &[&keep.number()])?;
    for seen in observations.iter().filter(|seen| seen.day >= keep) {
        let (event, consumer, emits) = (text(&seen.event), text(&seen.consumer), text(&seen.emits));
        let (event, consumer, emits) = (&*event, &*consumer, &*emits);
        let kept = tables.read(KEPT, &[&seen.day.number(), &event, &consumer, &emits])?;
        let mut sum = seen.clone();
        if let Some(row) = kept.first() {
            sum.add(&observation(row)?);
        }
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (counted, failed, retried) = (count(sum.count), count(sum.failed), count(sum.retried));
        let (last, times) = (sum.last.as_micros(), to_json(Some(&sum.times))?);
        tables.execute(
            WRITE,
            &[&seen.day.number(), &event, &consumer, &emits, &counted, &failed, &retried, &last, &times],
        )?;
    }
    Ok(())
}
