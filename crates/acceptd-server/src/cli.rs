//! The command line: what there is, and which file does it.
//!
//! `serve` and `dev` are servers; everything else is a client of the HTTP API. Data goes to standard output, talk to
//! standard error, and every ending has its exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::{FileSource, LogFormat, Sources};
use crate::exit::{EXIT_CODES, Exit, Failure, Result};

mod bench;
mod catalog;
pub(crate) mod client;
mod completions;
mod config;
mod consumers;
mod dead_letters;
mod dev;
mod limits;
mod notifications;
pub(crate) mod operations;
pub(crate) mod output;
pub(crate) mod paint;
mod send;
mod serve;
mod store;
pub(crate) mod story;
mod stream;
mod watch;
mod why;

use client::Client;
use output::{Console, Format};

/// Turns a slow endpoint into an accepted one: a durable 202, then a chain of events that survives crashes.
#[derive(Debug, Parser)]
#[command(name = "acceptd", version, max_term_width = 100)]
#[command(after_help = "Try `acceptd dev --demo`. Exit codes: `acceptd help exit-codes`.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Global {
    /// The server to talk to
    #[arg(long, global = true, env = "ACCEPTD_URL", default_value = "http://127.0.0.1:8202", value_name = "URL")]
    url: String,
    /// How data is written to standard output
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
    /// Write nothing but data and errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(ServerFlags),
    /// Run a server to try things: a file of its own, a free port, and with --demo a story to watch
    Dev(dev::Dev),
    #[command(flatten)]
    Client(ClientCommand),
    /// Measure this machine
    Bench(crate::bench::BenchArgs),
    /// Check the configuration, or print what is in effect
    Config(config::ConfigCommand),
    /// Move a backlog to another store
    Store(store::StoreCommand),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Print what the exit codes mean
    #[command(hide = true, about = EXIT_CODES, help_template = "{about}\n")]
    ExitCodes,
}

/// What asks a server over its API.
#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Send an event, or a batch of them
    Send(send::Send),
    /// Follow an operation until it ends
    Watch(watch::Watch),
    /// Say what an operation or a delivery waits for
    Why(why::Why),
    /// Tell everything about an operation: who caused what, waits, attempts, errors, and where the time went
    Story(story::StoryOf),
    /// List, show, cancel and retry operations, and the items of batches
    Operations(operations::Operations),
    /// List, retry and discard deliveries that gave up
    DeadLetters(dead_letters::DeadLetters),
    /// List what owners were told
    Notifications(notifications::Notifications),
    /// List, pause and resume consumers
    Consumers(consumers::Consumers),
    /// List, show, pause, resume and change limits
    Limits(limits::Limits),
    /// Show and export who takes and emits which events, and where that differs from what was seen
    Catalog(catalog::CatalogCommand),
}

/// What a server takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerFlags {
    /// The configuration; without it `acceptd.toml` is read if it is there
    #[arg(long, env = "ACCEPTD_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Where everything is kept: sqlite:FILE
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Listen where other machines can reach it, although nothing asks them who they are
    #[arg(long)]
    pub(crate) insecure: bool,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

impl ServerFlags {
    /// These flags over the process's environment.
    fn sources(&self) -> Sources {
        let insecure = self.insecure.then(|| "true".to_owned());
        let format = self.log_format.map(|format| format.as_str().to_owned());
        let flags = [
            ("server", "listen", "--listen", self.listen.clone()),
            ("server", "insecure", "--insecure", insecure),
            ("store", "url", "--store", self.store.clone()),
            ("log", "format", "--log-format", format),
        ];
        let flags = flags.into_iter().filter_map(|(section, key, flag, text)| Some((section, key, flag, text?)));
        let file = self.config.clone().map_or(FileSource::IfThere, FileSource::Named);
        Sources { file, environment: Sources::environment(), flags: flags.collect() }
    }
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(Failure::error(format!("can't start: {error}")))),
    };
    let ended = runtime.block_on(run(cli));
    // The store is closed with its last user; what blocks for longer does not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    report(ended)
}

fn report(ended: Result) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(Failure { exit, message }) => {
            if let Some(message) = message {
                output::complain(&message);
            }
            exit.into()
        }
    }
}

async fn run(cli: Cli) -> Result {
    let Global { url, output, quiet } = cli.global;
    let console = Console::new(output, quiet);
    match cli.command {
        Command::Serve(flags) => serve::run(&flags, &console).await,
        Command::Dev(dev) => dev.run(&console).await,
        Command::Bench(bench) => bench::run(bench).await,
        Command::Config(config) => config.run(&console),
        Command::Store(store) => store.run(&console).await,
        Command::Completions(completions) => completions.run(&mut Cli::command()),
        Command::ExitCodes => console.line(EXIT_CODES).map(|()| Exit::Ok),
        Command::Client(command) => {
            let client = Client::new(&url)?;
            tokio::select! {
                ended = run_client(command, &client, &console) => ended,
                _ = tokio::signal::ctrl_c() => Err(Failure { exit: Exit::Interrupted, message: None }),
            }
        }
    }
}

async fn run_client(command: ClientCommand, client: &Client, console: &Console) -> Result {
    match command {
        ClientCommand::Send(send) => send.run(client, console).await,
        ClientCommand::Watch(watch) => watch.run(client, console).await,
        ClientCommand::Why(why) => why.run(client, console).await,
        ClientCommand::Story(story) => story.run(client, console).await,
        ClientCommand::Operations(operations) => operations.run(client, console).await,
        ClientCommand::DeadLetters(dead_letters) => dead_letters.run(client, console).await,
        ClientCommand::Notifications(notifications) => notifications.run(client, console).await,
        ClientCommand::Consumers(consumers) => consumers.run(client, console).await,
        ClientCommand::Limits(limits) => limits.run(client, console).await,
        ClientCommand::Catalog(catalog) => catalog.run(client, console).await,
    }
}
