//! What limits cost: an unsaturated one on every delivery, and a million deliveries that wait for one key.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::child::Server;
use super::drain::{drain, fill};
use super::load::{self, Connection, Until};
use super::report;
use super::server::{Held, micros_now};

/// Deliveries of one drain.
const DRAINED: u64 = 100_000;
/// Drains of each kind, in turns.
const PAIRS: usize = 3;
/// Items of one request while filling.
const BATCH: u64 = 10_000;
/// Deliveries whose start is measured.
const STARTS: u32 = 500;

pub(crate) async fn run(waiting: u64) -> Result<()> {
    report::title("a limit that never holds anything on each delivery, consumer a function");
    report::row(&["run", "without done/s", "with done/s", "ratio"]);
    let mut ratios = Vec::new();
    for pair in 1..=PAIRS {
        let without = one(&[]).await?;
        let with = one(&["--limited"]).await?;
        ratios.push(with / without);
        let cells = [pair.to_string(), report::rate(without), report::rate(with), format!("{:.2}", with / without)];
        report::row(&cells.each_ref().map(String::as_str));
    }
    ratios.sort_by(f64::total_cmp);
    println!("with a limit / without: {:.2} (median)", ratios[PAIRS / 2]);
    saturated(waiting).await
}

async fn one(arguments: &[&str]) -> Result<f64> {
    let server = Server::start(arguments)?;
    fill(&server, DRAINED).await?;
    drain(&server, DRAINED).await
}

/// One key with very many waiting deliveries, and everybody else.
async fn saturated(waiting: u64) -> Result<()> {
    report::title("one key of a limit that so many wait for; deliveries of other keys, 100 a second, and the drain");
    let header =
        ["waiting", "start p50 ms", "p99 ms", "max ms", "memory MB", "drain of others/s", "accepting after a kill"];
    report::row(&header);
    let mut rates = Vec::new();
    for waiting in [0, waiting] {
        let mut server = Server::start(&[])?;
        for _ in 0..waiting.div_ceil(BATCH) {
            let items = vec![Held::json("full", 0); usize::try_from(BATCH)?].join(",");
            let request = load::post("/v1/events/bench.held", &format!("{{\"items\":[{items}]}}"));
            let answers = load::run(server.address(), 1, request, Until::Sent(1)).await?;
            anyhow::ensure!(answers.statuses.keys().all(|status| *status == 202), "{:?}", answers.statuses);
        }
        let starts = starts(&server).await?;
        let memory = server.peak_memory();
        let again = server.restart().await?;
        fill(&server, DRAINED).await?;
        let rate = others(&server, waiting).await?;
        let memory = memory.max(server.peak_memory()).map_or_else(|| "-".to_owned(), |memory| memory.to_string());
        rates.push(rate);
        let at = |share: f64| format!("{:.2}", starts[((starts.len() - 1) as f64 * share) as usize] as f64 / 1_000.0);
        let again = format!("{} ms", again.as_millis());
        let cells = [waiting.to_string(), at(0.5), at(0.99), at(1.0), memory, report::rate(rate), again];
        report::row(&cells.each_ref().map(String::as_str));
    }
    println!("drain beside the waiting ones / without them: {:.2}", rates[1] / rates[0]);
    Ok(())
}

/// From the request to the start of the handler, for deliveries of keys that nobody else waits for, in microseconds.
async fn starts(server: &Server) -> Result<Vec<u64>> {
    let mut connection = Connection::open(server.address()).await?;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for number in 0..STARTS {
        tick.tick().await;
        let body = Held::json(&format!("free-{number}"), micros_now());
        connection.exchange(load::post("/v1/events/bench.held", &body).as_bytes()).await?;
    }
    let mut latencies = Vec::new();
    while latencies.len() < STARTS as usize {
        latencies.extend(server.stats().await?.latencies);
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// The drain of deliveries without limits while the others wait on.
async fn others(server: &Server, waiting: u64) -> Result<f64> {
    let started = Instant::now();
    server.resume().await?;
    server.backlog_at_most(waiting, Duration::from_secs(600)).await?;
    Ok(DRAINED as f64 / started.elapsed().as_secs_f64())
}
