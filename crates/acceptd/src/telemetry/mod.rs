//! What acceptd tells of itself: spans, metrics, and what its log lines carry. Every name is a constant here, and
//! `docs/telemetry.md` lists them all; a test keeps the two equal.

mod meter;
mod metric;
mod span;
mod table;

pub(crate) use meter::{Answer, ConsumerMeter, EngineMeter, gauge};
pub use metric::{METRICS, Metric, MetricKind, describe_metrics};
#[cfg(feature = "sqlite")]
pub(crate) use metric::{STORE_COMMIT_COMMANDS, STORE_COMMIT_SECONDS};
pub use span::{
    ATTRIBUTES, Attribute, FinishedSpan, SPANS, SpanDefinition, SpanKind, SpanSink, Value, attribute, operation,
};
pub use table::{log_table, metrics_table, spans_table};

/// The span of the log in which an attempt runs: each line that is written meanwhile carries its fields, also those
/// of a handler.
pub const LOG_SPAN: &str = "attempt";

/// The fields of that span, and what each is.
pub const LOG_FIELDS: [(&str, &str); 4] = [
    ("operation", "the operation's id"),
    ("trace_id", "the trace that the event belongs to: the operation's id without its dashes, unless it came with one"),
    ("delivery", "the delivery's id"),
    ("consumer", "the consumer's name"),
];
