//! One request on its way through the API: what every handler needs of it, and how its answer leaves.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use acceptd::Error;
use axum::body::Body;
use axum::extract::{Query, Request};
use axum::handler::Handler;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body;
use crate::cloudevents::decode_once;
use crate::problem::{
    CROSS_ORIGIN, HEADERS_TOO_LARGE, INTERNAL_ERROR, INVALID_HEADER, INVALID_REQUEST, MALFORMED_JSON, NOT_FOUND,
    Problem, URI_TOO_LONG,
};
use crate::settings::App;
use crate::site::Site;

/// The most bytes of path and query.
const URI_MAX: usize = 8 << 10;
/// The most bytes of all headers.
const HEADERS_MAX: usize = 32 << 10;

/// What a handler answers.
pub(crate) type Answer = Result<Response, Problem>;

/// One request.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) site: Site,
    pub(crate) parts: Parts,
    /// Behind a lock only so that a call can be shared; nobody ever waits for it.
    body: Mutex<Body>,
}

impl Call {
    pub(crate) fn new(app: Arc<App>, site: Site, parts: Parts, body: Body) -> Self {
        Self { app, site, parts, body: Mutex::new(body) }
    }

    /// A part of the path, decoded: of `/v1/operations/x` number 2 is `x`.
    pub(crate) fn segment(&self, number: usize) -> Result<String, Problem> {
        let part = self.parts.uri.path().split('/').nth(number + 1).unwrap_or_default();
        decode_once(part.as_bytes()).map_err(|_| INVALID_REQUEST.because("the path is not UTF-8"))
    }

    /// The id in the path. One that is not even an id names nothing.
    pub(crate) fn id<T: FromStr<Err = Error>>(&self, what: &str) -> Result<T, Problem> {
        let text = self.segment(2)?;
        text.parse().map_err(|_| NOT_FOUND.because(format!("there is no {what} {text}")))
    }

    /// The text of a header that may be given once.
    pub(crate) fn header(&self, name: &str) -> Result<Option<&str>, Problem> {
        header(&self.parts.headers, name)
    }

    /// The parameters of the query; only those that are known, and each once.
    pub(crate) fn query(&self, known: &[&str]) -> Result<Parameters, Problem> {
        let parsed = Query::<Vec<(String, String)>>::try_from_uri(&self.parts.uri);
        let Query(pairs) = parsed.map_err(|_| INVALID_REQUEST.because("the query can't be read"))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let near = acceptd::engine::nearest(name, known.iter().copied());
                let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                return Err(INVALID_REQUEST.because(format!("there is no parameter {name:?}{hint}")));
            }
            if pairs[..at].iter().any(|(before, _)| before == name) {
                return Err(INVALID_REQUEST.because(format!("the parameter {name} is given twice")));
            }
        }
        Ok(Parameters(pairs))
    }

    /// Takes the body, of at most as many bytes as its beginning allows.
    pub(crate) async fn take_body(&self, max: impl Fn(&[u8]) -> usize) -> Result<Bytes, Problem> {
        let body = std::mem::replace(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner), Body::empty());
        body::read(body, max, self.app.settings.body_timeout).await
    }

    /// Takes the body as a JSON object; without a body, all of it is left at its default.
    pub(crate) async fn take_options<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        let bytes = self.take_body(|_| self.app.settings.body_max).await?;
        if bytes.is_empty() { Ok(T::default()) } else { read_object(&bytes) }
    }
}

/// The text of a header that may be given once.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(INVALID_HEADER.because(format!("the header {name} is given twice")));
    }
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| INVALID_HEADER.because(format!("the header {name} is not UTF-8")))
}

/// Reads a JSON object.
pub(crate) fn read_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    acceptd::check_json(bytes).map_err(|error| MALFORMED_JSON.because(error.message()))?;
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(INVALID_REQUEST.because("the body must be a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| INVALID_REQUEST.because(format!("the body does not fit: {error}")))
}

/// The parameters of a query.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// A parameter; an empty one counts as not given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter, taken out.
    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body)
        .map_err(|error| Problem::from(Error::new(acceptd::ErrorKind::Internal, error.to_string())))?;
    Ok(json_bytes(status, body))
}

/// An answer with a body that is JSON already. It says of itself that nobody else may keep it.
pub(crate) fn json_bytes(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(acceptd::JSON));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// A handler of the API with what all requests share.
#[derive(Clone)]
pub(crate) struct On<F> {
    pub(crate) app: Arc<App>,
    pub(crate) handler: F,
}

impl<F, Answering> Handler<(), ()> for On<F>
where
    F: Fn(Call) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, (): ()) -> Self::Future {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let site = Site::of(Arc::clone(&self.app), &parts);
            let call = Call::new(self.app, site.clone(), parts, body);
            let answer = match check(&call) {
                Ok(()) => AssertUnwindSafe((self.handler)(call)).catch_unwind().await,
                Err(problem) => Ok(Err(problem)),
            };
            match answer {
                Ok(Ok(response)) => response,
                Ok(Err(problem)) => problem.respond(&site),
                Err(_) => {
                    tracing::error!("a request's handler panicked");
                    INTERNAL_ERROR.because(INTERNAL_ERROR.title).respond(&site)
                }
            }
        })
    }
}

/// What every request must keep to.
fn check(call: &Call) -> Result<(), Problem> {
    let Parts { uri, headers, method, .. } = &call.parts;
    let uri_length = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if uri_length > URI_MAX {
        return Err(URI_TOO_LONG.because(format!("path and query have more than {URI_MAX} bytes")));
    }
    let headers_length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers_length > HEADERS_MAX {
        return Err(HEADERS_TOO_LARGE.because(format!("the headers have more than {HEADERS_MAX} bytes")));
    }
    match headers.get(ORIGIN) {
        Some(origin) if *method != Method::GET && *method != Method::HEAD => check_origin(call, origin),
        _ => Ok(()),
    }
}

/// A browser names the page's origin: others than our own can't change anything here.
fn check_origin(call: &Call, origin: &HeaderValue) -> Result<(), Problem> {
    let text = origin.to_str().unwrap_or_default();
    let of_origin = text.split_once("://").map(|(_, host)| host);
    let own = [call.parts.headers.get(HOST), call.site.host()].into_iter().flatten();
    let is_own = own.filter_map(|host| host.to_str().ok()).any(|host| of_origin == Some(host));
    let is_public = call.app.public_url.as_ref().is_some_and(|url| {
        url.strip_prefix(text).is_some_and(|rest| !text.is_empty() && (rest.is_empty() || rest.starts_with('/')))
    });
    if is_own || is_public || call.app.settings.allowed_origins.iter().any(|allowed| allowed == text) {
        return Ok(());
    }
    Err(CROSS_ORIGIN.because(format!("pages of {text:?} may not do this")))
}
