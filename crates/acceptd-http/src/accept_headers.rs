//! The headers that say how an event is to be accepted, read in one pass.

use std::time::Duration;

use acceptd::{Engine, Submission, Timestamp, TraceContext};
use http::header::{HeaderMap, HeaderValue};

use crate::idempotency;
use crate::problem::{INVALID_HEADER, Problem};

/// How far ahead an operation may be scheduled: about 10 years.
const AHEAD_MAX: Duration = Duration::from_secs(3_653 * 24 * 3600);

/// The headers as they came.
#[derive(Default)]
pub(crate) struct AcceptHeaders<'a> {
    pub(crate) content_type: Option<&'a HeaderValue>,
    pub(crate) content_encoding: Option<&'a HeaderValue>,
    pub(crate) has_event: bool,
    pub(crate) has_prefer: bool,
    idempotency_key: Option<&'a HeaderValue>,
    owner: Option<&'a HeaderValue>,
    delay: Option<&'a HeaderValue>,
    at: Option<&'a HeaderValue>,
    priority: Option<&'a HeaderValue>,
    traceparent: Option<&'a HeaderValue>,
    tracestate: Vec<&'a HeaderValue>,
}

impl<'a> AcceptHeaders<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let mut found = Self::default();
        for (name, value) in headers {
            let place = match name.as_str() {
                "content-type" => &mut found.content_type,
                "content-encoding" => &mut found.content_encoding,
                "idempotency-key" => &mut found.idempotency_key,
                "acceptd-owner" => &mut found.owner,
                "acceptd-delay" => &mut found.delay,
                "acceptd-at" => &mut found.at,
                "acceptd-priority" => &mut found.priority,
                "traceparent" => &mut found.traceparent,
                "tracestate" => {
                    found.tracestate.push(value);
                    continue;
                }
                "prefer" => {
                    found.has_prefer = true;
                    continue;
                }
                other => {
                    found.has_event |= other.starts_with("ce-");
                    continue;
                }
            };
            if place.replace(value).is_some() {
                return Err(INVALID_HEADER.because(format!("the header {name} is given twice")));
            }
        }
        Ok(found)
    }

    /// A submission without events that these headers ask for. `fingerprint` is only taken when there is a key.
    pub(crate) fn submission(
        &self,
        engine: &Engine,
        fingerprint: impl FnOnce() -> [u8; 32],
    ) -> Result<Submission, Problem> {
        let owner = self.owner.map(|value| text("Acceptd-Owner", value)).transpose()?.map(str::to_owned);
        let idempotency = self.idempotency_key()?.map(|key| {
            // An owner is never empty, so that callers without one have a scope of their own.
            (owner.clone().unwrap_or_default(), key, fingerprint())
        });
        Ok(Submission {
            events: Vec::with_capacity(1),
            owner,
            due: self.due(engine)?,
            priority: self.priority()?,
            idempotency,
            trace: self.trace(),
        })
    }

    /// The caller's idempotency key.
    pub(crate) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let key = self.idempotency_key.map(|value| idempotency::parse_key(text("Idempotency-Key", value)?));
        key.transpose()
    }

    fn due(&self, engine: &Engine) -> Result<Option<Timestamp>, Problem> {
        let wrong = |name: &str, detail: &str| INVALID_HEADER.because(format!("{name}: {detail}"));
        match (self.delay, self.at) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(INVALID_HEADER.because("Acceptd-Delay and Acceptd-At exclude each other")),
            (Some(delay), None) => {
                let delay = acceptd::duration::parse_duration(text("Acceptd-Delay", delay)?)
                    .map_err(|error| wrong("Acceptd-Delay", error.message()))?;
                if delay > AHEAD_MAX {
                    return Err(wrong("Acceptd-Delay", "it is longer than 10 years"));
                }
                Ok(Some(engine.now() + delay))
            }
            (None, Some(at)) => {
                let at: Timestamp = text("Acceptd-At", at)?
                    .parse()
                    .map_err(|error: acceptd::Error| wrong("Acceptd-At", error.message()))?;
                if at > engine.now() + AHEAD_MAX {
                    return Err(wrong("Acceptd-At", "it is more than 10 years from now"));
                }
                Ok(Some(at))
            }
        }
    }

    fn priority(&self) -> Result<i8, Problem> {
        let Some(value) = self.priority else { return Ok(0) };
        let number = text("Acceptd-Priority", value)?.trim().parse().ok();
        number
            .filter(|number| (-100..=100).contains(number))
            .ok_or_else(|| INVALID_HEADER.because("Acceptd-Priority must be a whole number from -100 to 100"))
    }

    /// The trace that the request belongs to. One that is not valid counts as none, as W3C Trace Context asks.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        let parent = self.traceparent?.to_str().ok()?;
        // Several headers are one that was cut at its commas.
        let state: Result<Vec<_>, _> = self.tracestate.iter().map(|value| value.to_str()).collect();
        TraceContext::parse(parent, state.ok().map(|parts| parts.join(",")).as_deref())
    }
}

fn text<'a>(name: &str, value: &'a HeaderValue) -> Result<&'a str, Problem> {
    let text = std::str::from_utf8(value.as_bytes());
    text.map_err(|_| INVALID_HEADER.because(format!("the header {name} is not UTF-8")))
}
