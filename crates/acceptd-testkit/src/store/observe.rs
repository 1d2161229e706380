//! What was seen of the catalog's edges.

use std::sync::Arc;
use std::time::Duration;

use acceptd::catalog::{Day, Observation, Times};
use acceptd::{Store, Timestamp};

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn seen(on: &str, event: &str, consumer: &str, emits: &str, millis: u64) -> Observation {
    let mut times = Times::default();
    times.note(Duration::from_millis(millis));
    let last: Timestamp = format!("{on}T00:00:00.{millis:03}Z").parse().unwrap();
    let (event, consumer, emits) = (event.to_owned(), consumer.to_owned(), emits.to_owned());
    Observation { day: day(on), event, consumer, emits, count: 2, failed: 1, retried: 3, last, times }
}

/// Observations of the same edge and day add up; others stay apart.
pub async fn what_was_seen_is_added_up_by_day_and_edge(store: Arc<dyn Store>) {
    let keep = day("2026-01-01");
    let first = vec![seen("2026-11-22", "a", "c", "", 5), seen("2026-11-23", "a", "c", "", 5)];
    store.observe(first.clone(), keep).await.unwrap();
    let second = vec![seen("2026-11-23", "a", "c", "", 700), seen("2026-11-23", "a", "c", "b", 9)];
    store.observe(second.clone(), keep).await.unwrap();
    let mut sum = first[1].clone();
    sum.add(&second[0]);
    assert_eq!((sum.count, sum.failed, sum.retried), (4, 2, 6));
    let all = store.observed(keep).await.unwrap();
    assert_eq!(all, [first[0].clone(), sum.clone(), second[1].clone()]);
    assert_eq!(store.observed(day("2026-11-23")).await.unwrap(), [sum, second[1].clone()]);
}

/// A day before the first one that is kept goes, and does not come back.
pub async fn days_before_the_first_kept_are_forgotten(store: Arc<dyn Store>) {
    let (old, new) = (seen("2026-10-01", "a", "c", "", 5), seen("2026-11-23", "a", "c", "", 5));
    store.observe(vec![old.clone(), new.clone()], day("2026-10-01")).await.unwrap();
    assert_eq!(store.observed(day("2026-01-01")).await.unwrap(), [old.clone(), new.clone()]);
    store.observe(vec![old], day("2026-10-02")).await.unwrap();
    assert_eq!(store.observed(day("2026-01-01")).await.unwrap(), [new]);
}
