//! The configuration: what an operator may set, read from a TOML file < the environment < flags.
//!
//! `tree` has what was written, `section` and `setting` understand it, this file says which options there are.
//! Whatever is wrong is found before anything starts, all of it at once, each with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptd::RetryPolicy;
use acceptd::engine::EventDeclaration;

mod print;
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
    pub(crate) events: BTreeMap<String, EventDeclaration>,
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
    pub(crate) on: Vec<String>,
    pub(crate) emits: Vec<String>,
    pub(crate) goes: Goes,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Duration,
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) undeclared: Undeclared,
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
    let config = read(Section::root(&tree, &findings), base);
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

fn read(mut root: Section<'_>, base: &Path) -> Config {
    let server = read_server(root.section("server"));
    let mut store = root.section("store");
    let url = store.get("url", StoreUrl("sqlite:acceptd.db".to_owned()));
    store.finish();
    let mut log = root.section("log");
    let level = log.get("level", "info".to_owned());
    if !is_level(&level) {
        log.wrong("level", format!("{level:?} is not a level such as \"info\" or \"warn,acceptd=debug\""));
    }
    let log_config = Log { level, format: log.get("format", LogFormat::Text) };
    log.finish();
    let events = root.named("events").into_iter().map(|(name, section)| read_event(name, section)).collect();
    let consumers =
        root.named("consumers").into_iter().filter_map(|(name, section)| read_consumer(name, section, base));
    let consumers = consumers.collect();
    root.finish();
    Config { server, store: url, log: log_config, events, consumers }
}

/// Whether this is a level for all, or levels by module, separated by commas.
fn is_level(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let part = |part: &str| {
        let (module, level) = part.split_once('=').map_or((None, part), |(module, level)| (Some(module), level));
        module.is_none_or(|module| !module.trim().is_empty()) && LEVELS.contains(&level.trim())
    };
    text.split(',').all(part)
}

fn read_server(mut section: Section<'_>) -> Server {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let settings = acceptd::Settings::default();
    let http = Limits::default();
    let server = Server {
        listen: section.get("listen", SocketAddr::from((Ipv4Addr::LOCALHOST, 8202))),
        insecure: section.get("insecure", false),
        public_url: section.optional("public_url"),
        backlog_max: section.get("backlog_max", NonZeroU64::new(settings.backlog_max).unwrap_or(NonZeroU64::MAX)),
        depth_max: section.get("depth_max", NonZeroU32::new(settings.depth_max).unwrap_or(NonZeroU32::MAX)),
        body_max: section.get("body_max", http.body),
        batch_body_max: section.get("batch_body_max", http.batch_body),
        batch_events_max: section.get("batch_events_max", http.batch_events),
        sse_clients_max: section.get("sse_clients_max", http.sse_clients),
        drain_grace: section.get("drain_grace", Duration::from_secs(25)),
        retention: section.get("retention", settings.retention),
        prune_every: section.get("prune_every", settings.prune_every),
        idempotency_retention: section.get("idempotency_retention", settings.idempotency_retention),
        lease: section.get("lease", settings.lease),
        target_lease: section.get("target_lease", settings.target_lease),
    };
    if !server.listen.ip().is_loopback() && !server.insecure {
        section.wrong(
            "listen",
            format!(
                "{} can be reached from other machines, and nothing asks them who they are; \
                 listen on 127.0.0.1, or start with --insecure",
                server.listen
            ),
        );
    }
    if let Some(WebUrl(url)) = &server.public_url
        && (url.query().is_some() || url.fragment().is_some())
    {
        section.wrong("public_url", "it must end with a path, without `?` and `#`");
    }
    if server.prune_every < Duration::from_millis(10) {
        section.wrong("prune_every", "it must be at least 10ms");
    }
    for (key, lease) in [("lease", server.lease), ("target_lease", server.target_lease)] {
        if !(Duration::from_secs(1)..=DAY).contains(&lease) {
            section.wrong(key, "it must be from 1s to 1d");
        }
    }
    section.finish();
    server
}

/// What the HTTP side takes at most, when nothing else is said.
struct Limits {
    body: Bytes,
    batch_body: Bytes,
    batch_events: NonZeroUsize,
    sse_clients: NonZeroUsize,
}

fn read_event(name: String, mut section: Section<'_>) -> (String, EventDeclaration) {
    let declaration = EventDeclaration {
        description: section.optional("description"),
        owner_required: section.get("owner_required", false),
    };
    if let Err(error) = acceptd::event::check_type(&name) {
        section.wrong("", error);
    }
    section.finish();
    (name, declaration)
}

fn read_consumer(name: String, mut section: Section<'_>, base: &Path) -> Option<ConsumerConfig> {
    check_name(&name, &section);
    let on: Vec<String> = section.optional("on").unwrap_or_default();
    let emits: Vec<String> = section.get("emits", Vec::new());
    if !section.has("on") {
        section.wrong("on", "it needs `on`: the event types that it takes");
    }
    check_types("on", &on, &section);
    check_types("emits", &emits, &section);
    let goes = read_goes(&mut section, base);
    let retry = read_retry(section.section("retry"));
    let timeout = section.get("timeout", acceptd::consumer::TIMEOUT);
    if timeout.is_zero() {
        section.wrong("timeout", "it must be above 0");
    }
    let concurrency = NonZeroUsize::new(acceptd::consumer::CONCURRENCY).unwrap_or(NonZeroUsize::MIN);
    let concurrency = section.get("concurrency", concurrency);
    let undeclared = section.get("undeclared", Undeclared::Refuse);
    if goes == Some(Goes::Inbox) {
        for key in ["emits", "secret_file", "undeclared"].into_iter().filter(|key| section.has(key)) {
            section.wrong(key, "the inbox has no use for it; it belongs to a consumer with `url`");
        }
    }
    section.finish();
    Some(ConsumerConfig { name, on, emits, goes: goes?, retry, timeout, concurrency, undeclared })
}

fn check_name(name: &str, section: &Section<'_>) {
    let fits = (1..=100).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fits {
        section.wrong("", "a consumer's name has 1 to 100 letters, digits, `-`, `_` and `.`");
    }
}

fn check_types(key: &str, kinds: &[String], section: &Section<'_>) {
    if kinds.is_empty() && section.has(key) && key == "on" {
        section.wrong(key, "it names no event type");
    }
    for kind in kinds {
        if let Err(error) = acceptd::event::check_type(kind) {
            section.wrong(key, error);
        } else if kind.trim_end_matches('*').contains('*') || (key == "emits" && kind.ends_with('*')) {
            let allowed = if key == "on" { "`*` may only be the last character" } else { "`*` is not allowed here" };
            section.wrong(key, format!("{kind:?}: {allowed}"));
        }
    }
}

fn read_goes(section: &mut Section<'_>, base: &Path) -> Option<Goes> {
    let written = (section.has("url"), section.has("notify"));
    let url: Option<WebUrl> = section.optional("url");
    let notify: Option<Notify> = section.optional("notify");
    let secret_file: Option<String> = section.optional("secret_file");
    match written {
        (true, true) => section.wrong("notify", "a consumer has either `url` or `notify`, not both"),
        (false, false) => section.wrong("url", "it needs `url`, or `notify = \"inbox\"`"),
        _ => {}
    }
    match (url, notify) {
        (Some(url), None) => Some(Goes::Url { url, secret_file: secret_file.map(|file| base.join(file)) }),
        (None, Some(Notify::Inbox)) => Some(Goes::Inbox),
        _ => None,
    }
}

fn read_retry(mut section: Section<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let max_attempts = NonZeroU32::new(default.max_attempts).unwrap_or(NonZeroU32::MIN);
    let policy = RetryPolicy {
        max_attempts: section.get("max_attempts", max_attempts).get(),
        base: section.get("base", default.base),
        max: section.get("max", default.max),
        give_up_after: section.get("give_up_after", default.give_up_after),
    };
    if policy.base > policy.max {
        let key = if section.has("base") { "base" } else { "max" };
        section.wrong(key, "`base` is longer than `max`");
    }
    section.finish();
    policy
}

impl Default for Limits {
    fn default() -> Self {
        let count = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            body: Bytes(1 << 20),
            batch_body: Bytes(16 << 20),
            batch_events: count(10_000),
            sse_clients: count(1_000),
        }
    }
}

/// The effective value of an option as it is written in a file, for messages and tests.
#[cfg(test)]
pub(crate) fn shown<T: setting::Setting>(value: &T) -> String {
    value.show()
}
