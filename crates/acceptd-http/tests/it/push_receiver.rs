//! An HTTP endpoint on a free port that answers as a test says and keeps what it was asked.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use acceptd::store::memory::MemoryStore;
use acceptd::{Acceptd, Consumer, Data, Draft, Engine, Failure, OperationId, Status, Submission};
use acceptd_http::signature::Secret;
use acceptd_http::target::{Push, PushClient};
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::net::TcpListener;

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) peer: SocketAddr,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Answer = Box<dyn Fn(usize, Seen) -> BoxFuture<'static, Response> + Send + Sync>;

struct Inner {
    answer: Answer,
    seen: Mutex<Vec<Seen>>,
    dropped: Mutex<usize>,
}

/// The endpoint.
#[derive(Clone)]
pub(crate) struct Receiver {
    inner: Arc<Inner>,
    pub(crate) url: String,
}

/// Notices when a connection closes before its request was answered.
struct Unanswered(Arc<Inner>, bool);

impl Drop for Unanswered {
    fn drop(&mut self) {
        *self.0.dropped.lock().unwrap() += usize::from(self.1);
    }
}

impl Receiver {
    /// Answers each request with what `answer` makes of its number, from 0, and itself.
    pub(crate) async fn start<R>(answer: impl Fn(usize, Seen) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Response> + Send + 'static,
    {
        let answer: Answer = Box::new(move |number, seen| Box::pin(answer(number, seen)));
        let inner = Arc::new(Inner { answer, seen: Mutex::default(), dropped: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/take?token=1", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(take).with_state(Arc::clone(&inner));
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { inner, url }
    }

    /// Answers every request alike.
    pub(crate) async fn always(status: u16, headers: &'static [(&str, &str)], body: &'static str) -> Self {
        Self::start(move |_, _| async move { answer(status, headers, body) }).await
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.inner.seen.lock().unwrap()
    }

    /// How many connections closed before their request was answered.
    pub(crate) fn dropped(&self) -> usize {
        *self.inner.dropped.lock().unwrap()
    }

    /// A target at this endpoint.
    pub(crate) fn push(&self) -> Push {
        Push::new(PushClient::new().unwrap(), &self.url, None).unwrap()
    }

    /// The same with signatures.
    pub(crate) fn signed(&self, secret: &str) -> Push {
        Push::new(PushClient::new().unwrap(), &self.url, Some(Secret::parse(secret).unwrap())).unwrap()
    }
}

async fn take(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let line = format!("{} {}", parts.method, parts.uri);
    let seen = Seen { line, headers: parts.headers, body, peer };
    let number = {
        let mut all = inner.seen.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    let mut unanswered = Unanswered(Arc::clone(&inner), true);
    let response = (inner.answer)(number, seen).await;
    unanswered.1 = false;
    response
}

/// A response.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// A consumer of `test.push` named `push`.
pub(crate) fn consumer(push: Push) -> Consumer {
    Consumer::to("push", ["test.push"], Arc::new(push))
}

/// An engine on a store in memory with these consumers.
pub(crate) async fn engine(consumers: impl IntoIterator<Item = Consumer>) -> Engine {
    let acceptd = Acceptd::new(Arc::new(MemoryStore::default()));
    consumers.into_iter().fold(acceptd, Acceptd::consumer).start().await.unwrap()
}

/// An event of the type that the consumer takes.
pub(crate) fn event() -> Draft {
    Draft::new("test.push").data(Data::new(acceptd::JSON, "{\"n\":1}"))
}

/// Accepts an event.
pub(crate) async fn accept(engine: &Engine, draft: Draft) -> OperationId {
    let submission = Submission { events: vec![draft], ..Submission::default() };
    engine.accept(submission).await.unwrap().operation.id
}

/// Waits for an operation's end.
pub(crate) async fn end(engine: &Engine, id: OperationId) -> (Status, Option<Failure>) {
    let monitor = engine.wait_for_end(id, PATIENCE).await.unwrap();
    assert!(monitor.status.is_done(), "it did not end: {monitor:?}");
    (monitor.status, monitor.failure)
}

/// Accepts an event and waits for its end.
pub(crate) async fn run(engine: &Engine) -> (Status, Option<Failure>) {
    let id = accept(engine, event()).await;
    end(engine, id).await
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "this did not come: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
