//! `acceptd config`: find mistakes, and show what is in effect.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::ServerFlags;
use crate::cli::output::{Console, Format};
use crate::config::{Loaded, Origin, Reading, load, print};
use crate::exit::{Exit, Failure, Result};

/// What to do with the configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Find mistakes; the exit code is 2 when there are any
    Check(ServerFlags),
    /// Print what is in effect and where each value comes from, without secrets
    Print(ServerFlags),
    /// Print every option with its default and what it means
    Defaults,
}

impl ConfigCommand {
    pub(crate) fn run(&self, console: &Console) -> Result {
        match &self.what {
            What::Check(flags) => {
                let Loaded { config, file, .. } = read(flags)?;
                crate::wiring::check(&config)?;
                let place = file.map_or("no file, only defaults".to_owned(), |file| file.display().to_string());
                console.say(format_args!("the configuration is fine ({place})"));
            }
            What::Print(flags) => {
                let readings = read(flags)?.readings;
                match console.format {
                    Format::Table => console.line(print(&readings).trim_end())?,
                    _ => console.list("options", &readings.iter().map(document).collect::<Vec<_>>(), &[])?,
                }
            }
            What::Defaults => console.line(crate::config::DEFAULTS.trim_end())?,
        }
        Ok(Exit::Ok)
    }
}

/// Reads the configuration as a server with these flags would.
pub(crate) fn read(flags: &ServerFlags) -> Result<Loaded> {
    load(&flags.sources()).map_err(|problems| Failure::new(Exit::Usage, problems))
}

fn document(reading: &Reading) -> serde_json::Value {
    let origin = reading.origin.as_ref().map_or("default".to_owned(), Origin::to_string);
    json!({ "section": reading.section, "key": reading.key, "value": reading.value, "origin": origin })
}
