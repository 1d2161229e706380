//! The `acceptd` binary: the server, and a command line for it.

use std::process::ExitCode;

mod bench;
mod cli;
mod config;
mod demo;
mod exit;
mod logging;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
mod otlp_off;
mod server;
mod wiring;

#[cfg(not(feature = "otlp"))]
use otlp_off as otlp;

/// Small short-lived allocations are a good part of what a request costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // reqwest is built without a provider of its own: this is the only one in the process.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("acceptd: another TLS provider was installed before");
        return exit::Exit::Error.into();
    }
    cli::main()
}
