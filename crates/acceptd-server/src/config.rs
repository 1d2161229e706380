//! The configuration: what an operator may set, read from a TOML file < the environment < flags.
//!
//! `tree` has what was written, `section` and `setting` understand it, `read` says which options there are.
//! Whatever is wrong is found before anything starts, all of it at once, each with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptd::EventDeclaration;
use acceptd::RetryPolicy;
use acceptd::limit::{KeySpec, Limit};

mod event;
mod print;
mod read;
mod section;
mod setting;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use print::print;
use section::{Findings, Section};
use setting::Choice;
pub(crate) use setting::{Bytes, StoreUrl, WebUrl};
pub(crate) use tree::Origin;

/// Every option with its default and what it means.
pub(crate) const DEFAULTS: &str = include_str!("../acceptd.default.toml");

/// The file that is read when no other is named.
const FILE: &str = "acceptd.toml";

/// Everything an operator may set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) store: StoreUrl,
    pub(crate) log: Log,
    pub(crate) catalog: CatalogConfig,
    pub(crate) events: BTreeMap<String, EventDeclaration>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) consumers: Vec<ConsumerConfig>,
}

/// The section `[server]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) insecure: bool,
    pub(crate) public_url: Option<WebUrl>,
    pub(crate) backlog_max: NonZeroU64,
    pub(crate) depth_max: NonZeroU32,
    pub(crate) body_max: Bytes,
    pub(crate) batch_body_max: Bytes,
    pub(crate) batch_events_max: NonZeroUsize,
    pub(crate) sse_clients_max: NonZeroUsize,
    pub(crate) drain_grace: Duration,
    pub(crate) retention: Duration,
    pub(crate) prune_every: Duration,
    pub(crate) idempotency_retention: Duration,
    pub(crate) lease: Duration,
    pub(crate) target_lease: Duration,
}

/// The section `[catalog]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CatalogConfig {
    pub(crate) observe: bool,
    pub(crate) retention: Duration,
}

/// The section `[log]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

/// A section `[consumers.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConsumerConfig {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) team: Option<String>,
    pub(crate) on: Vec<String>,
    pub(crate) emits: Vec<String>,
    pub(crate) goes: Goes,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Duration,
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) undeclared: Undeclared,
    pub(crate) limits: Vec<String>,
    pub(crate) lock: Option<KeySpec>,
    pub(crate) ordered: bool,
    pub(crate) fair_by: Option<KeySpec>,
    pub(crate) fair_weights: BTreeMap<String, u32>,
}

/// Where a consumer's deliveries go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Goes {
    /// To an HTTP endpoint, signed with the secrets of a file when there is one.
    Url { url: WebUrl, secret_file: Option<PathBuf> },
    /// Into the owner's inbox.
    Inbox,
}

/// What a consumer may emit besides what it declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undeclared {
    /// Nothing: the delivery becomes a dead letter.
    Refuse,
    /// Anything; the catalog records it.
    Record,
}

impl Choice for Undeclared {
    const WORDS: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("record", Self::Record)];
}

/// What `notify` may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notify {
    Inbox,
}

impl Choice for Notify {
    const WORDS: &'static [(&'static str, Self)] = &[("inbox", Self::Inbox)];
}

/// Which file the configuration is read from.
#[derive(Debug, Clone, Default)]
pub(crate) enum FileSource {
    /// None at all.
    #[default]
    Nothing,
    /// `acceptd.toml`, if it is there.
    IfThere,
    /// One that must be there.
    Named(PathBuf),
}

/// What the configuration is read from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Which file.
    pub(crate) file: FileSource,
    /// The environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Section, key, flag and text of each flag that was given.
    pub(crate) flags: Vec<(&'static str, &'static str, &'static str, String)>,
}

impl Sources {
    /// The process's environment; variables that are not Unicode set nothing.
    pub(crate) fn environment() -> Vec<(String, String)> {
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
    }
}

/// One option as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The section's path.
    pub(crate) section: Vec<String>,
    /// Its key.
    pub(crate) key: &'static str,
    /// Its value as TOML without secrets; None when it is not set and has no default.
    pub(crate) value: Option<String>,
    /// Where it was written; None for a default.
    pub(crate) origin: Option<Origin>,
}

/// A configuration with where each option comes from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) readings: Vec<Reading>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// A mistake in the configuration, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) origin: Option<Origin>,
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Reads the configuration.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let file = match &sources.file {
        FileSource::Nothing => None,
        FileSource::IfThere => Path::new(FILE).exists().then(|| FILE.into()),
        FileSource::Named(file) => Some(file.clone()),
    };
    let text = match &file {
        Some(path) => read_file(path).map_err(|problem| Problems(vec![problem]))?,
        None => String::new(),
    };
    let name = file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let mut tree = tree::parse(&name, &text).map_err(|problem| Problems(vec![problem]))?;
    let mut problems = tree::lay_environment(&mut tree, &sources.environment);
    for (section, key, flag, text) in &sources.flags {
        tree::lay_flag(&mut tree, section, key, flag, text);
    }
    let findings = Findings::default();
    let base = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let config = read::read(Section::root(&tree, &findings), base);
    problems.extend(findings.problems.into_inner());
    if problems.is_empty() {
        return Ok(Loaded { config, readings: findings.readings.into_inner(), file });
    }
    problems.sort_by_key(|problem| match &problem.origin {
        Some(Origin::File(_, line)) => (0, *line),
        _ => (1, 0),
    });
    Err(Problems(problems))
}

fn read_file(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
            _ => error.to_string(),
        };
        Problem { origin: None, message: format!("can't read the configuration {}: {why}", path.display()) }
    })
}

/// The effective value of an option as it is written in a file, for messages and tests.
#[cfg(test)]
pub(crate) fn shown<T: setting::Setting>(value: &T) -> String {
    value.show()
}
