//! How an engine is put together and started.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::{Catalog, CatalogLimit, EventDeclaration};
use crate::consumer::{Consumer, NamedLimit, Reports, States};
use crate::engine::chance::Chance;
use crate::engine::dispatch::Dispatcher;
use crate::engine::observe::Observer;
use crate::engine::pace::Pacer;
use crate::engine::route::Router;
use crate::engine::schemas::Schemas;
use crate::engine::{Attempts, Changes, Engine, Inner, catalog, check_consumers, elsewhere, maintenance, submitted};
use crate::limit::{Limit, Policy};
use crate::store::{Register, Serving};
#[cfg(feature = "testing")]
use crate::target::Target;
use crate::telemetry::{EngineMeter, SpanSink};
use crate::{Clock, Error, Event, Ids, Result, SteadyClock, Store};

/// What an operator may set; the defaults fit one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Deliveries that may wait before accepting answers 503.
    pub backlog_max: u64,
    /// How many events may follow one another in a chain.
    pub depth_max: u32,
    /// How long a node may be silent before its deliveries run elsewhere.
    pub lease: Duration,
    /// How long a target that answered 202 may be silent.
    pub target_lease: Duration,
    /// How long ended operations are kept.
    pub retention: Duration,
    /// How long idempotency keys are kept.
    pub idempotency_retention: Duration,
    /// How often work is looked for without a wake-up, should one get lost.
    pub poll_every: Duration,
    /// How often expired leases and heartbeats are looked at.
    pub rescue_every: Duration,
    /// How often operations past their retention are removed.
    pub prune_every: Duration,
    /// The address that clients reach the API at: events name their schemas by it. Without one they name none.
    pub public_url: Option<String>,
    /// Whether what happens at the edges of the catalog is counted.
    pub observe: bool,
    /// For how many days these counts are kept.
    pub observation_retention: Duration,
    /// How often gauges of what waits are set; zero is never.
    pub measure_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            backlog_max: 5_000_000,
            depth_max: 32,
            lease: Duration::from_secs(10),
            target_lease: Duration::from_secs(30),
            retention: 7 * DAY,
            idempotency_retention: DAY,
            poll_every: Duration::from_secs(5),
            rescue_every: Duration::from_millis(500),
            prune_every: Duration::from_secs(60),
            public_url: None,
            observe: true,
            observation_retention: 30 * DAY,
            measure_every: Duration::from_secs(5),
        }
    }
}

/// Puts an engine together.
pub struct Acceptd {
    store: Result<Arc<dyn Store>>,
    clock: Option<Arc<dyn Clock>>,
    settings: Settings,
    chance: Chance,
    states: States,
    consumers: Vec<Consumer>,
    declared: BTreeMap<String, EventDeclaration>,
    limits: Vec<Limit>,
    problem: Option<Error>,
    spans: Option<Arc<dyn SpanSink>>,
}

impl Acceptd {
    /// An engine on this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::on(Ok(store))
    }

    /// An engine on the store that a URL names: `sqlite:FILE`, or `memory:` for tests. A store that can't be opened
    /// is reported by [`Acceptd::start`].
    pub fn open(url: &str) -> Self {
        Self::on(crate::store::open(url))
    }

    fn on(store: Result<Arc<dyn Store>>) -> Self {
        Self {
            store,
            clock: None,
            settings: Settings::default(),
            chance: Chance::default(),
            states: States::default(),
            consumers: Vec::new(),
            declared: BTreeMap::new(),
            limits: Vec::new(),
            problem: None,
            spans: None,
        }
    }

    /// Replaces the store's clock, which is the machine's unless the store is shared.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Replaces the settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Gives spans of everything that happens to this sink. Without one none are made.
    #[must_use]
    pub fn spans(mut self, sink: Arc<dyn SpanSink>) -> Self {
        self.spans = Some(sink);
        self
    }

    /// Lets what is left to chance repeat, such as by how much waits before another attempt differ: for tests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.chance = Chance::seeded(seed);
        self
    }

    /// Gives handlers a value, which they take as `State<T>`.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Declares a limit; consumers name it to be held by it.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Declares the limit of a Rust type, which signatures ask for as [`crate::Permits`].
    #[must_use]
    pub fn limit_of<L: NamedLimit>(mut self) -> Self {
        match L::limit() {
            Ok(limit) if limit.name == L::NAME => self.limit(limit),
            Ok(limit) => {
                let message = format!("the limit {} calls itself {}", L::NAME, limit.name);
                self.problem = Some(Error::invalid(message));
                self
            }
            Err(error) => {
                self.problem = Some(error.about(&format!("limit {}", L::NAME)));
                self
            }
        }
    }

    /// Adds a consumer.
    #[must_use]
    pub fn consumer(mut self, consumer: Consumer) -> Self {
        self.consumers.push(consumer);
        self
    }

    /// Declares an event type: it is accepted also while no consumer takes it.
    #[must_use]
    pub fn event(mut self, kind: impl Into<String>, declaration: EventDeclaration) -> Self {
        self.declared.insert(kind.into(), declaration);
        self
    }

    /// Declares the event type of a Rust type.
    #[must_use]
    pub fn event_of<E: Event>(self) -> Self {
        self.event(E::TYPE, EventDeclaration::of::<E>())
    }

    /// What it declares, as the catalog tells it, without starting anything.
    ///
    /// # Errors
    /// `InvalidArgument` for what can't work, as [`Acceptd::check`].
    pub fn catalog(&self) -> Result<Catalog> {
        let (limits, policies) = self.policies()?;
        let describe = |(consumer, policy): (&Consumer, &Policy)| catalog::describe(consumer, policy);
        let consumers = self.consumers.iter().zip(&policies).map(describe).collect();
        let limits = limits.values().filter(|limit| !limit.private).map(CatalogLimit::from).collect();
        Ok(Catalog::declared(&self.declarations(), consumers, limits))
    }

    /// What is said of each event type: what was declared for it, and for the rest what the Rust type says that emits
    /// it, or else takes it.
    fn declarations(&self) -> BTreeMap<String, EventDeclaration> {
        let mut said: BTreeMap<String, EventDeclaration> = BTreeMap::new();
        let emitted = |kind: &str, consumer: &Consumer| consumer.emits.iter().any(|emits| emits == kind);
        let of = |emits: bool| {
            let all = self.consumers.iter().flat_map(|consumer| consumer.says.iter().map(move |says| (consumer, says)));
            all.filter(move |(consumer, (kind, _))| emitted(kind, consumer) == emits)
        };
        for (_, (kind, declaration)) in of(true).chain(of(false)) {
            said.entry((*kind).to_owned()).or_insert_with(|| declaration.clone());
        }
        for (kind, declaration) in &self.declared {
            let says = said.get(kind).cloned().unwrap_or_default();
            said.insert(kind.clone(), declaration.clone().or(&says));
        }
        said
    }

    /// Finds what can't work, without touching the store.
    ///
    /// # Errors
    /// `InvalidArgument` that names the consumer, the event type or the limit.
    pub fn check(&self) -> Result<()> {
        self.policies()?;
        self.schemas(&self.declarations()).map(drop)
    }

    fn schemas(&self, declared: &BTreeMap<String, EventDeclaration>) -> Result<Schemas> {
        Schemas::compile(declared, self.settings.public_url.as_deref())
    }

    /// Every limit by name, and how each consumer's deliveries wait for them.
    fn policies(&self) -> Result<(BTreeMap<String, Limit>, Vec<Policy>)> {
        if let Some(problem) = &self.problem {
            return Err(Error::invalid(problem.message()));
        }
        check_consumers(&self.consumers, &self.states)?;
        for kind in self.declared.keys() {
            crate::event::check_type(kind)?;
        }
        if self.settings.lease.is_zero() || self.settings.target_lease.is_zero() {
            return Err(Error::invalid("the leases must be above 0"));
        }
        let limits = check_limits(&self.limits, &self.consumers)?;
        let policies = self.consumers.iter().map(|consumer| consumer.policy(&limits)).collect::<Result<_>>()?;
        Ok((limits, policies))
    }

    /// Checks everything, registers the node with the store, and starts to run what waits.
    ///
    /// # Errors
    /// `InvalidArgument` for what can't work; the store's own errors.
    pub async fn start(self) -> Result<Engine> {
        let (limits, policies) = self.policies()?;
        let declared = self.declarations();
        let schemas = self.schemas(&declared)?;
        let store = self.store?;
        let clock = self.clock.or_else(|| store.clock()).unwrap_or_else(|| Arc::new(SteadyClock::default()));
        let now = clock.now();
        let servings: Vec<Serving> = self.consumers.iter().zip(&policies).map(serving).collect();
        let router = Router::new(&servings, declared.keys(), self.consumers.iter().flat_map(|c| &c.emits));
        let meter = EngineMeter::new(router.known());
        let node = Ids::seeded(0, self.chance.seed()).next(now);
        let limits: Vec<Limit> = limits.into_values().collect();
        let register = Register { node, consumers: servings, limits: limits.clone(), lease: self.settings.lease, now };
        store.register(register).await?;
        let types = router.known().cloned().chain(router.patterns()).collect();
        let others_submit = store.know_types(types).await?;
        let dispatchers = Dispatcher::for_all(self.consumers.into_iter().zip(policies).collect());
        let served = dispatchers.iter().flat_map(|dispatcher| dispatcher.served().iter().cloned());
        let served = served.map(|served| (served.consumer().name.clone(), served)).collect();
        let engine = Engine(Arc::new(Inner {
            store,
            clock,
            settings: self.settings,
            chance: self.chance,
            node,
            router,
            declared,
            schemas,
            limits,
            served,
            pacer: Pacer::new(),
            steady: tokio::sync::RwLock::default(),
            freed: Notify::new(),
            states: Arc::new(self.states),
            reports: Arc::new(Reports::default()),
            running: Attempts::default(),
            closures: RwLock::default(),
            changes: Changes::default(),
            observer: Observer::default(),
            meter,
            spans: self.spans,
            draining: CancellationToken::new(),
            stopped: CancellationToken::new(),
            tracker: TaskTracker::new(),
        }));
        // What the last run of this process left behind is rescued before anything new starts.
        engine.heartbeat().await?;
        maintenance::rescue_once(&engine).await?;
        dispatchers.into_iter().for_each(|dispatcher| dispatcher.start(&engine));
        maintenance::start(&engine);
        if others_submit {
            submitted::start(&engine);
        }
        elsewhere::follow(&engine);
        Ok(engine)
    }
}

/// What a test makes of what a program put together.
#[cfg(feature = "testing")]
impl Acceptd {
    /// Changes the settings.
    pub(crate) fn with_settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Takes another store.
    pub(crate) fn with_store(self, store: Arc<dyn Store>) -> Self {
        Self { store: Ok(store), ..self }
    }

    /// Puts something in front of the target of each consumer.
    pub(crate) fn with_targets(mut self, wrap: impl Fn(&str, Arc<dyn Target>) -> Arc<dyn Target>) -> Self {
        for consumer in &mut self.consumers {
            consumer.target = wrap(&consumer.name, Arc::clone(&consumer.target));
        }
        self
    }

    /// The names of its consumers, and those of its limits.
    pub(crate) fn names(&self) -> (Vec<String>, Vec<String>) {
        let locks = self.consumers.iter().filter_map(lock);
        let limits = self.limits.iter().cloned().chain(locks).map(|limit| limit.name);
        (self.consumers.iter().map(|consumer| consumer.name.clone()).collect(), limits.collect())
    }
}

fn serving((consumer, policy): (&Consumer, &Policy)) -> Serving {
    Serving {
        on: consumer.on.clone(),
        consumer: consumer.name.clone(),
        weight: consumer.target.weight(),
        policy: policy.clone(),
    }
}

/// Every limit by name: those that are declared, and the locks of consumers.
fn check_limits(declared: &[Limit], consumers: &[Consumer]) -> Result<BTreeMap<String, Limit>> {
    let mut limits = BTreeMap::new();
    for limit in declared.iter().cloned().chain(consumers.iter().filter_map(lock)) {
        limit.check()?;
        if let Some(other) = limits.insert(limit.name.clone(), limit) {
            return Err(Error::invalid(format!("two limits are named {}", other.name)));
        }
    }
    Ok(limits)
}

fn lock(consumer: &Consumer) -> Option<Limit> {
    consumer.lock.as_ref().map(|key| Limit::lock(&consumer.name, key.clone()))
}
