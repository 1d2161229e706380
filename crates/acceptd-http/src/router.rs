//! The table of routes.

use std::sync::Arc;

use acceptd::Engine;
use axum::Router;
use axum::routing::{get, post};

use crate::api::{
    catalog, chain, consumers, dead_letters, deliveries, health, items, limits, notifications, operations, schemas,
};
use crate::call::On;
use crate::front_door;
use crate::settings::{App, HttpSettings};
use crate::stream;

/// The whole API as a router, to serve it by itself. See [`crate::Api`] for one within an axum application.
pub fn router(engine: Engine, settings: HttpSettings) -> Router {
    routes(&Arc::new(App::new(engine, settings)))
}

pub(crate) fn routes(app: &Arc<App>) -> Router {
    macro_rules! on {
        ($handler:expr) => {
            On { app: Arc::clone(app), handler: $handler }
        };
    }
    Router::new()
        .route("/v1/events/{type}", post(on!(front_door::plain)))
        .route("/v1/events", post(on!(front_door::events)))
        .route("/v1/operations", get(on!(operations::list)))
        .route("/v1/operations/{id}", get(on!(operations::get)))
        .route("/v1/operations/{id}/result", get(on!(operations::result)))
        .route("/v1/operations/{id}/items", get(on!(items::list)))
        .route("/v1/operations/{id}/chain", get(on!(chain::get)))
        .route("/v1/operations/{id}/stream", get(on!(stream::operation)))
        .route("/v1/operations/{id}/cancel", post(on!(operations::cancel)))
        .route("/v1/operations/{id}/retry", post(on!(operations::retry)))
        .route("/v1/dead-letters", get(on!(dead_letters::list)))
        .route("/v1/dead-letters/{delivery}/retry", post(on!(dead_letters::retry)))
        .route("/v1/dead-letters/{delivery}/accept", post(on!(dead_letters::accept)))
        .route("/v1/dead-letters/{delivery}/discard", post(on!(dead_letters::discard)))
        .route("/v1/notifications", get(on!(notifications::list)))
        .route("/v1/notifications/stream", get(on!(notifications::stream)))
        .route("/v1/notifications/{id}/read", post(on!(notifications::read)))
        .route("/v1/consumers", get(on!(consumers::list)))
        .route("/v1/consumers/{name}/pause", post(on!(consumers::pause)))
        .route("/v1/consumers/{name}/resume", post(on!(consumers::resume)))
        .route("/v1/limits", get(on!(limits::list)))
        .route("/v1/limits/{name}", get(on!(limits::get)).patch(on!(limits::change)))
        .route("/v1/limits/{name}/pause", post(on!(limits::pause)))
        .route("/v1/limits/{name}/resume", post(on!(limits::resume)))
        .route("/v1/limits/{name}/reset", post(on!(limits::reset)))
        .route("/v1/catalog", get(on!(catalog::get)))
        .route("/v1/deliveries/{id}", get(on!(deliveries::get)))
        .route("/v1/deliveries/{id}/heartbeat", post(on!(deliveries::heartbeat)))
        .route("/v1/deliveries/{id}/progress", post(on!(deliveries::progress)))
        .route("/v1/deliveries/{id}/complete", post(on!(deliveries::complete)))
        .route("/v1/deliveries/{id}/fail", post(on!(deliveries::fail)))
        .route("/schemas/{type}", get(on!(schemas::current)))
        .route("/schemas/{type}/{version}", get(on!(schemas::version)))
        .route("/livez", get(on!(health::livez)))
        .route("/readyz", get(on!(health::readyz)))
        .route("/metrics", get(on!(health::metrics)))
        .route("/problems/{slug}", get(on!(health::problem_page)))
        .fallback(on!(health::no_such_route))
        .method_not_allowed_fallback(on!(health::method_not_allowed))
}
