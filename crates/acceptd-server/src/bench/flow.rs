//! Producing and consuming at once for 20 seconds, consumer a function that does nothing.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::child::Server;
use super::load::{self, Until};
use super::report;
use super::server::Measured;

const TIME: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 32;

pub(crate) async fn run() -> Result<()> {
    report::title("producing and consuming at once for 20 s, 32 connections, consumer a function");
    report::row(&["accepted/s", "completed/s", "left at the end", "memory MB"]);
    let server = Server::start(&[])?;
    let (accepted, completed, left) = measure(&server, TIME).await?;
    let memory = server.peak_memory().map_or_else(|| "-".to_owned(), |memory| memory.to_string());
    report::row(&[&report::rate(accepted), &report::rate(completed), &left.to_string(), &memory]);
    Ok(())
}

/// What was accepted and completed a second, and what was left.
pub(super) async fn measure(server: &Server, time: Duration) -> Result<(f64, f64, u64)> {
    let request = load::post("/v1/events/bench.measured", &Measured::json(0));
    let started = Instant::now();
    let answers = load::run(server.address(), CONNECTIONS, request, Until::Elapsed(time)).await?;
    let stats = server.stats().await?;
    Ok((answers.rate(202), stats.done as f64 / started.elapsed().as_secs_f64(), stats.backlog))
}
