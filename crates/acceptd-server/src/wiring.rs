//! The only place that names adapters: it makes an engine and a router of a configuration.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acceptd::target::{Inbox, Target};
use acceptd::{Acceptd, Catalog, Consumer, Engine, Settings};
use acceptd_http::HttpSettings;
use acceptd_http::signature::Secret;
use acceptd_http::target::{Push, PushClient};
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::{Config, ConsumerConfig, Goes, Server, Telemetry, Undeclared, WebUrl};
use crate::exit::{Exit, Failure, Result};
use crate::metrics;
use crate::otlp::Exporter;

/// Puts an engine together, without starting it or touching the store's file.
pub(crate) fn builder(config: &Config) -> Result<Acceptd> {
    assemble(config, Acceptd::open(&config.store.0))
}

fn assemble(config: &Config, builder: Acceptd) -> Result<Acceptd> {
    let consumers = consumers(config)?;
    let mut builder = builder.settings(settings(config));
    for (kind, declaration) in &config.events {
        builder = builder.event(kind.clone(), declaration.clone());
    }
    for limit in &config.limits {
        builder = builder.limit(limit.clone());
    }
    for consumer in consumers {
        builder = builder.consumer(consumer);
    }
    Ok(builder)
}

/// Checks what reading the configuration can't: that secrets can be read, URLs can be used, and consumers and limits go
/// together.
pub(crate) fn check(config: &Config) -> Result<()> {
    let builder = assemble(config, Acceptd::open("memory:"))?;
    builder.check().map_err(|error| Failure::new(Exit::Usage, error))
}

/// What a configuration declares, as the catalog tells it. Secrets are not read: none is told, and where catalogs are
/// compared there may be none.
pub(crate) fn catalog(config: &Config) -> Result<Catalog> {
    let mut config = config.clone();
    for consumer in &mut config.consumers {
        if let Goes::Url { secret_file, .. } = &mut consumer.goes {
            *secret_file = None;
        }
    }
    let builder = assemble(&config, Acceptd::open("memory:"))?;
    builder.catalog().map_err(|error| Failure::new(Exit::Usage, error))
}

/// The HTTP API of an engine.
pub(crate) fn router(engine: Engine, server: &Server, metrics: Option<PrometheusHandle>) -> Router {
    let settings = HttpSettings {
        public_url: server.public_url.as_ref().map(|url| url.0.to_string()),
        body_max: server.body_max.0,
        batch_body_max: server.batch_body_max.0,
        batch_events_max: server.batch_events_max.get(),
        streams_max: server.sse_clients_max.get(),
        metrics: metrics.map(|handle| Arc::new(move || handle.render()) as Arc<_>),
        ..HttpSettings::default()
    };
    acceptd_http::router(engine, settings)
}

/// The recorder behind `/metrics`, when metrics are collected.
pub(crate) fn metrics(config: &Config) -> Result<Option<PrometheusHandle>> {
    config.telemetry.metrics.then(metrics::install).transpose()
}

/// What sends spans to a collector, when one is named.
pub(crate) fn exporter(config: &Config) -> Result<Option<Exporter>> {
    let Telemetry { otlp_endpoint, service_name, .. } = &config.telemetry;
    otlp_endpoint.as_ref().map(|WebUrl(url)| Exporter::start(url, service_name)).transpose()
}

fn settings(config: &Config) -> Settings {
    let (Config { server, catalog, .. }, default) = (config, Settings::default());
    Settings {
        observe: catalog.observe,
        observation_retention: catalog.retention,
        backlog_max: server.backlog_max.get(),
        depth_max: server.depth_max.get(),
        lease: server.lease,
        target_lease: server.target_lease,
        retention: server.retention,
        prune_every: server.prune_every,
        idempotency_retention: server.idempotency_retention,
        public_url: server.public_url.as_ref().map(|url| url.0.to_string()),
        measure_every: if config.telemetry.metrics { default.measure_every } else { Duration::ZERO },
        ..default
    }
}

fn consumers(config: &Config) -> Result<Vec<Consumer>> {
    let client = PushClient::new()?;
    let make = |consumer: &ConsumerConfig| make(consumer, &client, config);
    config.consumers.iter().map(make).collect()
}

fn make(config: &ConsumerConfig, client: &PushClient, all: &Config) -> Result<Consumer> {
    let wrong = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("consumers.{}: {why}", config.name));
    let target: Arc<dyn Target> = match &config.goes {
        Goes::Inbox => Arc::new(Inbox),
        Goes::Url { url, secret_file } => {
            let secret = secret_file.as_deref().map(read_secret).transpose().map_err(|why| wrong(&why))?;
            let push = Push::new(client.clone(), url.0.as_str(), secret).map_err(|why| wrong(&why))?;
            Arc::new(push.lease(all.server.target_lease))
        }
    };
    let concurrency: NonZeroUsize = config.concurrency;
    let consumer = Consumer::to(&config.name, &config.on, target)
        .emits(&config.emits)
        .retry_policy(config.retry.clone())
        .timeout(config.timeout)
        .concurrency(concurrency.get());
    let consumer = config.description.iter().fold(consumer, Consumer::description);
    let consumer = config.team.iter().fold(consumer, Consumer::team);
    let consumer = config.limits.iter().fold(consumer, Consumer::limit);
    let consumer = config.lock.iter().fold(consumer, |consumer, key| consumer.lock(&key.to_string()));
    let consumer = config.fair_by.iter().fold(consumer, |consumer, key| consumer.fair_by(&key.to_string()));
    let consumer = config.fair_weights.iter().fold(consumer, |consumer, (of, turns)| consumer.weight(of, *turns));
    let consumer = if config.ordered { consumer.ordered() } else { consumer };
    Ok(match config.undeclared {
        Undeclared::Refuse => consumer,
        Undeclared::Record => consumer.let_undeclared_pass(),
    })
}

fn read_secret(file: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("can't read {}: {error}", file.display()))?;
    Secret::parse(&text).map_err(|error| format!("{}: {error}", file.display()))
}
