//! Durable accepts over HTTP, beside an endpoint of the same server that only parses JSON and answers 202.

use std::time::Duration;

use anyhow::Result;

use super::child::Server;
use super::load::{self, Until};
use super::report;
use super::server::Measured;

const CONNECTIONS: [usize; 7] = [1, 8, 16, 32, 64, 128, 256];
/// Pairs of measurements for each number of connections; the median counts.
const ROUNDS: usize = 3;

pub(crate) async fn run(time: Duration) -> Result<()> {
    report::title("durable accepts over HTTP, and an endpoint that only parses JSON and answers 202");
    report::row(&["connections", "accepts/s", "no-op/s", "ratio"]);
    for connections in CONNECTIONS {
        let server = Server::start(&[])?;
        server.pause().await?;
        let body = Measured::json(0);
        let (mut accepts, mut noops, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let noop = load::post("/bench/noop", &body);
            let noop = load::run(server.address(), connections, noop, Until::Elapsed(time)).await?.rate(202);
            let accept = load::post("/v1/events/bench.measured", &body);
            let accept = load::run(server.address(), connections, accept, Until::Elapsed(time)).await?.rate(202);
            accepts.push(accept);
            noops.push(noop);
            ratios.push(accept / noop);
        }
        let [accept, noop, ratio] = [accepts, noops, ratios].map(report::median);
        report::row(&[&connections.to_string(), &report::rate(accept), &report::rate(noop), &format!("{ratio:.2}")]);
    }
    Ok(())
}
