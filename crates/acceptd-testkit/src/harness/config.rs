//! The configuration file of a server under test: the only place of the harness that knows its keys.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// What a test sets; everything else keeps the server's defaults.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How long a target that answered 202 may be silent.
    pub target_lease: Option<&'static str>,
    /// Deliveries that may wait before accepting answers 503.
    pub backlog_max: Option<u64>,
    /// How long ended operations are kept, and how often those past it are removed.
    pub retention: Option<(&'static str, &'static str)>,
    /// How long attempts that run get to finish after SIGTERM.
    pub grace: Option<&'static str>,
    /// Event types without a consumer.
    pub events: Vec<&'static str>,
    /// The consumers.
    pub consumers: Vec<Consumer>,
}

/// An HTTP consumer: it takes the events of one type at a URL.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// The event type.
    pub on: String,
    /// Where it listens.
    pub url: String,
    /// What it may emit.
    pub emits: Vec<&'static str>,
    /// After so many attempts a delivery is a dead letter.
    pub max_attempts: u32,
    /// How many run at once.
    pub concurrency: u32,
    /// How long an attempt may take.
    pub timeout: &'static str,
}

impl Consumer {
    /// A consumer `name` of `on`, at the path of its name.
    pub fn new(name: &str, on: &str, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            on: on.to_owned(),
            url: format!("http://{address}/{name}"),
            emits: Vec::new(),
            max_attempts: 50,
            concurrency: 32,
            timeout: "10s",
        }
    }

    /// The same with other attempts.
    #[must_use]
    pub fn max_attempts(self, max_attempts: u32) -> Self {
        Self { max_attempts, ..self }
    }

    /// The same with another concurrency.
    #[must_use]
    pub fn concurrency(self, concurrency: u32) -> Self {
        Self { concurrency, ..self }
    }

    /// The same with another deadline for an attempt.
    #[must_use]
    pub fn timeout(self, timeout: &'static str) -> Self {
        Self { timeout, ..self }
    }

    /// The same that may emit this.
    #[must_use]
    pub fn emits(mut self, kind: &'static str) -> Self {
        self.emits.push(kind);
        self
    }
}

impl Config {
    /// The file's text, with the store in this file.
    pub fn to_toml(&self, database: &Path) -> String {
        let mut toml = format!("[store]\nurl = \"sqlite:{}\"\n[server]\n", database.display());
        let mut set = |key: &str, value: String| writeln!(toml, "{key} = {value}").expect("text");
        if let Some(lease) = self.target_lease {
            set("target_lease", format!("{lease:?}"));
        }
        if let Some(backlog) = self.backlog_max {
            set("backlog_max", backlog.to_string());
        }
        if let Some((retention, every)) = self.retention {
            set("retention", format!("{retention:?}"));
            set("prune_every", format!("{every:?}"));
        }
        if let Some(grace) = self.grace {
            set("drain_grace", format!("{grace:?}"));
        }
        for kind in &self.events {
            writeln!(toml, "[events.{kind:?}]").expect("text");
        }
        for Consumer { name, on, url, emits, max_attempts, concurrency, timeout } in &self.consumers {
            write!(
                toml,
                "[consumers.{name}]\non = {on:?}\nurl = {url:?}\nemits = {emits:?}\nconcurrency = {concurrency}\n\
                 timeout = {timeout:?}\nretry = {{ max_attempts = {max_attempts}, base = \"20ms\", max = \"200ms\" }}\n"
            )
            .expect("text");
        }
        toml
    }
}
