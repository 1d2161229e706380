//! A client of the HTTP API, with errors that say what to do.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use crate::exit::{Exit, Failure, Result};

/// How long a call may take beyond what it was asked to wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server's API.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: Url,
    http: reqwest::Client,
}

/// An answer: its status, headers and document.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) document: Value,
}

impl Client {
    /// A client of the server at this URL.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let wrong = || Failure::new(Exit::Usage, format!("{url:?} is not an http or https URL (--url, ACCEPTD_URL)"));
        let mut base = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong());
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("acceptd/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5));
        Ok(Self { base, http: http.build().map_err(Failure::error)? })
    }

    /// A URL of the API from its path segments, each escaped.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Reads a document.
    pub(crate) async fn get(&self, segments: &[&str]) -> Result<Value> {
        self.read(self.url(segments)).await
    }

    /// Reads the document at a URL of the API.
    pub(crate) async fn read(&self, url: Url) -> Result<Value> {
        Ok(self.send(self.request(Method::GET, url).timeout(PATIENCE)).await?.document)
    }

    /// Calls something that changes something.
    pub(crate) async fn post(&self, segments: &[&str]) -> Result<Value> {
        Ok(self.send(self.request(Method::POST, self.url(segments)).timeout(PATIENCE)).await?.document)
    }

    /// Calls something that changes something in the name of who runs this: whoever asks why is told who did it.
    /// A body that is null is left out.
    pub(crate) async fn act(&self, method: Method, segments: &[&str], body: &Value) -> Result<Value> {
        let mut request = self.request(method, self.url(segments)).timeout(PATIENCE);
        if !body.is_null() {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        if let Some(caller) = caller(|name| std::env::var(name).ok()) {
            request = request.header("acceptd-owner", caller);
        }
        Ok(self.send(request).await?.document)
    }

    /// Reads the items of a list, page by page, at most `limit`.
    pub(crate) async fn list(&self, segments: &[&str], query: &[(&str, &str)], limit: usize) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut url = self.url(segments);
            let page = (limit - items.len()).min(100).to_string();
            let last = token.iter().map(|token| ("pageToken", token.as_str()));
            let pairs = query.iter().copied().chain([("pageSize", page.as_str())]).chain(last);
            url.query_pairs_mut().extend_pairs(pairs);
            let page = self.send(self.request(Method::GET, url).timeout(PATIENCE)).await?.document;
            items.extend(page["items"].as_array().into_iter().flatten().cloned());
            items.truncate(limit);
            token = page["nextPageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() || items.len() >= limit {
                return Ok(items);
            }
        }
    }

    /// A request to fill in. It has no time limit yet.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).header(ACCEPT, "application/json, application/problem+json")
    }

    /// Sends a request and reads the document that answers it.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let answer = self.open(request).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        let document = serde_json::from_slice(&bytes).map_err(|_| {
            Failure::error(format!("{} answered with something that is not JSON: is this acceptd?", self.base))
        })?;
        Ok(Answer { status, headers, document })
    }

    /// Sends a request and returns the answer with its body unread. Errors of the API are failures.
    pub(crate) async fn open(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let problem: Option<Value> = answer.bytes().await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Err(Failure::new(exit_of(status), sentence(status, problem.as_ref().unwrap_or(&Value::Null))))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = self.base.as_str().trim_end_matches('/');
        if error.is_connect() {
            return Failure::error(format!(
                "nothing answers at {base}: start it with `acceptd serve` or `acceptd dev`, or name another --url"
            ));
        }
        if error.is_timeout() {
            return Failure::error(format!("{base} did not answer in time"));
        }
        Failure::error(format!("the connection to {base} broke: {}", root_cause(error)))
    }
}

/// Who runs this, if the environment says it in a way that fits into a header.
fn caller(environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| environment(name).filter(|name| !name.is_empty()));
    name.filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn exit_of(status: StatusCode) -> Exit {
    match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => Exit::Usage,
        _ => Exit::Error,
    }
}

/// A problem document in one sentence, with the place of each mistake.
fn sentence(status: StatusCode, problem: &Value) -> String {
    let text = |key: &str| problem[key].as_str().filter(|text| !text.is_empty());
    let mut sentence = match text("detail").or_else(|| text("title")) {
        Some(said) => said.to_owned(),
        None => format!("the server answered {status}"),
    };
    for mistake in problem["errors"].as_array().into_iter().flatten() {
        let (pointer, detail) = (&mistake["pointer"], &mistake["detail"]);
        sentence.push_str(&format!("\n  {}: {}", pointer.as_str().unwrap_or("#"), detail.as_str().unwrap_or("wrong")));
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_named_by_the_environment() {
        let of = |user: Option<&str>, login: Option<&str>| {
            caller(|name| if name == "USER" { user } else { login }.map(str::to_owned))
        };
        assert_eq!(of(Some("ann"), Some("bob")).as_deref(), Some("ann"));
        assert_eq!(of(Some(""), Some("bob")).as_deref(), Some("bob"));
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some("two\nlines"), None), None);
    }
}
