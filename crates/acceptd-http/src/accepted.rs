//! Accepting from an axum handler of one's own: the answer is the same 202 that the front door gives.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use acceptd::engine::Monitor;
use acceptd::{Data, Draft, Engine, Event, OperationId, Submission, Timestamp};
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::accept_headers::AcceptHeaders;
use crate::batch::Shape;
use crate::call::Call;
use crate::front_door;
use crate::idempotency;
use crate::problem::Problem;
use crate::settings::{App, HttpSettings};
use crate::site::Site;

/// The HTTP side of an engine: the API's router, and what handlers of an application need to accept events. It is made
/// to be an application's state, or a part of it. Cheap to clone.
///
/// ```
/// use acceptd::{Done, Event, Outcome, consumer};
/// use acceptd_http::{Accepted, Api, FrontDoor, HttpSettings, Refusal};
/// use axum::{Json, Router, routing::post};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// #[event("ec2.start", no_schema)]
/// struct StartEc2 { ami: String }
///
/// #[consumer]
/// async fn start_ec2(_event: StartEc2) -> Outcome {
///     Done::new()
/// }
///
/// async fn start_machine(front: FrontDoor, Json(body): Json<StartEc2>) -> Result<Accepted<StartEc2>, Refusal> {
///     front.accept(body).owner("user-42").await
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = acceptd::Acceptd::open("memory:").consumer(start_ec2::consumer()).start().await?;
/// let api = Api::new(engine, HttpSettings { mounted_at: "/acceptd".into(), ..HttpSettings::default() });
/// let app: Router = Router::new()
///     .route("/machines", post(start_machine))
///     .nest("/acceptd", api.router())
///     .with_state(api);
/// # drop(app); Ok::<(), acceptd::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Api(pub(crate) Arc<App>);

impl Api {
    /// The HTTP side of this engine. Nested at a path, say so in [`HttpSettings::mounted_at`].
    pub fn new(engine: Engine, settings: HttpSettings) -> Self {
        Self(Arc::new(App::new(engine, settings)))
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The whole API as a router, for an application with whatever state. It brings its own answers for unknown paths
    /// and methods.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        crate::router::routes(&self.0).with_state(())
    }
}

/// Accepts events for the request at hand: an argument of a handler.
///
/// Of the request's headers it takes `Idempotency-Key`, `Prefer` and `traceparent`. It takes neither an owner nor a
/// priority or a delay from them: who the caller is, and what that allows, is for the application to say.
pub struct FrontDoor(Call);

impl<S: Send + Sync> FromRequestParts<S> for FrontDoor
where
    Api: FromRef<S>,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Api(app) = Api::from_ref(state);
        let site = Site::of(Arc::clone(&app), parts);
        Ok(Self(Call::new(app, site, parts.clone(), Body::empty())))
    }
}

impl FrontDoor {
    /// Accepts an event; the operation is stored when this was awaited.
    pub fn accept<E: Event>(self, event: E) -> Accepting<E> {
        let draft = Draft::of(&event);
        Accepting {
            call: self.0,
            draft,
            owner: None,
            due: None,
            delay: None,
            priority: 0,
            key: None,
            event: PhantomData,
        }
    }
}

/// An event that is about to be accepted; `.await` accepts it.
pub struct Accepting<E> {
    call: Call,
    draft: acceptd::Result<Draft>,
    owner: Option<String>,
    due: Option<Timestamp>,
    delay: Option<Duration>,
    priority: i8,
    key: Option<String>,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Accepting<E> {
    /// Who is told how it ends.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The earliest instant it may run.
    #[must_use]
    pub fn at(mut self, due: Timestamp) -> Self {
        self.due = Some(due);
        self
    }

    /// How long it has to wait at least.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// From -100 to 100; higher runs first.
    #[must_use]
    pub fn priority(mut self, priority: i8) -> Self {
        self.priority = priority;
        self
    }

    /// A key of the application's own, in place of the request's `Idempotency-Key`: asking twice accepts once.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    async fn accept(self) -> Result<Accepted<E>, Refusal> {
        let Self { call, draft, owner, due, delay, priority, key, .. } = self;
        let accepted = async {
            let headers = AcceptHeaders::of(&call.parts.headers)?;
            let data = draft.as_ref().ok().and_then(|draft| draft.data.clone());
            let key = key.map_or_else(|| headers.idempotency_key(), |key| Ok(Some(key)))?;
            let scope = owner.clone().unwrap_or_default();
            let fingerprint =
                || idempotency::fingerprint(&call.parts, &data.map(|Data { bytes, .. }| bytes).unwrap_or_default());
            let due = due.or_else(|| Some(call.app.engine.now() + delay?));
            let idempotency = key.map(|key| (scope, key, fingerprint()));
            let trace = headers.trace();
            let submission = Submission { events: Vec::new(), owner, due, priority, idempotency, trace };
            front_door::accept(&call, &headers, vec![draft?], submission, Shape::Data).await
        };
        match accepted.await {
            Ok((monitor, response)) => Ok(Accepted { monitor, response, event: PhantomData }),
            Err(problem) => Err(Refusal::of(problem, &call.site)),
        }
    }
}

impl<E: Event> IntoFuture for Accepting<E> {
    type Output = Result<Accepted<E>, Refusal>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.accept())
    }
}

/// An accepted event, as the answer of a handler: 202 with `Location`, `Operation-Location`, `Content-Location`,
/// `Retry-After` and the monitor, or 200 when the caller preferred to wait and it has ended.
pub struct Accepted<E> {
    monitor: Monitor,
    response: Response,
    event: PhantomData<fn() -> E>,
}

impl<E> Accepted<E> {
    /// The operation's id.
    pub fn operation(&self) -> OperationId {
        self.monitor.operation.id
    }

    /// Where it stands.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }
}

impl<E> IntoResponse for Accepted<E> {
    fn into_response(self) -> Response {
        self.response
    }
}

/// Why an event was not accepted, as the answer of a handler: a problem (RFC 9457) with its status.
#[derive(Debug)]
pub struct Refusal(Box<Response>);

impl Refusal {
    fn of(problem: Problem, site: &Site) -> Self {
        Self(Box::new(problem.respond(site)))
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}
