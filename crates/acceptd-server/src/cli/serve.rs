//! `acceptd serve`: the server.

use crate::cli::ServerFlags;
use crate::cli::config::read;
use crate::cli::output::{Console, complain};
use crate::config::{Config, Loaded};
use crate::exit::Result;
use crate::server::{Server, bind};
use crate::{logging, wiring};

/// Serves until a signal stops it.
pub(crate) async fn run(flags: &ServerFlags, console: &Console) -> Result {
    let Loaded { config, file, .. } = read(flags)?;
    let builder = wiring::builder(&config)?;
    logging::start(&config.log);
    let listener = bind(config.server.listen).await?;
    let server = Server::start(listener, builder, &config).await?;
    warn(&config);
    if config.consumers.is_empty() {
        let place = file.map_or("there is no acceptd.toml here".to_owned(), |file| file.display().to_string());
        console.say(format_args!("no consumers are configured ({place}), so nothing is accepted yet"));
    }
    console.say(format_args!("listening on {}", server.url()));
    server.run().await
}

fn warn(config: &Config) {
    let listen = config.server.listen;
    if !listen.ip().is_loopback() {
        complain(&format!(
            "WARNING: {listen} can be reached from other machines, and nothing asks them who they are:\n\
             WARNING: whoever reaches it may send events, read payloads, cancel operations and pause consumers"
        ));
    }
}
