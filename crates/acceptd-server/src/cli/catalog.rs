//! `acceptd catalog`: show, export, drift, check.

use std::path::PathBuf;

use acceptd::Catalog;
use acceptd::catalog::check::{check, render, worst};
use acceptd::catalog::compat::{Mode, Verdict};
use acceptd::catalog::format::{Format, text};
use acceptd::catalog::{Drift, drift, save};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};

use crate::cli::ServerFlags;
use crate::cli::client::Client;
use crate::cli::config::read;
use crate::cli::output::{Console, plain};
use crate::exit::{Exit, Failure, Result};

/// What to do with the catalog; without anything it is shown.
#[derive(Debug, Args)]
pub(crate) struct CatalogCommand {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    origin: Origin,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show who takes and emits what, as a tree
    Show,
    /// Write it for other tools, or as pages
    Export(Export),
    /// Say where what is declared and what was seen differ; the exit code is 1 when something is undeclared
    Drift,
    /// Name what changed since an exported catalog.json; the exit code is 1 when a change breaks somebody
    Check(Check),
}

/// What it is compared with, and how.
#[derive(Debug, Args)]
struct Check {
    /// The catalog of before, exported as JSON
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// What must stay possible: backward (new readers, old data), forward (old readers, new data), or full
    #[arg(long, value_parser = modes(), default_value = "full")]
    mode: Mode,
}

fn modes() -> impl clap::builder::TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(["backward", "forward", "full"]).try_map(|name| name.parse::<Mode>())
}

/// Where the catalog comes from; without any of these it is the server's, with what was seen there.
#[derive(Debug, Args)]
struct Origin {
    /// Read what a configuration declares; no server is asked
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read an exported catalog.json; no server is asked
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "config")]
    from: Option<PathBuf>,
    /// Days that the server looks back on
    #[arg(long, global = true, default_value_t = 30, value_name = "DAYS", conflicts_with_all = ["config", "from"])]
    days: u32,
}

/// What it is written as, and where.
#[derive(Debug, Args)]
struct Export {
    /// What it is written as
    #[arg(long, value_parser = formats(), value_name = "FORMAT")]
    format: Format,
    /// Write to this file, or below this folder; markdown, eventcatalog and backstage need a folder
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

fn formats() -> impl clap::builder::TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

impl CatalogCommand {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        let catalog = self.origin.read(client).await?;
        match self.what.as_ref().unwrap_or(&What::Show) {
            What::Show => console.document(&document(&catalog), || text(&catalog).trim_end().to_owned())?,
            What::Export(export) => export.write(&catalog, console)?,
            What::Drift => {
                let drift = drift(&catalog);
                console.document(&document(&drift), || sentences(&catalog, &drift).join("\n"))?;
                return Ok(if drift.is_breach() { Exit::Error } else { Exit::Ok });
            }
            What::Check(Check { old, mode }) => {
                let findings = check(&Catalog::read(old)?, &catalog, *mode);
                console.document(&document(&findings), || plain_lines(render(&findings).trim_end()))?;
                return Ok(if worst(&findings) == Verdict::Breaking { Exit::Error } else { Exit::Ok });
            }
        }
        Ok(Exit::Ok)
    }
}

impl Origin {
    async fn read(&self, client: &Client) -> Result<Catalog> {
        if let Some(file) = &self.config {
            let flags = ServerFlags { config: Some(file.clone()), ..ServerFlags::default() };
            return crate::wiring::catalog(&read(&flags)?.config);
        }
        if let Some(file) = &self.from {
            return Ok(Catalog::read(file)?);
        }
        let mut url = client.url(&["v1", "catalog"]);
        url.query_pairs_mut().append_pair("days", &self.days.to_string());
        let document = client.read(url).await?;
        serde_json::from_value(document).map_err(|error| {
            Failure::error(format!("the server's catalog is not one that this version reads: {error}"))
        })
    }
}

impl Export {
    fn write(&self, catalog: &Catalog, console: &Console) -> Result<()> {
        let files = self.format.export(catalog);
        let Some(out) = &self.out else {
            if self.format.is_folder() {
                let why = format!("the format {} is a folder of files: name it with --out FOLDER", self.format);
                return Err(Failure::new(Exit::Usage, why));
            }
            return files.iter().try_for_each(|file| console.line(file.text.trim_end_matches('\n')));
        };
        let written = save(&files, self.format, out)?;
        match written.as_slice() {
            [file] => console.say(format_args!("wrote {}", file.display())),
            all => console.say(format_args!("wrote {} files below {}", all.len(), out.display())),
        }
        Ok(())
    }
}

fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn document(of: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// Where a catalog differs from what was seen, one sentence a line.
fn sentences(catalog: &Catalog, drift: &Drift) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut tell = |before: &str, all: &[String], after: &str| {
        lines.extend(all.iter().map(|one| plain(&format!("{before}{one}{after}"))));
    };
    tell("undeclared: ", &drift.undeclared, "");
    tell("never seen: ", &drift.never_seen, "");
    tell("nobody takes ", &drift.unconsumed, "");
    tell("loop: ", &drift.loops.iter().map(ToString::to_string).collect::<Vec<_>>(), "");
    lines.push(match (catalog.observed_since, drift.undeclared.len()) {
        (None, _) => "this catalog tells only what is declared: nothing was looked at".to_owned(),
        (Some(since), 0) => format!("nothing undeclared was seen since {since}"),
        (Some(since), 1) => format!("1 undeclared edge was seen since {since}"),
        (Some(since), more) => format!("{more} undeclared edges were seen since {since}"),
    });
    lines
}
