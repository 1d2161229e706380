//! Push: a delivery as a `POST` to an HTTP endpoint in any language.
//!
//! The event goes out in CloudEvents binary mode, with acceptd's own headers and, when there is a secret, with a
//! signature. The answer becomes the attempt's end in [`answer`]. There is no timeout here: the engine drops the
//! attempt when it is out of time or canceled, and that closes the connection.

use std::time::Duration;

use acceptd::consumer::Context;
use acceptd::target::{Reply, Replying, Target, TargetDescription};
use acceptd::{Clock as _, Error, Fail, Result, SystemClock, TraceContext};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap};
use http::{HeaderValue, Method};
use reqwest::{Body, Client, Request, Url};

use crate::outgoing::{delivery_headers, signature_headers};
use crate::signature::Secret;
use crate::target::answer::{self, Terms};
use crate::target::client::PushClient;
use crate::target::leaving::Leaving;
use crate::target::request_span::{Address, RequestSpan};

/// How many headers a request has at most, apart from extensions.
const HEADERS: usize = 28;
/// What a request may take on its way: so much less than what is left of its attempt a target is promised.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// How long a target that answered 202 may be silent, when nobody says otherwise.
const LEASE: Duration = Duration::from_secs(30);

/// Delivers to an HTTP endpoint.
#[derive(Debug)]
pub struct Push {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
    secret: Option<Secret>,
    terms: Terms,
    address: Address,
}

impl Push {
    /// A target at this URL; requests are signed when there is a secret. A user and password in the URL go out as
    /// basic authentication.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that can't be used.
    pub fn new(client: PushClient, url: &str, secret: Option<Secret>) -> Result<Self> {
        let url = Url::parse(url).map_err(|error| Error::invalid(format!("{url:?} is not a URL: {error}")))?;
        let terms = Terms { lease: LEASE, body_max: client.largest_body() };
        let client = client.for_scheme(url.scheme())?.clone();
        // Moves user and password from the URL to a header.
        let mut request = client
            .post(url)
            .build()
            .map_err(|error| Error::invalid(format!("the URL can't be used: {}", answer::deepest(&error))))?;
        let authorization = request.headers_mut().remove(AUTHORIZATION);
        let address = Address::of(request.url());
        Ok(Self { client, url: request.url().clone(), authorization, secret, terms, address })
    }

    /// How long the endpoint may be silent after a 202 that names no `Acceptd-Lease`; 30 s where nothing is said.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.lease = lease;
        self
    }

    fn request(&self, context: &Context, trace: &TraceContext) -> Result<Request> {
        let body = context.event().draft.data.as_ref().map_or_else(Bytes::new, |data| data.bytes.clone());
        let mut headers = HeaderMap::with_capacity(HEADERS);
        let left = context.left();
        let promised = left - (left / 10).min(ON_THE_WAY);
        delivery_headers(context, (promised, trace), &mut headers)?;
        if let Some(secret) = &self.secret {
            signature_headers(secret, context.delivery(), &body, SystemClock.now(), &mut headers)?;
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if body.is_empty() {
            // The client would leave it out, and some servers refuse a POST without it.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(Body::wrap(Leaving::new(body, context.clone(), promised)));
        Ok(request)
    }

    async fn send(&self, context: Context) -> Reply {
        let span = RequestSpan::begin(&context, &self.address);
        let request = match self.request(&context, span.trace()) {
            Ok(request) => request,
            Err(error) => {
                span.failed("bad-event");
                return Reply::Ended(Err(Fail::terminal("bad-event", error)));
            }
        };
        match self.client.execute(request).await {
            Ok(response) => {
                let status = response.status();
                let reply = answer::reply(response, &self.terms, context.now()).await;
                span.answered(status);
                reply
            }
            Err(error) => {
                let fail = answer::unanswered(&error);
                span.failed(&fail.failure.code);
                Reply::Ended(Err(fail))
            }
        }
    }
}

impl Target for Push {
    fn deliver(&self, context: Context) -> Replying<'_> {
        Box::pin(self.send(context))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn describe(&self) -> TargetDescription {
        TargetDescription { kind: "http", address: self.url.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_the_url_are_a_header_and_not_shown() {
        let client = PushClient::new().unwrap();
        let push = Push::new(client, "http://user:p%40ss@127.0.0.1:9/x?y=1", None).unwrap();
        assert_eq!(push.describe().address, "http://127.0.0.1:9/x?y=1");
        assert_eq!(push.authorization.as_ref().unwrap(), "Basic dXNlcjpwQHNz");
        assert!(!format!("{push:?}").contains("dXNl"), "{push:?}");
    }

    #[test]
    fn urls_are_checked() {
        let client = PushClient::new().unwrap();
        for bad in ["", "example.org", "/path", "ftp://example.org/", "http://", "mailto:a@b"] {
            assert!(Push::new(client.clone(), bad, None).is_err(), "{bad}");
        }
    }
}
