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
    let request = load::post("/v1/events/bench.measured", &Measured::json(0));
    let started = Instant::now();
    let answers = load::run(server.address(), CONNECTIONS, request, Until::Elapsed(TIME)).await?;
    let stats = server.stats().await?;
    let completed = stats.done as f64 / started.elapsed().as_secs_f64();
    let memory = server.peak_memory().map_or_else(|| "-".to_owned(), |memory| memory.to_string());
    let (accepted, left) = (report::rate(answers.rate(202)), stats.backlog.to_string());
    report::row(&[&accepted, &report::rate(completed), &left, &memory]);
    Ok(())
}
