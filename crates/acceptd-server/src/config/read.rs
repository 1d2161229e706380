//! Which options there are: each section, its keys, their defaults, and what must hold between them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use acceptd::RetryPolicy;
use acceptd::limit::Limit;

use super::event;
use super::section::Section;
use super::{
    Bytes, CatalogConfig, Config, ConsumerConfig, Goes, Log, LogFormat, Notify, Server, StoreUrl, Undeclared, WebUrl,
};

/// Reads all sections.
pub(super) fn read(mut root: Section<'_>, base: &Path) -> Config {
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
    let catalog = read_catalog(root.section("catalog"));
    let events = root.named("events").into_iter().map(|(name, section)| event::read(name, section, base)).collect();
    let limits = root.named("limits").into_iter().map(|(name, section)| read_limit(name, section));
    let limits: Vec<Limit> = limits.collect();
    let consumers = root.named("consumers").into_iter();
    let consumers = consumers.filter_map(|(name, section)| read_consumer(name, section, base, &limits)).collect();
    root.finish();
    Config { server, store: url, log: log_config, catalog, events, limits, consumers }
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

fn read_catalog(mut section: Section<'_>) -> CatalogConfig {
    let settings = acceptd::Settings::default();
    let catalog = CatalogConfig {
        observe: section.get("observe", settings.observe),
        retention: section.get("retention", settings.observation_retention),
    };
    if catalog.retention < Duration::from_secs(24 * 3600) {
        section.wrong("retention", "it must be at least 1d: what is seen is counted by day");
    }
    section.finish();
    catalog
}

/// What the HTTP side takes at most, when nothing else is said.
struct Limits {
    body: Bytes,
    batch_body: Bytes,
    batch_events: NonZeroUsize,
    sse_clients: NonZeroUsize,
}

fn read_limit(name: String, mut section: Section<'_>) -> Limit {
    let limit = Limit {
        rate: section.optional("rate"),
        concurrency: section.optional::<NonZeroU32>("concurrency").map(NonZeroU32::get),
        key: section.optional("key"),
        adapt: section.get("adapt", false),
        ..Limit::new(name)
    };
    if let Err(error) = limit.check() {
        section.wrong("", error.message());
    }
    section.finish();
    limit
}

fn read_consumer(name: String, mut section: Section<'_>, base: &Path, declared: &[Limit]) -> Option<ConsumerConfig> {
    check_name(&name, &section);
    let (description, team) = (section.optional("description"), section.optional("team"));
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
    let limits: Vec<String> = section.get("limits", Vec::new());
    check_limits(&limits, declared, &section);
    let lock = section.optional("lock");
    let ordered = section.get("ordered", false);
    let fair_by = section.optional("fair_by");
    let fair_weights = section.get("fair_weights", BTreeMap::new());
    if goes == Some(Goes::Inbox) {
        for key in ["emits", "secret_file", "undeclared"].into_iter().filter(|key| section.has(key)) {
            section.wrong(key, "the inbox has no use for it; it belongs to a consumer with `url`");
        }
    }
    section.finish();
    Some(ConsumerConfig {
        name,
        description,
        team,
        on,
        emits,
        goes: goes?,
        retry,
        timeout,
        concurrency,
        undeclared,
        limits,
        lock,
        ordered,
        fair_by,
        fair_weights,
    })
}

fn check_name(name: &str, section: &Section<'_>) {
    let fits = (1..=100).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fits {
        section.wrong("", "a consumer's name has 1 to 100 letters, digits, `-`, `_` and `.`");
    }
}

fn check_limits(named: &[String], declared: &[Limit], section: &Section<'_>) {
    for name in named.iter().filter(|name| declared.iter().all(|limit| limit.name != **name)) {
        let near = acceptd::engine::nearest(name, declared.iter().map(|limit| limit.name.as_str()));
        let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        section.wrong("limits", format!("no limit is named {name:?}{hint}"));
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
