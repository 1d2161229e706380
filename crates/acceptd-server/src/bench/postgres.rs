//! One workload on PostgreSQL, as a line of JSON: the same that `tests/peers` measures other queues by.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::child::Server;
use super::load::{self, Until};
use super::server::Measured;
use super::{drain, flow, latency};

/// Clients that accept at once.
const CLIENTS: usize = 32;
/// The drain of a large backlog is compared with that of so many.
const SMALL: u64 = 10_000;

/// Which workload, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct PostgresArgs {
    /// The database. Its schema must be a fresh one.
    #[arg(long)]
    url: String,
    /// What to measure.
    #[arg(long, value_enum, ignore_case = true)]
    workload: Workload,
    /// Deliveries that are worked off.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Single accepts from 32 clients.
    W1,
    /// Working off what waits.
    W3,
    /// From the request to the start of the handler, at 100 a second.
    W4,
    /// Producing and consuming at once.
    W5,
    /// A large backlog, and how its drain compares with that of a small one.
    W6,
}

pub(crate) async fn run(args: PostgresArgs, time: Duration) -> Result<()> {
    let store = |number: u32| match args.url.contains('?') {
        true => format!("{}&schema=bench_{number}", args.url),
        false => format!("{}?schema=bench_{number}", args.url),
    };
    let server = Server::start(&["--store", &store(1)])?;
    match args.workload {
        Workload::W1 => {
            server.pause().await?;
            let request = load::post("/v1/events/bench.measured", &Measured::json(0));
            let answers = load::run(server.address(), CLIENTS, request, Until::Elapsed(time)).await?;
            anyhow::ensure!(answers.statuses.keys().all(|status| *status == 202), "{:?}", answers.statuses);
            say("W1", answers.rate(202), "accepts/s", &json!({ "clients": CLIENTS }));
        }
        Workload::W3 => {
            drain::fill(&server, args.count).await?;
            say("W3", drain::drain(&server, args.count).await?, "done/s", &json!({ "count": args.count }));
        }
        Workload::W4 => {
            let latencies = latency::measure(&server, u32::try_from(time.as_secs() * 100)?).await?;
            let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
            say("W4", at(0.5), "ms p50", &json!({ "p99": at(0.99), "max": at(1.0) }));
        }
        Workload::W5 => {
            let (accepted, done, left) = flow::measure(&server, time).await?;
            say("W5", done, "done/s", &json!({ "accepted": accepted, "left": left }));
        }
        Workload::W6 => {
            drain::fill(&server, SMALL).await?;
            let small = drain::drain(&server, SMALL).await?;
            drop(server);
            let server = Server::start(&["--store", &store(2)])?;
            drain::fill(&server, args.count).await?;
            let large = drain::drain(&server, args.count).await?;
            say("W6", large, "done/s", &json!({ "count": args.count, "small": small, "ratio": large / small }));
        }
    }
    Ok(())
}

fn say(workload: &str, value: f64, unit: &str, settings: &serde_json::Value) {
    println!(
        "{}",
        json!({ "peer": "acceptd", "workload": workload, "value": value, "unit": unit, "settings": settings })
    );
}
