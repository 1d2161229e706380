//! An engine on the store in memory behind the router, called without a socket.

use std::sync::Arc;
use std::time::Duration;

use acceptd::EventDeclaration;
use acceptd::consumer::Context;
use acceptd::limit::Limit;
use acceptd::store::memory::MemoryStore;
use acceptd::target::{Reply as TargetReply, Replying, Target, TargetDescription};
use acceptd::{Acceptd, Consumer, Done, Engine, Fail, Failure, Next, RetryPolicy, Settings};
use acceptd_http::{HttpSettings, router};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// What the consumers of the tests do, by the event's type.
struct Scripted {
    gate: Arc<Semaphore>,
}

impl Target for Scripted {
    fn deliver(&self, context: Context) -> Replying<'_> {
        Box::pin(async move {
            let draft = &context.event().draft;
            let data = draft.data.clone();
            let done = |result| TargetReply::Ended(Ok(Done { result, ..Done::default() }));
            let fail = |failure, next| TargetReply::Ended(Err(Fail { failure, next, unfinished: false }));
            match draft.kind.as_ref() {
                "test.echo" | "test.echo2" | "paced.work" => done(data),
                "test.nothing" => done(None),
                "test.gated" | "limited.work" => {
                    let Ok(permit) = self.gate.acquire().await else { return done(None) };
                    permit.forget();
                    done(data)
                }
                "test.fail" => fail(Failure::new("broken", "the part is broken"), Next::GiveUp),
                "test.teapot" => {
                    fail(Failure { status: Some(418), ..Failure::new("teapot", "it is a teapot") }, Next::GiveUp)
                }
                "test.over" => TargetReply::TakenOver(Duration::from_secs(60)),
                _ => TargetReply::Ended(Fail::retry("what", "no script").into_err()),
            }
        })
    }

    fn describe(&self) -> TargetDescription {
        TargetDescription { kind: "function", address: "scripted".to_owned() }
    }
}

trait IntoErr {
    fn into_err(self) -> acceptd::Outcome;
}

impl IntoErr for Fail {
    fn into_err(self) -> acceptd::Outcome {
        Err(self)
    }
}

/// An event type with schemas of two versions.
fn checked() -> EventDeclaration {
    let schema = |cents: &str| {
        json!({"type": "object", "required": ["cents"],
            "properties": {"cents": {"type": cents}, "note": {"type": "string", "maxLength": 5}}})
    };
    EventDeclaration {
        version: 2,
        schema: Some(schema("integer")),
        older: [(1, schema("string"))].into(),
        ..EventDeclaration::default()
    }
}

/// The API under test.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) engine: Engine,
    pub(crate) router: Router,
    /// One permit lets one `test.gated` event end.
    pub(crate) gate: Arc<Semaphore>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The id of the operation in the body.
    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("no id in {:?}", self.body)).to_owned()
    }

    /// Checks that this is a problem of this kind.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, slug: &str) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert!(problem["type"].as_str().unwrap().ends_with(&format!("/problems/{slug}")), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(!problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(self.headers.contains_key("retry-after"), status == 503, "503s and only they say when to come back");
        self
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::with(HttpSettings::default(), Settings::default()).await
    }

    pub(crate) async fn with(http: HttpSettings, settings: Settings) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let target = Arc::new(Scripted { gate: Arc::clone(&gate) });
        let policy = RetryPolicy { base: Duration::from_millis(1), max_attempts: 2, ..RetryPolicy::default() };
        let scripted = Consumer::to("scripted", ["test.*"], target.clone()).retry_policy(policy).emits(["next.step"]);
        let engine = Acceptd::new(Arc::new(MemoryStore::default()))
            .settings(settings)
            .consumer(scripted)
            .consumer(Consumer::to("other", ["test.echo2", "test.echo"], target.clone()))
            .limit(Limit::new("cloud-api").concurrency(1).key("/region").unwrap())
            .limit(Limit::new("slow").rate("1/h").unwrap())
            .consumer(Consumer::to("limited", ["limited.work"], target.clone()).limit("cloud-api"))
            .consumer(Consumer::to("paced", ["paced.work"], target).limit("slow"))
            .consumer(Consumer::inbox("inbox", "alarm.create"))
            .event("checked.data", checked())
            .event("lonely.event", EventDeclaration::default())
            .event("test.whole", EventDeclaration { batch: false, ..EventDeclaration::default() })
            .start()
            .await
            .unwrap();
        Self { router: router(engine.clone(), http), engine, gate }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> http::Response<Body> {
        let service = TowerToHyperService::new(self.router.clone());
        service.call(request).await.unwrap()
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", "api.test:8202");
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let response = self.send(request.body(body.into()).unwrap()).await;
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(LONG, body.collect()).await.unwrap().unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[], Body::empty()).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.call(Method::GET, path, headers, Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        self.call(Method::POST, path, headers, body).await
    }

    /// Posts JSON as an event.
    pub(crate) async fn event(&self, kind: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.post(&format!("/v1/events/{kind}"), &all, body.to_owned()).await
    }

    /// Changes something in part.
    pub(crate) async fn patch(&self, path: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/json"), ("acceptd-owner", "ops")];
        self.call(Method::PATCH, path, &headers, body.to_owned()).await
    }

    /// Posts an event and waits for its end; the id.
    pub(crate) async fn ended(&self, kind: &str, body: &str) -> String {
        let reply = self.event(kind, &[("prefer", "wait=20")], body).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        reply.id()
    }

    /// Asks again and again until the answer fits.
    pub(crate) async fn until(&self, path: &str, fits: impl Fn(&Reply) -> bool) -> Reply {
        let asking = async {
            loop {
                let reply = self.get(path).await;
                if fits(&reply) {
                    return reply;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, asking).await.unwrap_or_else(|_| panic!("{path} never fitted"))
    }
}
