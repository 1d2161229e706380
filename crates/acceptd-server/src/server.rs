//! A running server: bind, start the engine, serve, and stop as it should.
//!
//! A signal stops it: `/readyz` says 503, nothing more is accepted or started, what runs gets its grace and is given
//! back otherwise; the API answers until all of that is stored. A second signal ends the process at once.

use std::net::SocketAddr;
use std::time::Duration;

use acceptd::{Acceptd, Engine, ErrorKind};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit::{Exit, Failure, Result};
use crate::otlp::Exporter;
use crate::wiring;

/// How long connections may take to end once everything is stored.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How long giving back what runs may take after the grace.
const GIVING_BACK: Duration = Duration::from_secs(10);

/// How often it is asked whether the store still works.
const HEALTH_EVERY: Duration = Duration::from_millis(250);

/// A server that runs.
pub(crate) struct Server {
    engine: Engine,
    address: SocketAddr,
    grace: Duration,
    stopping: CancellationToken,
    http: JoinHandle<std::io::Result<()>>,
    signals: Signals,
    exporter: Option<Exporter>,
}

/// Listens at an address, or says in a sentence why that can't be.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another program listens there already".to_owned(),
            std::io::ErrorKind::PermissionDenied => "this user may not listen there".to_owned(),
            std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
            _ => error.to_string(),
        };
        Failure::error(format!("can't listen on {address}: {why}"))
    })
}

impl Server {
    /// Starts the engine, and serves its API on a listener that is bound already.
    pub(crate) async fn start(listener: TcpListener, builder: Acceptd, config: &Config) -> Result<Self> {
        // Signals are caught before there is anything that one should not interrupt.
        let signals = Signals::catch()?;
        let address = listener.local_addr()?;
        let (metrics, exporter) = (wiring::metrics(config)?, wiring::exporter(config)?);
        let builder = exporter.iter().fold(builder, |builder, exporter| builder.spans(exporter.sink()));
        let engine = builder.start().await.map_err(cannot_start)?;
        let router = wiring::router(engine.clone(), &config.server, metrics);
        let stopping = CancellationToken::new();
        let serving = acceptd_http::serve(listener, router, stopping.clone().cancelled_owned());
        let http = tokio::spawn(serving);
        Ok(Self { engine, address, grace: config.server.drain_grace, stopping, http, signals, exporter })
    }

    /// Where it answers, for a client on this machine.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until a signal stops it, or something that it can't go on without fails.
    pub(crate) async fn run(self) -> Result {
        self.run_until(std::future::pending()).await
    }

    /// The same, and stops also when `over` returns.
    pub(crate) async fn run_until(mut self, over: impl Future<Output = ()>) -> Result {
        let failed = tokio::select! {
            () = over => None,
            name = self.signals.next() => {
                tracing::info!(signal = name, "stopping");
                None
            }
            () = store_lost(&self.engine) => {
                Some("the store can't be written to any more, so the server stops".to_owned())
            }
            ended = &mut self.http => Some(match ended {
                Ok(Err(error)) => format!("the server can't accept connections any more: {error}"),
                _ => "the server stopped accepting connections".to_owned(),
            }),
        };
        let Self { engine, grace, stopping, http, mut signals, exporter, .. } = self;
        let grace = if failed.is_some() { Duration::ZERO } else { grace };
        let stop = async {
            let stop = stop(&engine, grace, &stopping, http);
            let stopped = tokio::time::timeout(grace + GIVING_BACK, stop).await;
            if let Some(exporter) = exporter {
                exporter.flush().await;
            }
            stopped
        };
        let interrupted = tokio::select! {
            ended = stop => ended.err().map(|_| (Exit::Error, "did not stop in time")),
            _ = signals.next() => Some((Exit::Interrupted, "stopped at once")),
        };
        if let Some((exit, how)) = interrupted {
            return Err(Failure::new(exit, format!("{how}; what was running runs again after a restart")));
        }
        match failed {
            Some(why) => Err(Failure::error(why)),
            None => Ok(Exit::Ok),
        }
    }
}

async fn stop(engine: &Engine, grace: Duration, stopping: &CancellationToken, http: JoinHandle<std::io::Result<()>>) {
    engine.shut_down(grace).await;
    stopping.cancel();
    let abort = http.abort_handle();
    if !http.is_finished() && tokio::time::timeout(LAST_ANSWERS, http).await.is_err() {
        abort.abort();
    }
}

async fn store_lost(engine: &Engine) {
    while engine.store().health().writable {
        tokio::time::sleep(HEALTH_EVERY).await;
    }
}

fn cannot_start(error: acceptd::Error) -> Failure {
    match error.kind() {
        ErrorKind::InvalidArgument => Failure::new(Exit::Usage, error),
        ErrorKind::Locked => Failure::error(format!("can't start: {error}; one server at a time uses a store's file")),
        _ => Failure::error(format!("can't start: {error}")),
    }
}

/// The signals that stop a server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
