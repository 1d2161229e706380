//! Metrics: their names, their labels, and what each says. They go to whatever recorder the application installed for
//! the `metrics` facade; without one they cost next to nothing.
//!
//! Labels have few values: consumers and event types that are declared, and the words listed here. No label holds an
//! id, a key or an owner.

#![cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "some are of one store only"))]

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often which value was seen.
    Histogram,
}

impl MetricKind {
    /// The word that Prometheus has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub unit: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

/// The labels of metrics.
pub(crate) mod label {
    pub(crate) const EVENT_TYPE: &str = "event_type";
    pub(crate) const OUTCOME: &str = "outcome";
    pub(crate) const CONSUMER: &str = "consumer";
    pub(crate) const STATE: &str = "state";
    pub(crate) const CODE_CLASS: &str = "code_class";
    pub(crate) const VERSION: &str = "version";
}

macro_rules! metrics {
    ($( $constant:ident = $kind:ident $name:literal [$($label:ident),*] $unit:literal $meaning:literal; )*) => {
        $( pub(crate) const $constant: &str = $name; )*
        /// Every metric of the library, and what the server adds.
        pub const METRICS: &[Metric] = &[
            $( Metric {
                name: $name,
                kind: MetricKind::$kind,
                labels: &[$(label::$label),*],
                unit: $unit,
                meaning: $meaning,
            } ),*
        ];
    };
}

metrics! {
    OPERATIONS = Counter "acceptd_operations_total" [EVENT_TYPE, OUTCOME] "operations"
        "Operations that ended, by the type of their first event and by how: succeeded, failed, canceled";
    ACCEPT_SECONDS = Histogram "acceptd_accept_duration_seconds" [] "seconds"
        "From a submission to its durable acceptance";
    QUEUE_DEPTH = Gauge "acceptd_queue_depth" [CONSUMER, STATE] "deliveries"
        "Deliveries that have not ended: waiting (counted to 1,000,001 at most), running";
    OLDEST_READY_AGE = Gauge "acceptd_oldest_ready_age_seconds" [CONSUMER] "seconds"
        "For how long the oldest waiting delivery has been due; 0 when none is";
    HANDLER_SECONDS = Histogram "acceptd_handler_duration_seconds" [CONSUMER, OUTCOME] "seconds"
        "How long attempts took, by how they ended: done, retry, snoozed, throttled, released, dead, canceled, lost";
    DELIVERIES = Counter "acceptd_deliveries_total" [CONSUMER, CODE_CLASS] "attempts"
        "Attempts that ended, by the answer: 2xx (done), 3xx, 4xx, 5xx, error (no HTTP status), none (not heard)";
    RETRIES = Counter "acceptd_retries_total" [CONSUMER] "attempts"
        "Attempts that failed or were lost and are followed by another";
    DEAD_LETTERS = Gauge "acceptd_dead_letters" [CONSUMER] "deliveries"
        "Dead letters that nobody has retried or discarded";
    LOCK_WAIT_SECONDS = Histogram "acceptd_lock_wait_seconds" [] "seconds"
        "How long deliveries that a limit or a lock held were due before they started";
    RATE_LIMITED = Counter "acceptd_rate_limited_total" [] "answers"
        "Answers by which a target asked to be left alone for a while";
    LEASES_LOST = Counter "acceptd_leases_lost_total" [] "attempts"
        "Attempts whose node or target was not heard of any more";
    STORE_COMMIT_SECONDS = Histogram "acceptd_store_commit_seconds" [] "seconds"
        "How long transactions of the store's writer took, fsync included";
    STORE_COMMIT_COMMANDS = Histogram "acceptd_store_commit_commands" [] "commands"
        "How many commands one transaction of the store's writer held";
    BUILD_INFO = Gauge "acceptd_build_info" [VERSION] "1"
        "Always 1; its label is acceptd's version";
}

/// Says what each metric means to the recorder of the process. Call it once after installing one.
pub fn describe_metrics() {
    for Metric { name, kind, meaning, .. } in METRICS {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(*name, *meaning),
            MetricKind::Gauge => metrics::describe_gauge!(*name, *meaning),
            MetricKind::Histogram => metrics::describe_histogram!(*name, *meaning),
        }
    }
    metrics::gauge!(BUILD_INFO, label::VERSION => env!("CARGO_PKG_VERSION")).set(1.0);
}
