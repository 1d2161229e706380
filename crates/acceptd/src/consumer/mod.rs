//! Consumers: who takes which events, where they go, and by which policy.
//!
//! A Rust consumer is an async function whose signature says everything: the event it takes, what it may emit
//! ([`Emits`]), and what else it needs ([`State`], [`Steps`], [`Progress`], [`Notify`], [`Permits`], [`Limits`],
//! [`Context`]). Each of these describes itself, so that the catalog knows it without running anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod argument;
mod context;
mod departure;
mod emits;
mod handler;
mod limits;
mod notify;
mod permits;
mod progress;
mod steps;

pub use argument::{Argument, Description, State, States};
pub use context::{Context, Running};
pub use departure::Departure;
pub use emits::{Declares, Emits, EventSet};
pub use handler::{Handler, IntoOutcome};
pub use limits::{Acquiring, HeldPermit, LimitHandle, Limiter, Limits};
pub use notify::Notify;
pub use permits::{NamedLimit, Permits};
pub use progress::{Progress, Reports};
pub use steps::Steps;

use crate::catalog::EventDeclaration;
use crate::duration::IntoDuration;
use crate::limit::{KeySpec, Limit, LimitUse, Policy};
use crate::target::{Function, Inbox, Target};
use crate::{Error, Event, Result, RetryPolicy};

/// Deliveries of one consumer that may run at once on a node, when it does not say.
pub const CONCURRENCY: usize = 64;

/// How long an attempt may take, when its consumer does not say.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The last part of a type's path: `StripeClient` of `shop::clients::StripeClient`, with its arguments as they are.
fn short_name(name: &str) -> String {
    let end = name.find('<').unwrap_or(name.len());
    let start = name[..end].rfind("::").map_or(0, |at| at + 2);
    name[start..].to_owned()
}

/// Who takes what: which event types, which target, which policy, which events it may emit.
///
/// The attribute `#[consumer]` writes it beside an async function:
///
/// ```
/// use acceptd::{Done, Emits, Event, Outcome, consumer};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize)] #[event("ec2.start", no_schema)] struct StartEc2 { ami: String }
/// # #[derive(Event, Serialize, Deserialize)] #[event("ec2.started", no_schema)] struct Ec2Started { id: String }
///
/// /// Launches the machine that someone asked for.
/// #[consumer(limit = "cloud-api", lock = "/ami", retry = 8, timeout = "5m")]
/// async fn start_ec2(event: StartEc2, mut out: Emits<(Ec2Started,)>) -> Outcome {
///     out.emit(Ec2Started { id: format!("i-{}", event.ami) });
///     Done::new()
/// }
///
/// let app = acceptd::Acceptd::open("memory:")
///     .limit(acceptd::Limit::new("cloud-api").concurrency(2))
///     .consumer(start_ec2::consumer());
/// assert_eq!(app.catalog()?.consumer("start-ec2").unwrap().emits, ["ec2.started"]);
/// # Ok::<(), acceptd::Error>(())
/// ```
///
/// Its options are `name` (the function's with `-` if not said), `limit` (once for each; a name, or a type that is a
/// [`NamedLimit`]), `lock`, `retry`, `timeout`, `concurrency`, `ordered`, `fair_by` and `team`: each is the method of
/// that name here. The doc comment, the file and the line go into the catalog. The function stays as it is.
pub struct Consumer {
    pub(crate) name: String,
    pub(crate) on: Vec<String>,
    pub(crate) emits: Vec<String>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Duration,
    pub(crate) concurrency: usize,
    pub(crate) lets_undeclared_pass: bool,
    pub(crate) limits: Vec<String>,
    pub(crate) lock: Option<KeySpec>,
    pub(crate) ordered: bool,
    pub(crate) fair_by: Option<KeySpec>,
    pub(crate) weights: BTreeMap<String, u32>,
    /// What it says of the event types that it takes and emits.
    pub(crate) says: Vec<(&'static str, EventDeclaration)>,
    pub(crate) about: About,
    problem: Option<Error>,
}

/// What only the catalog wants to know of a consumer.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) description: Option<String>,
    pub(crate) team: Option<String>,
    pub(crate) place: Option<String>,
    pub(crate) notifies: bool,
    pub(crate) permits: Vec<String>,
    pub(crate) uses: Vec<String>,
}

impl Consumer {
    /// A consumer that is an async function. The event type and what it may emit come from the function's signature.
    pub fn new<H: Handler<Args>, Args: 'static>(name: impl Into<String>, handler: H) -> Self {
        let Description { emits: says, needs, permits, notifies } = H::describe();
        let emits = says.iter().map(|(kind, _)| (*kind).to_owned()).collect();
        let takes = [(H::Event::TYPE, EventDeclaration::of::<H::Event>())];
        let says = says.into_iter().chain(takes).collect();
        let uses = needs.into_iter().map(|(_, name)| short_name(name)).collect();
        let permits = permits.into_iter().map(str::to_owned).collect();
        let about = About { notifies, permits, uses, ..About::default() };
        Self { emits, says, about, ..Self::to(name, [H::Event::TYPE], Arc::new(Function::new(handler))) }
    }

    /// A consumer with some other target. `on` are event types: exact, or a prefix such as `ec2.*`.
    pub fn to(
        name: impl Into<String>,
        on: impl IntoIterator<Item = impl Into<String>>,
        target: Arc<dyn Target>,
    ) -> Self {
        Self {
            name: name.into(),
            on: on.into_iter().map(Into::into).collect(),
            emits: Vec::new(),
            target,
            retry: RetryPolicy::default(),
            timeout: TIMEOUT,
            concurrency: CONCURRENCY,
            lets_undeclared_pass: false,
            limits: Vec::new(),
            lock: None,
            ordered: false,
            fair_by: None,
            weights: BTreeMap::new(),
            says: Vec::new(),
            about: About::default(),
            problem: None,
        }
    }

    /// A consumer that turns events of a type into notifications.
    pub fn inbox(name: impl Into<String>, on: impl Into<String>) -> Self {
        Self::to(name, [on], Arc::new(Inbox))
    }

    /// Says for people what it does.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.about.description = Some(description.into());
        self
    }

    /// Says who answers for it.
    #[must_use]
    pub fn team(mut self, team: impl Into<String>) -> Self {
        self.about.team = Some(team.into());
        self
    }

    /// Says where it is written: a file and a line.
    #[must_use]
    pub fn place(mut self, file: &str, line: u32) -> Self {
        self.about.place = Some(format!("{file}:{line}"));
        self
    }

    /// Declares events that it may emit, in addition to those of its signature.
    #[must_use]
    pub fn emits(mut self, kinds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.emits.extend(kinds.into_iter().map(Into::into));
        self
    }

    /// How many attempts there are in all, at least 1.
    #[must_use]
    pub fn retry(mut self, max_attempts: u32) -> Self {
        self.retry.max_attempts = max_attempts;
        self
    }

    /// The whole retry policy.
    #[must_use]
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How long an attempt may take: a [`Duration`], or text such as `"5m"`.
    #[must_use]
    pub fn timeout(mut self, timeout: impl IntoDuration) -> Self {
        match timeout.into_duration() {
            Ok(timeout) => self.timeout = timeout,
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// How many of its deliveries may run at once on one node.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Holds its deliveries by a limit of this name; several limits are taken together or not at all.
    #[must_use]
    pub fn limit(mut self, name: impl Into<String>) -> Self {
        self.limits.push(name.into());
        self
    }

    /// Lets one delivery run at a time for each value of `"/pointer"` into the data, of `"owner"` or of `"subject"`.
    #[must_use]
    pub fn lock(mut self, key: &str) -> Self {
        match key.parse() {
            Ok(key) => self.lock = Some(key),
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// Runs the deliveries of each key of its limits strictly one after the other, in the order of accepting; one that
    /// is tried again holds up those behind it. Without a key all of its deliveries are one such row.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Lets the values of this key take turns, in place of owners.
    #[must_use]
    pub fn fair_by(mut self, key: &str) -> Self {
        match key.parse() {
            Ok(key) => self.fair_by = Some(key),
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// Gives an owner, or a value of `fair_by`, so many turns in a row.
    #[must_use]
    pub fn weight(mut self, of: impl Into<String>, turns: u32) -> Self {
        self.weights.insert(of.into(), turns);
        self
    }

    /// How its deliveries wait, by the limits that are declared.
    pub(crate) fn policy(&self, limits: &BTreeMap<String, Limit>) -> Result<Policy> {
        let wrong = |what: String| Error::invalid(format!("consumer {}: {what}", self.name));
        let mut uses = Vec::new();
        for name in &self.limits {
            let limit = limits.get(name).ok_or_else(|| {
                let hint = crate::engine::nearest(name, limits.keys().map(String::as_str));
                let hint = hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                wrong(format!("no limit is named {name:?}{hint}"))
            })?;
            uses.push(LimitUse { limit: name.clone(), key: limit.key.clone() });
        }
        if let Some(key) = &self.lock {
            uses.push(LimitUse { limit: Limit::lock(&self.name, key.clone()).name, key: Some(key.clone()) });
        }
        uses.sort_by(|one, other| one.limit.cmp(&other.limit));
        uses.dedup();
        let mut keys = uses.iter().filter_map(|used| used.key.as_ref());
        if let (true, Some(first)) = (self.ordered, keys.next())
            && let Some(other) = keys.find(|key| *key != first)
        {
            return Err(wrong(format!("ordered needs one key, and its limits have {first} and {other}")));
        }
        if let Some((of, _)) = self.weights.iter().find(|(_, turns)| !(1..=1_000).contains(*turns)) {
            return Err(wrong(format!("the weight of {of} must be from 1 to 1,000")));
        }
        let (fair_by, weights) = (self.fair_by.clone(), self.weights.clone());
        Ok(Policy { limits: uses, ordered: self.ordered, fair_by, weights })
    }

    /// Lets events that it emits without having declared them pass.
    #[must_use]
    pub fn let_undeclared_pass(mut self) -> Self {
        self.lets_undeclared_pass = true;
        self
    }

    /// Whether it declares that it may emit events of this type.
    pub(crate) fn declares(&self, kind: &str) -> bool {
        self.emits.iter().any(|emits| crate::event::matches(emits, kind))
    }

    pub(crate) fn check(&self, states: &States) -> Result<()> {
        let wrong = |what: String| Err(Error::invalid(format!("consumer {}: {what}", self.name)));
        if let Some(problem) = &self.problem {
            return wrong(problem.to_string());
        }
        let name_fits = !self.name.is_empty()
            && self.name.len() <= 100
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !name_fits {
            return wrong("a name has 1 to 100 letters, digits, '-', '_' and '.'".into());
        }
        if self.on.is_empty() {
            return wrong("it takes no event type".into());
        }
        for kind in self.on.iter().chain(&self.emits) {
            crate::event::check_type(kind)?;
        }
        if self.retry.max_attempts == 0 {
            return wrong("at least 1 attempt is needed".into());
        }
        if self.concurrency == 0 || self.timeout.is_zero() {
            return wrong("concurrency and timeout must be above 0".into());
        }
        self.target.check(states).or_else(|error| wrong(error.to_string()))
    }
}
