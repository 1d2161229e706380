//! The library's one error: a kind that says what the caller can do, and a sentence that says what happened.

use std::error::Error as StdError;
use std::fmt;

/// What a caller can do about an [`Error`]. Each kind has a section in `docs/errors.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong; correct it.
    InvalidArgument,
    /// The data of an event does not fit what its type or its consumers ask for.
    InvalidData,
    /// There is no such operation, delivery, notification or consumer (any more).
    NotFound,
    /// No consumer and no declaration knows this event type.
    UnknownEventType,
    /// The present state forbids the call.
    Conflict,
    /// The idempotency key was used before with another request.
    KeyReused,
    /// A newer attempt of the delivery exists; nothing was changed.
    StaleFence,
    /// This attempt has been settled before; nothing was changed.
    AlreadySettled,
    /// The delivery was canceled; nothing was changed.
    Canceled,
    /// The backlog is at its cap; ask again later.
    Overloaded,
    /// The disk is full; nothing was stored. Works again when there is space.
    StorageFull,
    /// The store can't be used now.
    Unavailable,
    /// The store's file is held by another process.
    Locked,
    /// The store's file is damaged, or not one of ours.
    Corrupt,
    /// The server is stopping.
    ShuttingDown,
    /// A fault of acceptd itself.
    Internal,
}

/// An error of the library.
pub struct Error {
    kind: ErrorKind,
    message: String,
    places: Vec<Place>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What is wrong at one place of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which of the request's events, from 0.
    pub event: usize,
    /// A JSON Pointer into the event's data; empty is the event itself.
    pub pointer: String,
    /// What is wrong, in one sentence.
    pub message: String,
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind; `message` is one sentence without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), places: Vec::new(), source: None }
    }

    /// The same error, at this place of an event's data.
    #[must_use]
    pub fn at(mut self, pointer: &str) -> Self {
        self.places.push(Place { event: 0, pointer: pointer.to_owned(), message: self.message.clone() });
        self
    }

    /// The same error, about these places of the request.
    #[must_use]
    pub fn with_places(self, places: Vec<Place>) -> Self {
        Self { places, ..self }
    }

    /// The same error with words before its sentence that say what it is about.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        let prefix = |message: &mut String| message.insert_str(0, &format!("{what}: "));
        prefix(&mut self.message);
        self.places.iter_mut().for_each(|place| prefix(&mut place.message));
        self
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The caller's request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// There is no such thing.
    pub fn not_found(what: &str, id: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("there is no {what} {id}"))
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened, in one sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is wrong at which places of the request, as far as places are known.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        use ErrorKind as K;
        matches!(self.kind, K::Overloaded | K::StorageFull | K::Unavailable | K::ShuttingDown)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
