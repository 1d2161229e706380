//! What an operator may set of the HTTP API, and what every request shares.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use acceptd::Engine;
use tokio::sync::Semaphore;

/// Renders the metrics page.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What an operator may set; the defaults fit a server on loopback.
#[derive(Clone)]
pub struct HttpSettings {
    /// The address that clients reach the API at, such as `https://ops.example.com/acceptd`. Without one, absolute
    /// addresses are made of each request's `Host`.
    pub public_url: Option<String>,
    /// The path that the router is nested at, such as `/acceptd`; only needed without a `public_url`.
    pub mounted_at: String,
    /// Believe `X-Forwarded-Proto` and `X-Forwarded-Host`: only behind a proxy that sets them.
    pub trust_forwarded: bool,
    /// Origins, such as `https://ops.example.com`, whose pages may change something here besides the API's own.
    pub allowed_origins: Vec<String>,
    /// The largest body of a request.
    pub body_max: usize,
    /// The largest body of a batch of events.
    pub batch_body_max: usize,
    /// The most events in a batch.
    pub batch_events_max: usize,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// The longest that `Prefer: wait=N` waits.
    pub wait_max: Duration,
    /// Streams that may be open at once.
    pub streams_max: usize,
    /// How often a silent stream shows that it lives.
    pub heartbeat: Duration,
    /// Renders `/metrics`; without one the page does not exist.
    pub metrics: Option<RenderMetrics>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            public_url: None,
            mounted_at: String::new(),
            trust_forwarded: false,
            allowed_origins: Vec::new(),
            body_max: 1 << 20,
            batch_body_max: 16 << 20,
            batch_events_max: 10_000,
            body_timeout: Duration::from_secs(30),
            wait_max: Duration::from_secs(60),
            streams_max: 1_000,
            heartbeat: Duration::from_secs(15),
            metrics: None,
        }
    }
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("public_url", &self.public_url)
            .field("mounted_at", &self.mounted_at)
            .field("trust_forwarded", &self.trust_forwarded)
            .field("body_max", &self.body_max)
            .field("batch_body_max", &self.batch_body_max)
            .field("batch_events_max", &self.batch_events_max)
            .field("streams_max", &self.streams_max)
            .finish_non_exhaustive()
    }
}

/// What every request shares.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) settings: HttpSettings,
    /// The public address without a slash at its end.
    pub(crate) public_url: Option<String>,
    /// The path before `/v1`, without a slash at its end.
    pub(crate) prefix: String,
    /// One permit for each open stream.
    pub(crate) streams: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(engine: Engine, settings: HttpSettings) -> Self {
        let public_url = settings.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
        let prefix = match &public_url {
            Some(url) => {
                let after_scheme = url.find("://").map_or(0, |at| at + 3);
                url[after_scheme..].find('/').map_or("", |at| &url[after_scheme + at..])
            }
            None => settings.mounted_at.trim_end_matches('/'),
        };
        let streams = Arc::new(Semaphore::new(settings.streams_max.min(Semaphore::MAX_PERMITS)));
        Self { prefix: prefix.to_owned(), engine, public_url, streams, settings }
    }
}
