//! Events: a fact or a request with a type and data, by the attributes of CloudEvents 1.0.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limit::Lane;
use crate::{Data, Error, EventKey, OperationId, Result, Timestamp};

pub use serde_json::Value as JsonValue;

/// A Rust type that is the data of one event type. Derive it: its doc comment and its JSON Schema come along.
///
/// ```
/// use acceptd::Event;
/// use acceptd::schemars::{self, JsonSchema};
/// use serde::{Deserialize, Serialize};
///
/// /// Someone asked for a machine.
/// #[derive(Event, Serialize, Deserialize, JsonSchema)]
/// #[event("ec2.start", version = 2, key = region)]
/// struct StartEc2 { ami: String, region: String }
///
/// assert_eq!(StartEc2::TYPE, "ec2.start");
/// assert_eq!(StartEc2::VERSION, 2);
/// assert_eq!(StartEc2::DESCRIPTION, Some("Someone asked for a machine."));
/// assert_eq!(StartEc2::KEY, Some("/region"));
/// assert_eq!(StartEc2::schema().unwrap()["required"][0], "ami");
/// ```
///
/// `version` is 1 and there is no `key` unless it is said; `no_schema` leaves the schema out. By hand only
/// [`Event::TYPE`] is needed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event",
    label = "not an event",
    note = "derive it: `#[derive(Event, Serialize, Deserialize, JsonSchema)]` and `#[event(\"some.type\")]`"
)]
pub trait Event: Serialize + DeserializeOwned + Send + 'static {
    /// The event type, such as `ec2.start`.
    const TYPE: &'static str;
    /// The version of its data.
    const VERSION: u32 = 1;
    /// What it means, for the catalog.
    const DESCRIPTION: Option<&'static str> = None;
    /// JSON Pointer to the value in the data that [`Event::key`] gives.
    const KEY: Option<&'static str> = None;

    /// The JSON Schema of its data.
    fn schema() -> Option<JsonValue> {
        None
    }

    /// The CloudEvents `partitionkey`: events with the same one belong together.
    fn key(&self) -> Option<String> {
        None
    }
}

/// A type with a JSON Schema: one that derives `JsonSchema`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no JSON Schema",
    note = "derive `JsonSchema` of `schemars` for it, or write `no_schema` into its `#[event(..)]`"
)]
pub trait HasSchema {
    /// Its schema, by JSON Schema 2020-12.
    fn schema() -> JsonValue;
}

impl<T: schemars::JsonSchema> HasSchema for T {
    fn schema() -> JsonValue {
        schemars::schema_for!(T).to_value()
    }
}

/// The JSON Schema of a type, for what the derive writes.
pub fn schema_of<T: HasSchema>() -> JsonValue {
    T::schema()
}

/// A value as the text of a key: text as it is, anything else as JSON.
///
/// ```
/// assert_eq!(acceptd::event::key_text(&"eu"), Some("eu".to_owned()));
/// assert_eq!(acceptd::event::key_text(&7), Some("7".to_owned()));
/// ```
pub fn key_text(value: &impl Serialize) -> Option<String> {
    match serde_json::to_value(value).ok()? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// What a producer says of an event; acceptd adds where it stands in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The CloudEvents `type`.
    pub kind: Cow<'static, str>,
    /// The CloudEvents `source`: a URI reference that names the producer.
    pub source: Cow<'static, str>,
    /// The producer's own `id`; unique with `source` within the retention. Without one the event's key is its id.
    pub id: Option<String>,
    /// What in the source the event is about.
    pub subject: Option<String>,
    /// When it happened; the time of accepting when the producer did not say.
    pub time: Option<Timestamp>,
    /// Where the data's schema stands.
    pub dataschema: Option<String>,
    /// The payload.
    pub data: Option<Data>,
    /// CloudEvents extensions: lower-case names and their text.
    pub extensions: BTreeMap<String, String>,
}

impl Draft {
    /// An event of this type with nothing else said.
    pub fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: kind.into(),
            source: Cow::Borrowed("/acceptd"),
            id: None,
            subject: None,
            time: None,
            dataschema: None,
            data: None,
            extensions: BTreeMap::new(),
        }
    }

    /// The same with this payload.
    #[must_use]
    pub fn data(mut self, data: Data) -> Self {
        self.data = Some(data);
        self
    }

    /// An event from a Rust value.
    ///
    /// # Errors
    /// When the value can't be written as JSON.
    pub fn of<E: Event>(event: &E) -> Result<Self> {
        let mut draft = Self::new(E::TYPE).data(Data::json(event)?);
        if let Some(key) = event.key() {
            draft.extensions.insert("partitionkey".to_owned(), key);
        }
        Ok(draft)
    }

    /// Checks what CloudEvents asks of the attributes.
    ///
    /// # Errors
    /// `InvalidArgument` that names the attribute.
    pub fn check(&self) -> Result<()> {
        check_type(&self.kind)?;
        if self.source.is_empty() || self.source.len() > 2_048 {
            return Err(Error::invalid("the event's source must be a URI reference of 1 to 2,048 characters"));
        }
        if self.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 255) {
            return Err(Error::invalid("the event's id must have 1 to 255 characters"));
        }
        if let Some(name) = self.extensions.keys().find(|name| !is_attribute_name(name)) {
            return Err(Error::invalid(format!(
                "{name:?} is not a CloudEvents attribute name: 1 to 40 lower-case letters and digits"
            )));
        }
        Ok(())
    }
}

/// Checks an event type: 1 to 255 printable characters without spaces.
///
/// # Errors
/// `InvalidArgument`.
pub fn check_type(kind: &str) -> Result<()> {
    let fits = !kind.is_empty() && kind.len() <= 255 && kind.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!("{kind:?} is not an event type: 1 to 255 characters without spaces")))
}

fn is_attribute_name(name: &str) -> bool {
    (1..=40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// An event in the store: a draft with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// acceptd's own key.
    pub key: EventKey,
    /// The operation it belongs to: CloudEvents `correlationid`.
    pub operation: OperationId,
    /// The id of the event before: CloudEvents `causationid`. None for a root event.
    pub cause: Option<String>,
    /// How many events stand before it in the chain; 0 for a root event.
    pub depth: u32,
    /// When it was accepted or emitted.
    pub accepted: Timestamp,
    /// What the producer said.
    pub draft: Draft,
}

impl StoredEvent {
    /// The CloudEvents `id`.
    pub fn id(&self) -> Cow<'_, str> {
        match &self.draft.id {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(self.key.to_string()),
        }
    }
}

impl StoredEvent {
    /// The same without its data and extensions.
    #[must_use]
    pub fn head(&self) -> Self {
        let draft = Draft { data: None, extensions: BTreeMap::new(), ..self.draft.clone() };
        Self { draft, ..self.clone() }
    }
}

/// An event on its way into the store, with the consumers that will get it.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What the producer says.
    pub draft: Draft,
    /// Who gets it: one delivery each.
    pub routes: Vec<Route>,
}

impl NewEvent {
    /// What it adds to the backlog: its deliveries, or itself while no consumer takes it.
    pub fn backlog(&self) -> usize {
        self.routes.len().max(1)
    }
}

/// One consumer that gets an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The consumer's name.
    pub consumer: String,
    /// What kind of target it has, as far as an operation's end depends on it.
    pub weight: Weight,
    /// Where its deliveries of this event wait.
    pub lane: Lane,
}

impl Route {
    /// A consumer without limits, which decides the operation's state.
    pub fn to(consumer: impl Into<String>) -> Self {
        Self { consumer: consumer.into(), weight: Weight::Tracked, lane: Lane::default() }
    }
}

/// How a delivery counts for the end of its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// It decides the operation's state.
    Tracked,
    /// It decides the state only when nothing tracked exists: brokers, webhooks, email.
    Untracked,
    /// Untracked, and a message to the owner: takes the place of the automatic notification.
    Inbox,
}

/// Whether a consumer's `on` pattern takes an event type: exact, `prefix.*`, or `*`.
pub fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix) && kind.len() > prefix.len(),
        None => pattern == kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("ec2.*", "ec2.start") && matches("*", "a") && matches("a", "a"));
        assert!(!matches("ec2.*", "ec2.") && !matches("ec2.*", "ec3.start") && !matches("a", "ab"));
    }

    #[test]
    fn attributes_are_checked() {
        let mut draft = Draft::new("ec2.start");
        draft.check().unwrap();
        draft.extensions.insert("Bad-Name".into(), "1".into());
        assert!(draft.check().unwrap_err().message().contains("Bad-Name"));
        assert!(Draft::new("has space").check().is_err() && Draft::new("").check().is_err());
    }
}
