//! Addresses: absolute where clients need them absolute, made of the public address or of the request's `Host`.

use std::fmt;
use std::sync::Arc;

use acceptd::OperationId;
use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use serde::{Serialize, Serializer};

use crate::settings::App;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Where the API is, as one request sees it. Cheap to clone; printed as an address without a slash at its end.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) app: Arc<App>,
    host: Option<HeaderValue>,
    is_https: bool,
}

impl Site {
    pub(crate) fn of(app: Arc<App>, parts: &Parts) -> Self {
        if app.public_url.is_some() {
            return Self { app, host: None, is_https: false };
        }
        let forwarded = |name| first_of(parts.headers.get(name).filter(|_| app.settings.trust_forwarded)?);
        let host = forwarded(FORWARDED_HOST).or_else(|| parts.headers.get(HOST).cloned());
        let is_https = forwarded(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
        Self { host: host.filter(is_host), is_https, app }
    }

    /// Scheme, host and port.
    fn write_origin(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_https { "https://" } else { "http://" })?;
        let host = self.host.as_ref().and_then(|host| host.to_str().ok());
        f.write_str(host.unwrap_or("127.0.0.1:8202"))
    }

    /// The host and port that the request was sent to.
    pub(crate) fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// The address of something of an operation; `part` is empty or begins with a slash.
    pub(crate) fn operation<'a>(&'a self, id: &'a OperationId, part: &'static str) -> Address<'a> {
        Address { site: self, id, part }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.app.public_url {
            Some(url) => f.write_str(url),
            None => {
                self.write_origin(f)?;
                f.write_str(&self.app.prefix)
            }
        }
    }
}

/// An absolute address of an operation or of something of it.
pub(crate) struct Address<'a> {
    site: &'a Site,
    id: &'a OperationId,
    part: &'static str,
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, id, part } = self;
        write!(f, "{site}/v1/operations/{id}{part}")
    }
}

impl Serialize for Address<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn first_of(value: &HeaderValue) -> Option<HeaderValue> {
    let first = value.as_bytes().split(|byte| *byte == b',').next()?.trim_ascii();
    HeaderValue::from_bytes(first).ok().filter(|first| !first.is_empty())
}

/// Whether a `Host` is made of what hosts are made of, so that it can stand in an address.
fn is_host(value: &HeaderValue) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    !value.is_empty() && value.as_bytes().iter().all(fits)
}
