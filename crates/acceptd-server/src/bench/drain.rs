//! How fast waiting deliveries are worked off, and what a large backlog costs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::http::StatusCode;
use axum::routing::post;

use super::child::Server;
use super::load::{self, Until};
use super::report;
use super::server::Measured;

const FUNCTION: u64 = 200_000;
const HTTP: u64 = 50_000;
/// Drains of each kind, in turns.
const PAIRS: usize = 5;
const SMALL: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn run() -> Result<()> {
    report::title("working off what waits, by a consumer that does nothing");
    report::row(&["consumer", "deliveries", "done/s"]);
    report::row(&["function", &FUNCTION.to_string(), &report::rate(function(&[]).await?)]);

    let receiver = receiver()?;
    let url = format!("http://{receiver}/");
    let server = Server::start(&["--consumer", &url, "--concurrency", "128"])?;
    fill(&server, HTTP).await?;
    let rate = drain(&server, HTTP).await?;
    report::row(&["HTTP", &HTTP.to_string(), &report::rate(rate)]);
    Ok(())
}

/// What it costs to be observed: drains in turns, without and with; log lines are written in both.
pub(crate) async fn observed() -> Result<()> {
    report::title("metrics and the counts of the catalog, consumer a function");
    report::row(&["run", "without done/s", "with done/s", "ratio"]);
    let mut ratios = Vec::new();
    for pair in 1..=PAIRS {
        let (without, with) = (function(&["--logged"]).await?, function(&["--logged", "--observed"]).await?);
        ratios.push(with / without);
        let cells = [pair.to_string(), report::rate(without), report::rate(with), format!("{:.2}", with / without)];
        report::row(&cells.each_ref().map(String::as_str));
    }
    ratios.sort_by(f64::total_cmp);
    println!("observed / not observed: {:.2} (median)", ratios[PAIRS / 2]);
    Ok(())
}

async fn function(arguments: &[&str]) -> Result<f64> {
    let server = Server::start(arguments)?;
    fill(&server, FUNCTION).await?;
    drain(&server, FUNCTION).await
}

pub(crate) async fn backlog(size: u64) -> Result<()> {
    report::title("a large backlog beside a small one, consumer a function");
    report::row(&["deliveries", "done/s", "memory MB", "accepting after a kill"]);
    let small = {
        let server = Server::start(&[])?;
        fill(&server, SMALL).await?;
        let rate = drain(&server, SMALL).await?;
        let memory = server.peak_memory().map_or_else(|| "-".to_owned(), |memory| memory.to_string());
        report::row(&[&SMALL.to_string(), &report::rate(rate), &memory, "-"]);
        rate
    };
    let mut server = Server::start(&[])?;
    fill(&server, size).await?;
    let again = server.restart().await?;
    let rate = drain(&server, size).await?;
    let memory = server.peak_memory().map_or_else(|| "-".to_owned(), |memory| memory.to_string());
    report::row(&[&size.to_string(), &report::rate(rate), &memory, &format!("{} ms", again.as_millis())]);
    println!("drain of the large backlog / drain of the small one: {:.2}", rate / small);
    Ok(())
}

pub(super) async fn fill(server: &Server, count: u64) -> Result<()> {
    server.pause().await?;
    let request = load::post("/v1/events/bench.measured", &Measured::json(0));
    let answers = load::run(server.address(), 128, request, Until::Sent(count)).await?;
    anyhow::ensure!(answers.statuses.keys().all(|status| *status == 202), "filling: {:?}", answers.statuses);
    Ok(())
}

pub(super) async fn drain(server: &Server, count: u64) -> Result<f64> {
    let started = Instant::now();
    server.resume().await?;
    server.drained(PATIENCE).await?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// An HTTP consumer that does nothing, on a thread of this process.
fn receiver() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = axum::Router::new().route("/", post(async || StatusCode::NO_CONTENT));
            acceptd_http::serve(listener, router, std::future::pending()).await?;
            anyhow::Ok(())
        })
    });
    Ok(address)
}
