//! `acceptd bench`: measures this machine. Server and load are two processes that share it, as in
//! `docs/performance.md`.
//!
//! Each scenario starts its own server on a fresh file, so that none profits from the one before.

mod accept;
mod child;
mod drain;
mod flow;
mod latency;
mod limits;
mod load;
mod postgres;
mod report;
mod server;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

pub(crate) use server::ServerArgs;

/// The largest backlog that can be asked for.
const BACKLOG_MAX: u64 = 10_000_000;

/// Measures accepting, draining and latency on this machine.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure; everything when not said.
    #[command(subcommand)]
    scenario: Option<Scenario>,
    /// Seconds for each measurement of accepting.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600), global = true)]
    seconds: u64,
    /// Deliveries in the large backlog.
    #[arg(long, default_value_t = 1_000_000, value_parser = in_backlog(), global = true)]
    backlog: u64,
}

#[derive(Debug, Clone, Subcommand)]
enum Scenario {
    /// Durable accepts over HTTP, beside an endpoint that only parses JSON and answers 202.
    Accept,
    /// How fast waiting deliveries are worked off, by a function and over HTTP.
    Drain,
    /// What metrics and the counts of the catalog cost.
    Observed,
    /// From the request to the start of the handler, on an idle server.
    Latency,
    /// Producing and consuming at once.
    Flow,
    /// A large backlog: memory, start, and how fast it is worked off.
    Backlog,
    /// What limits cost, and what a key that very many wait for does to everybody else.
    Limits,
    /// One of these on PostgreSQL, as a line of JSON: what `tests/peers` compares.
    Postgres(#[command(flatten)] postgres::PostgresArgs),
    /// The server that the others start.
    #[command(hide = true)]
    Server(#[command(flatten)] ServerArgs),
}

fn in_backlog() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=BACKLOG_MAX)
}

/// Runs what was asked for and prints the figures.
pub(crate) async fn run(args: BenchArgs) -> Result<()> {
    let seconds = Duration::from_secs(args.seconds);
    match args.scenario {
        Some(Scenario::Server(server)) => server::run(server).await,
        Some(Scenario::Postgres(args)) => postgres::run(args, seconds).await,
        Some(Scenario::Accept) => accept::run(seconds).await,
        Some(Scenario::Drain) => drain::run().await,
        Some(Scenario::Observed) => drain::observed().await,
        Some(Scenario::Latency) => latency::run().await,
        Some(Scenario::Flow) => flow::run().await,
        Some(Scenario::Backlog) => drain::backlog(args.backlog).await,
        Some(Scenario::Limits) => limits::run(args.backlog).await,
        None => {
            report::machine();
            accept::run(seconds).await?;
            drain::run().await?;
            drain::observed().await?;
            latency::run().await?;
            flow::run().await?;
            drain::backlog(args.backlog).await?;
            limits::run(args.backlog).await
        }
    }
}
