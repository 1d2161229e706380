//! From sending the request to the start of the handler, on an idle server at 100 requests a second.

use std::time::Duration;

use anyhow::Result;

use super::child::Server;
use super::load::{self, Connection};
use super::report;
use super::server::{Measured, micros_now};

const REQUESTS: u32 = 1_500;

pub(crate) async fn run() -> Result<()> {
    report::title("from sending the request to the start of the handler, idle server, 100 a second");
    report::row(&["p50 ms", "p90 ms", "p99 ms", "max ms"]);
    let latencies = measure(&Server::start(&[])?, REQUESTS).await?;
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    report::row(&[0.5, 0.9, 0.99, 1.0].map(|share| format!("{:.2}", at(share))).each_ref().map(String::as_str));
    Ok(())
}

/// The latencies of so many requests in microseconds, the shortest first.
pub(super) async fn measure(server: &Server, requests: u32) -> Result<Vec<u64>> {
    let mut connection = Connection::open(server.address()).await?;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..requests {
        tick.tick().await;
        let request = load::post("/v1/events/bench.measured", &Measured::json(micros_now()));
        connection.exchange(request.as_bytes()).await?;
    }
    let mut latencies = Vec::new();
    while latencies.len() < requests as usize {
        latencies.extend(server.stats().await?.latencies);
    }
    latencies.sort_unstable();
    Ok(latencies)
}
