//! One run: clients that ask and consumers that answer all the time, a server that does not live long, and at the end
//! a server that may finish everything, and the check.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::checker::{Promise, Violation, check};
use super::config::Config;
use super::http::Client;
use super::ledger::Ledgers;
use super::load::{Load, Mix};
use super::receiver::{POISON_ATTEMPTS, Receivers};
use super::server::{Ended, Server, Site};
use super::{api, eventually};

/// After the last fault everything must end within this.
pub const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// For so long a server is waited for that was told to crash at a point which it may not come to.
const CRASH_PATIENCE: Duration = Duration::from_millis(1_500);
/// What attempts that run get to finish after SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
/// Clients that ask at the same time.
const CLIENTS: usize = 8;

/// What happens to the server in one cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL so long after it was ready.
    Kill(Duration),
    /// SIGKILL so long after its process was started, ready or not: recovery itself is interrupted.
    KillStarting(Duration),
    /// An abort at the n-th passage of a crash point.
    Crash(&'static str, u32),
    /// An event whose handling kills the server, again and again until acceptd gives it up.
    Poison,
    /// SIGTERM so long after it was ready: it must end well within its grace.
    Terminate(Duration),
}

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Clients and consumers make their choices by it.
    pub seed: u64,
    /// What clients ask for.
    pub mix: Mix,
    /// One for each cycle.
    pub faults: Vec<Fault>,
    /// The planted bug, if any.
    pub planted: Option<&'static str>,
    /// After the last fault everything must end within this.
    pub drained_within: Duration,
}

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// Every promise that was broken.
    pub violations: Vec<Violation>,
    cycles: usize,
    promised: usize,
    deliveries: usize,
    reruns: usize,
    recoveries: Vec<Duration>,
    drained_after: Duration,
}

impl Report {
    /// Whether this promise was broken.
    pub fn broke(&self, promise: Promise) -> bool {
        self.violations.iter().any(|violation| violation.promise == promise)
    }

    /// Half of the restarts accepted again within this.
    pub fn median_recovery(&self) -> Duration {
        self.recoveries[self.recoveries.len() / 2]
    }

    /// Panics with the violations, if there are any.
    pub fn assert_kept(&self) {
        let shown: Vec<_> = self.violations.iter().take(20).map(ToString::to_string).collect();
        assert!(shown.is_empty(), "{} violations:\n{}", self.violations.len(), shown.join("\n"));
    }

    fn count(&self, promises: &[Promise]) -> usize {
        self.violations.iter().filter(|violation| promises.contains(&violation.promise)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cycles, promised, deliveries, reruns, .. } = self;
        let at = |percent: usize| self.recoveries[(self.recoveries.len() - 1) * percent / 100].as_millis();
        let (p50, p99, max) = (at(50), at(99), at(100));
        let lost = self.count(&[Promise::NothingLost, Promise::EverythingEnds]);
        let torn = self.count(&[Promise::Whole]);
        let double = self.count(&[Promise::SettledOnce, Promise::NothingInvented, Promise::Fenced]);
        write!(
            f,
            "{cycles} cycles, {promised} accepts promised, {deliveries} deliveries, {reruns} re-runs, accepting again \
             after p50 {p50} ms, p99 {p99} ms, max {max} ms, drained in {} ms: {lost} lost, {torn} torn, \
             {double} double, {} violations",
            self.drained_after.as_millis(),
            self.violations.len()
        )
    }
}

/// Plays a run.
pub async fn play(plan: Plan) -> Report {
    let mut world = World::start(&plan).await;
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for name in 0..CLIENTS {
        clients.spawn(world.load(&plan, stopped.clone()).client(name, plan.seed.wrapping_add(name as u64)));
    }
    for (number, fault) in plan.faults.iter().enumerate() {
        world.cycle(number, fault, &world.load(&plan, stopped.clone())).await;
    }
    // The last server may finish.
    let server = world.start_server(None).await.expect("it starts when nothing is wrong");
    let ended_since = Instant::now();
    stop.send(true).expect("clients listen");
    while let Some(client) = clients.join_next().await {
        client.expect("a client does not panic");
    }
    let drained = world.drain(&server, plan.drained_within).await;
    let drained_after = ended_since.elapsed();
    api::write_down(&mut server.client(), &world.ledgers).await;
    world.log(server.kill().await);
    let mut violations = check(&world.ledgers);
    violations.extend(drained.err());
    violations.extend(world.panics());
    world.report(violations, drained_after)
}

struct World {
    site: Site,
    config: Config,
    planted: Option<&'static str>,
    ledgers: Arc<Ledgers>,
    receivers: Receivers,
    recoveries: Vec<Duration>,
    cycles: usize,
    logs: String,
}

impl World {
    async fn start(plan: &Plan) -> Self {
        let (site, ledgers) = (Site::new(), Arc::new(Ledgers::default()));
        let receivers = Receivers::start(Arc::clone(&ledgers), site.address(), plan.seed).await;
        let config = Config {
            target_lease: Some("1s"),
            grace: Some("1s"),
            // Prune has nothing to remove, and passes its crash point all the same.
            retention: Some(("1h", "50ms")),
            consumers: receivers.consumers(),
            ..Config::default()
        };
        let (recoveries, logs) = (Vec::new(), String::new());
        Self { site, config, planted: plan.planted, ledgers, receivers, recoveries, cycles: 0, logs }
    }

    fn load(&self, plan: &Plan, stop: watch::Receiver<bool>) -> Load {
        Load { server: self.site.address(), mix: plan.mix, ledgers: Arc::clone(&self.ledgers), stop }
    }

    /// Starts the server on what the last one left. None when it crashed before it was ready, as it was told to.
    async fn start_server(&mut self, crash_at: Option<&str>) -> Option<Server> {
        match self.site.start(&self.config, &self.environment(crash_at)).await {
            Ok(server) => {
                self.recoveries.push(server.ready_after);
                Some(server)
            }
            Err(ended) => {
                assert!(crash_at.is_some(), "the server did not start ({}):\n{}", ended.status, ended.stderr);
                self.log(ended);
                None
            }
        }
    }

    fn environment<'a>(&self, crash_at: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
        let crash_at = crash_at.map(|point| ("ACCEPTD_CRASH_AT", point));
        crash_at.into_iter().chain(self.planted.map(|bug| ("ACCEPTD_PLANTED", bug))).collect()
    }

    async fn cycle(&mut self, number: usize, fault: &Fault, load: &Load) {
        self.cycles += 1;
        match fault {
            Fault::Kill(after) => {
                let server = self.start_server(None).await.expect("it starts when nothing is wrong");
                // Not a wait for something: when exactly it dies is the fault.
                tokio::time::sleep(*after).await;
                self.log(server.kill().await);
            }
            Fault::KillStarting(after) => {
                let server = self.site.spawn(&self.config, &self.environment(None));
                // As above.
                tokio::time::sleep(*after).await;
                self.log(server.kill().await);
            }
            Fault::Crash(point, passage) => {
                let Some(mut server) = self.start_server(Some(&format!("{point}:{passage}"))).await else { return };
                match server.ended(CRASH_PATIENCE).await {
                    Some(ended) => self.log(ended),
                    None => self.log(server.kill().await),
                }
            }
            Fault::Terminate(after) => {
                let mut server = self.start_server(None).await.expect("it starts when nothing is wrong");
                // As above.
                tokio::time::sleep(*after).await;
                server.signal("TERM");
                let ended = server.ended(GRACE + Duration::from_secs(3)).await.expect("it ends within its grace");
                assert!(ended.status.success(), "SIGTERM: {}\n{}", ended.status, ended.stderr);
                self.log(ended);
            }
            Fault::Poison => {
                let mut server = self.start_server(None).await.expect("it starts when nothing is wrong");
                load.one("a.poison", &format!("poison-{number}")).await;
                for _ in 0..2 * POISON_ATTEMPTS {
                    if tokio::time::timeout(Duration::from_secs(3), self.receivers.poisoned()).await.is_err() {
                        break; // Given up: the server survives.
                    }
                    self.log(server.kill().await);
                    server = self.start_server(None).await.expect("it starts when nothing is wrong");
                }
                self.log(server.kill().await);
            }
        }
    }

    /// Waits until every operation has ended.
    async fn drain(&self, server: &Server, limit: Duration) -> Result<(), Violation> {
        let is_drained = || async {
            let mut client: Client = server.client();
            (api::count_live(&mut client).await == 0).then_some(())
        };
        let drained = eventually("drained", 2 * limit, is_drained);
        tokio::time::timeout(limit, drained).await.map_err(|_| Violation {
            promise: Promise::EverythingEnds,
            what: format!("something still waits {limit:?} after the last fault"),
        })
    }

    fn log(&mut self, ended: Ended) {
        self.logs.push_str(&ended.stderr);
    }

    fn panics(&self) -> Option<Violation> {
        let line = self.logs.lines().find(|line| line.contains("panicked at"))?;
        Some(Violation { promise: Promise::OnlyRefuses, what: line.to_owned() })
    }

    fn report(mut self, violations: Vec<Violation>, drained_after: Duration) -> Report {
        self.recoveries.sort();
        let attempts = self.ledgers.attempts();
        let ran: std::collections::HashSet<_> = attempts.iter().map(|attempt| &attempt.delivery).collect();
        let operations = self.ledgers.operations();
        let accepted = |answers: &[super::ledger::Answered]| {
            answers.iter().any(|answer| matches!(answer, super::ledger::Answered::Accepted { .. }))
        };
        Report {
            violations,
            cycles: self.cycles,
            promised: self.ledgers.requests().values().filter(|(_, answers)| accepted(answers)).count(),
            deliveries: operations.iter().map(|operation| operation.deliveries.len()).sum(),
            reruns: attempts.len() - ran.len(),
            recoveries: self.recoveries,
            drained_after,
        }
    }
}
