//! What is said of consumers, limits and edges, in the same few words in every format.

use std::time::Duration;

use crate::catalog::{Catalog, CatalogConsumer, CatalogLimit, Edge, EdgeKind, EdgeState, Observed};
use crate::duration::format_duration;

/// Milliseconds as people read them.
pub(super) fn millis(millis: u64) -> String {
    format_duration(Duration::from_millis(millis))
}

/// The median of an edge, where there is one.
pub(super) fn median(observed: &Observed) -> Option<String> {
    let median = observed.median_ms?;
    Some(if median < 1.0 { "under 1ms".to_owned() } else { millis(median.round() as u64) })
}

/// How many of an edge's deliveries gave up, or of its events were refused; nothing when none did.
pub(super) fn failure_rate(observed: &Observed) -> Option<String> {
    if observed.failed == 0 {
        return None;
    }
    let percent = (observed.failure_rate * 1_000.0).round() / 10.0;
    Some(if percent < 0.1 { "under 0.1 %".to_owned() } else { format!("{percent} %") })
}

/// What an edge's failures are.
pub(super) fn failure_word(kind: EdgeKind) -> &'static str {
    if kind == EdgeKind::Takes { "failed" } else { "refused" }
}

/// What was seen of an edge: how often, how many failed, how long it took.
pub(super) fn counted(edge: &Edge) -> Option<String> {
    let observed = edge.observed.as_ref()?;
    let rate = failure_rate(observed).map(|rate| format!("{rate} {}", failure_word(edge.kind)));
    let retried = (observed.retried > 0).then(|| format!("{} tried again", observed.retried));
    let median = median(observed).map(|median| format!("median {median}"));
    let seen = format!("{} seen", observed.count.max(observed.failed));
    let parts: Vec<_> = [Some(seen), rate, retried, median].into_iter().flatten().collect();
    Some(parts.join(", "))
}

/// What is to be said of an edge beside that it is there: what was seen of it, that it never was, or that it is
/// undeclared. Nothing when nobody looked.
pub(super) fn mark(edge: &Edge) -> Option<String> {
    match edge.state {
        EdgeState::Declared => None,
        EdgeState::Seen => counted(edge),
        EdgeState::NeverSeen => Some("never seen".to_owned()),
        EdgeState::Undeclared => {
            Some(counted(edge).map_or("UNDECLARED".to_owned(), |seen| format!("UNDECLARED, {seen}")))
        }
    }
}

/// The same in the few words that fit on an arrow: `12 · 4.2 % failed`.
pub(super) fn short_mark(edge: &Edge) -> Option<String> {
    let counts = edge.observed.as_ref().map(|observed| {
        let rate = failure_rate(observed).map(|rate| format!(" · {rate} {}", failure_word(edge.kind)));
        format!("{}{}", observed.count.max(observed.failed), rate.unwrap_or_default())
    });
    match edge.state {
        EdgeState::Declared => None,
        EdgeState::Seen => counts,
        EdgeState::NeverSeen => Some("never seen".to_owned()),
        EdgeState::Undeclared => {
            Some(counts.map_or("undeclared".to_owned(), |counts| format!("undeclared · {counts}")))
        }
    }
}

/// Where a consumer's deliveries go.
pub(super) fn target(consumer: &CatalogConsumer) -> String {
    if consumer.target == "inbox" { "inbox".to_owned() } else { format!("{} {}", consumer.target, consumer.address) }
}

/// The limits that hold a consumer, without its lock.
pub(super) fn limits_of<'a>(catalog: &'a Catalog, consumer: &'a CatalogConsumer) -> Vec<&'a str> {
    let is_named = |name: &&str| catalog.limits.iter().any(|limit| limit.name == *name);
    consumer.limits.iter().map(String::as_str).filter(is_named).collect()
}

/// What holds a consumer's deliveries and how they are tried again, each in a few words.
pub(super) fn policies(catalog: &Catalog, consumer: &CatalogConsumer) -> Vec<String> {
    let (timeout, retry) = (millis(consumer.timeout_ms), &consumer.retry);
    let mut words = vec![match consumer.max_attempts {
        1 => format!("1 attempt of up to {timeout}"),
        more => {
            let (base, max) = (millis(retry.base_ms), millis(retry.max_ms));
            format!("{more} attempts of up to {timeout}, {base} to {max} apart")
        }
    }];
    words.extend(limits_of(catalog, consumer).into_iter().map(|limit| format!("limit {limit}")));
    words.extend(consumer.permits.iter().map(|limit| format!("limit {limit} around calls")));
    words.extend(consumer.lock.iter().map(|key| format!("lock {key}")));
    words.extend(consumer.ordered.then(|| "strictly in order".to_owned()));
    words.extend((consumer.undeclared == "record").then(|| "undeclared events pass".to_owned()));
    words
}

/// What a limit allows.
pub(super) fn allows(limit: &CatalogLimit) -> String {
    let rate = limit.rate.clone();
    let concurrency = limit.concurrency.map(|slots| format!("{slots} at once"));
    let adapt = limit.adapt.then(|| "finds its rate by itself".to_owned());
    let key = limit.key.as_ref().map(|key| format!("for each {key}"));
    let parts: Vec<_> = [rate, concurrency, adapt, key].into_iter().flatten().collect();
    if parts.is_empty() { "no bound of its own".to_owned() } else { parts.join(", ") }
}

/// Who is held by a limit.
pub(super) fn held_by<'a>(catalog: &'a Catalog, limit: &'a str) -> Vec<&'a str> {
    let takes = |consumer: &&CatalogConsumer| consumer.limits.iter().chain(&consumer.permits).any(|name| name == limit);
    catalog.consumers.iter().filter(takes).map(|consumer| consumer.name.as_str()).collect()
}

/// The consumers that no known event type reaches.
pub(super) fn unfed(catalog: &Catalog) -> Vec<&CatalogConsumer> {
    let is_fed = |consumer: &CatalogConsumer| catalog.edges_of(&consumer.name, EdgeKind::Takes).next().is_some();
    catalog.consumers.iter().filter(|consumer| !is_fed(consumer)).collect()
}

/// Whether acceptd itself emits it.
pub(super) fn is_own(kind: &str) -> bool {
    kind.starts_with("acceptd.")
}

/// The first paragraph of a description as one line.
pub(super) fn summary(description: &str) -> String {
    let first = description.trim().split("\n\n").next().unwrap_or_default();
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}
