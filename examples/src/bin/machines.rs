//! acceptd inside a Rust program, which documents itself.
//!
//! Usage: `machines PORT` serves; `machines catalog show|export|check` prints what it declares.

use std::net::Ipv4Addr;

use acceptd::schemars::{self, JsonSchema};
use acceptd::{Acceptd, Consumer, Done, Emits, Event, Limit, Outcome, consumer};
use acceptd_http::HttpSettings;
use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Someone asked for a machine.
#[derive(Event, Serialize, Deserialize, JsonSchema)]
#[event("machine.start")]
struct StartMachine {
    image: String,
}

/// A machine runs.
#[derive(Event, Serialize, Deserialize, JsonSchema)]
#[event("machine.started")]
struct MachineStarted {
    address: String,
}

/// A line in the owner's inbox.
#[derive(Event, Serialize, Deserialize, JsonSchema)]
#[event("alarm.create")]
struct CreateAlarm {
    title: String,
}

/// Starts a machine, twice a second at most.
#[consumer(limit = "cloud", retry = 8, timeout = "5m", team = "infrastructure")]
async fn start_machine(event: StartMachine, mut out: Emits<(MachineStarted, CreateAlarm)>) -> Outcome {
    // A real one would ask a cloud here, and `?` would try again.
    let address = format!("10.0.0.{}", event.image.len());
    out.emit(CreateAlarm { title: format!("{address} is running") });
    out.emit(MachineStarted { address });
    Done::new()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let app = Acceptd::open("memory:")
        .limit(Limit::new("cloud").rate("2/s")?)
        .consumer(start_machine::consumer())
        .consumer(Consumer::inbox("alarm", "alarm.create"));
    acceptd::catalog::command(&app.catalog()?);

    let port = std::env::args().nth(1).context("usage: machines PORT")?.parse().context("not a port")?;
    let router = acceptd_http::router(app.start().await?, HttpSettings::default());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    Ok(axum::serve(listener, router).await?)
}
