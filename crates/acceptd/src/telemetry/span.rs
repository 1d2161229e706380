//! Spans as data: what happened, from when to when, where in which trace. Whoever wants them gives a [`SpanSink`]; the
//! names are those of OpenTelemetry's semantic conventions for messaging and HTTP.

use std::borrow::Cow;

use crate::Timestamp;
use crate::trace::TraceContext;

/// Takes spans when they have ended. Called on the way of every attempt: it must not wait.
pub trait SpanSink: Send + Sync + 'static {
    /// A span has ended.
    fn ended(&self, span: FinishedSpan);
}

/// How a span stands to the others of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// It made an event that someone takes later.
    Producer,
    /// It took an event that someone made before.
    Consumer,
    /// It asked someone and waited for the answer.
    Client,
}

impl SpanKind {
    /// The word of the conventions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "PRODUCER",
            Self::Consumer => "CONSUMER",
            Self::Client => "CLIENT",
        }
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedSpan {
    /// What happened and to what, such as `process order.placed`.
    pub name: String,
    /// How it stands to the others.
    pub kind: SpanKind,
    /// Where it is.
    pub context: TraceContext,
    /// What it is a part of; None for the first of its trace.
    pub parent: Option<TraceContext>,
    /// What else it has to do with.
    pub links: Vec<TraceContext>,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// What is known of it, by the names in [`attribute`].
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong, in a word for machines.
    pub error: Option<Cow<'static, str>>,
}

impl FinishedSpan {
    /// A span at this place, from then to then.
    pub fn new(name: String, kind: SpanKind, context: TraceContext, (start, end): (Timestamp, Timestamp)) -> Self {
        let (parent, links, attributes) = (None, Vec::new(), Vec::with_capacity(8));
        Self { name, kind, context, parent, links, start, end, attributes, error: None }
    }

    /// The same as a part of this one.
    #[must_use]
    pub fn under(mut self, parent: Option<TraceContext>) -> Self {
        self.parent = parent;
        self
    }

    /// The same with an attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// The same, gone wrong.
    #[must_use]
    pub fn failed(mut self, error: Option<impl Into<Cow<'static, str>>>) -> Self {
        self.error = error.map(Into::into);
        self
    }
}

/// The values of `messaging.operation.name`.
pub mod operation {
    /// One event of a batch was made.
    pub const CREATE: &str = "create";
    /// Events were accepted, or emitted.
    pub const SEND: &str = "send";
    /// An attempt ran.
    pub const PROCESS: &str = "process";
    /// The end of an attempt was stored.
    pub const SETTLE: &str = "settle";
}

/// The names of attributes.
pub mod attribute {
    /// Always `acceptd`.
    pub const SYSTEM: &str = "messaging.system";
    /// What was done.
    pub const OPERATION_NAME: &str = "messaging.operation.name";
    /// The same in the words of the conventions.
    pub const OPERATION_TYPE: &str = "messaging.operation.type";
    /// The event type.
    pub const DESTINATION: &str = "messaging.destination.name";
    /// The consumer.
    pub const CONSUMER: &str = "messaging.consumer.group.name";
    /// The event's CloudEvents id.
    pub const MESSAGE: &str = "messaging.message.id";
    /// The operation.
    pub const CONVERSATION: &str = "messaging.message.conversation_id";
    /// How many events a batch has.
    pub const BATCH_COUNT: &str = "messaging.batch.message_count";
    /// The delivery.
    pub const DELIVERY: &str = "acceptd.delivery.id";
    /// Which attempt of it.
    pub const ATTEMPT: &str = "acceptd.delivery.attempt";
    /// How the attempt ended.
    pub const OUTCOME: &str = "acceptd.outcome";
    /// What went wrong.
    pub const ERROR: &str = "error.type";
    /// The method of a request.
    pub const METHOD: &str = "http.request.method";
    /// The status that answered it.
    pub const STATUS: &str = "http.response.status_code";
    /// The target's URL, without user, password and query.
    pub const URL: &str = "url.full";
    /// The target's host.
    pub const ADDRESS: &str = "server.address";
    /// The target's port.
    pub const PORT: &str = "server.port";
}

use attribute as a;

/// An attribute and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

const fn says(name: &'static str, meaning: &'static str) -> Attribute {
    Attribute { name, meaning }
}

/// Every attribute.
pub const ATTRIBUTES: [Attribute; 17] = [
    says(a::SYSTEM, "`acceptd`"),
    says(a::OPERATION_NAME, "what was done: `create`, `send`, `process`, `settle`"),
    says(a::OPERATION_TYPE, "the same"),
    says(a::DESTINATION, "the event type"),
    says(a::CONSUMER, "the consumer"),
    says(a::MESSAGE, "the event's id; not on the `send` of an emitted event that was given none"),
    says(a::CONVERSATION, "the operation's id: the event's `correlationid`"),
    says(a::BATCH_COUNT, "how many events the batch has"),
    says(a::DELIVERY, "the delivery's id"),
    says(a::ATTEMPT, "which attempt it was; 1 is the first"),
    says(a::OUTCOME, "how the attempt ended, as in `acceptd_handler_duration_seconds`"),
    says(a::ERROR, "what went wrong: the failure's code, an HTTP status, or `stale-fence` and the like"),
    says(a::METHOD, "`POST`"),
    says(a::STATUS, "the status of the answer"),
    says(a::URL, "the target's URL without user, password and query"),
    says(a::ADDRESS, "the target's host"),
    says(a::PORT, "the target's port"),
];

/// A span that acceptd makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanDefinition {
    /// Its name; `<type>` stands for the event type.
    pub name: &'static str,
    /// When there is one.
    pub when: &'static str,
    /// Its kind.
    pub kind: SpanKind,
    /// What it is a part of.
    pub parent: &'static str,
    /// What it is linked to.
    pub links: &'static str,
    /// The attributes it may have.
    pub attributes: &'static [&'static str],
}

/// Every span.
pub const SPANS: [SpanDefinition; 7] = [
    SpanDefinition {
        name: "send <type>",
        when: "an event was accepted, or emitted",
        kind: SpanKind::Producer,
        parent: "accepted: the request's `traceparent`; emitted: the `process` that emitted it",
        links: "none; it is where the event was created",
        attributes: &[a::SYSTEM, a::OPERATION_NAME, a::OPERATION_TYPE, a::DESTINATION, a::MESSAGE, a::CONVERSATION],
    },
    SpanDefinition {
        name: "send <type>",
        when: "an event that says itself where it was created was accepted, or emitted",
        kind: SpanKind::Client,
        parent: "the request's `traceparent`, or where the event was created; emitted: the `process` that emitted it",
        links: "where the event was created",
        attributes: &[a::SYSTEM, a::OPERATION_NAME, a::OPERATION_TYPE, a::DESTINATION, a::MESSAGE, a::CONVERSATION],
    },
    SpanDefinition {
        name: "create <type>",
        when: "each event of a batch that was accepted",
        kind: SpanKind::Producer,
        parent: "the request's `traceparent`",
        links: "none; it is where the event was created",
        attributes: &[a::SYSTEM, a::OPERATION_NAME, a::OPERATION_TYPE, a::DESTINATION, a::MESSAGE, a::CONVERSATION],
    },
    SpanDefinition {
        name: "send <type>",
        when: "a batch was accepted; the type is that of its first event",
        kind: SpanKind::Client,
        parent: "the request's `traceparent`",
        links: "where each event was created, for the first 128",
        attributes: &[a::SYSTEM, a::OPERATION_NAME, a::OPERATION_TYPE, a::DESTINATION, a::CONVERSATION, a::BATCH_COUNT],
    },
    SpanDefinition {
        name: "process <type>",
        when: "an attempt ended, also one that was lost with its node",
        kind: SpanKind::Consumer,
        parent: "where the event was created",
        links: "where the event was created",
        attributes: &[
            a::SYSTEM,
            a::OPERATION_NAME,
            a::OPERATION_TYPE,
            a::DESTINATION,
            a::CONSUMER,
            a::MESSAGE,
            a::CONVERSATION,
            a::DELIVERY,
            a::ATTEMPT,
            a::OUTCOME,
            a::ERROR,
        ],
    },
    SpanDefinition {
        name: "POST",
        when: "an event was posted to an HTTP consumer; the request's `traceparent` is this span",
        kind: SpanKind::Client,
        parent: "the attempt's `process`",
        links: "none",
        attributes: &[a::METHOD, a::STATUS, a::URL, a::ADDRESS, a::PORT, a::ERROR],
    },
    SpanDefinition {
        name: "settle <type>",
        when: "the end of an attempt was stored, or refused",
        kind: SpanKind::Client,
        parent: "the attempt's `process`",
        links: "none",
        attributes: &[
            a::SYSTEM,
            a::OPERATION_NAME,
            a::OPERATION_TYPE,
            a::DESTINATION,
            a::CONSUMER,
            a::MESSAGE,
            a::CONVERSATION,
            a::ERROR,
        ],
    },
];
