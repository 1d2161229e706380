//! One run: batches for many accounts, services that work on them, and faults that hit both sides and the clock.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::sync::watch;

use super::audit::{Excess, excesses};
use super::cast::{ACCOUNTS, CONSUMERS, Cast, ZONES};
use super::clock::Clock;
use super::service::{Service, Visit};
use super::stamp;
use crate::harness::http::Client;
use crate::harness::ledger::Ledger;
use crate::harness::server::{Server, Site};
use crate::harness::{api, eventually};

/// Items of one batch.
const BATCH: usize = 100;
/// Items that may wait before clients ask for more.
const AHEAD: usize = 3_000;
/// Clients that ask at the same time.
const CLIENTS: usize = 2;
/// After the last fault everything must end within this.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything is chosen by it.
    pub seed: u64,
    /// Clients stop when services were visited so often.
    pub executions: usize,
    /// One of so many visits is refused.
    pub refuses: u32,
    /// The planted bug, if any.
    pub planted: Option<&'static str>,
}

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// What was too much.
    pub excesses: Vec<Excess>,
    /// How often services were visited.
    pub executions: usize,
    refused: usize,
    faults: Faults,
    /// Each of them, in seconds since the first visit.
    diary: Vec<String>,
    took: Duration,
}

/// What was broken how often.
#[derive(Debug, Default, Clone, Copy)]
struct Faults {
    kills: usize,
    stops: usize,
    deaths: usize,
    pauses: usize,
    steps: usize,
}

impl Report {
    /// Panics with what was too much, if there is any.
    pub fn assert_kept(&self) {
        let shown: Vec<_> = self.excesses.iter().take(20).map(ToString::to_string).collect();
        let (count, shown, diary) = (self.excesses.len(), shown.join("\n"), self.diary.join("\n"));
        assert!(shown.is_empty(), "{count} limits were exceeded:\n{shown}\nWhat was broken when:\n{diary}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { excesses, executions, refused, took, .. } = self;
        let Faults { kills, stops, deaths, pauses, steps } = self.faults;
        write!(
            f,
            "{executions} executions in {:.0} s, {refused} refused with 429; the server was killed {kills} times and \
             stopped {stops} times, services died {deaths} times and stopped {pauses} times, the clock was set {steps} \
             times: {} limits exceeded",
            took.as_secs_f64(),
            excesses.len()
        )
    }
}

/// Plays a run.
pub async fn play(plan: Plan) -> Report {
    let started = Instant::now();
    let mut world = World::start(&plan).await;
    let (stop, stopped) = watch::channel(false);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|name| {
            tokio::spawn(ask(world.site.address(), Arc::clone(&world.visits), plan.clone(), name, stopped.clone()))
        })
        .collect();
    let mut server = world.start_server().await;
    while world.visits.len() < plan.executions {
        server = world.fault(server).await;
    }
    stop.send(true).expect("clients listen");
    for client in clients {
        client.await.expect("a client does not panic");
    }
    drain(&server).await;
    server.kill().await;
    let visits = world.visits.entries();
    let first = visits.iter().map(|visit| visit.arrived).min().unwrap_or_default();
    let diary = world.diary.iter().map(|(at, what)| format!("{:.3} s: {what}", (at - first) as f64 / 1e9));
    Report {
        diary: diary.collect(),
        excesses: excesses(&world.cast, &visits),
        executions: visits.len(),
        refused: visits.iter().filter(|visit| visit.refused).count(),
        faults: world.faults,
        took: started.elapsed(),
    }
}

/// Waits until every operation has ended.
async fn drain(server: &Server) {
    let is_drained = || async {
        // Listing what is left takes the server some time, which it needs for what is left.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let mut client: Client = server.client();
        (api::count_live(&mut client).await == 0).then_some(())
    };
    let drained = eventually("everything ends", 2 * DRAINED_WITHIN, is_drained);
    if tokio::time::timeout(DRAINED_WITHIN, drained).await.is_err() {
        let limits = server.client().get("/v1/limits").await.expect("an answer").json();
        let live = server.client().get("/v1/operations?status=running&pageSize=2").await.expect("an answer").json();
        panic!("something still waits {DRAINED_WITHIN:?} after the last fault:\n{limits:#}\n{live:#}");
    }
}

struct World {
    site: Site,
    cast: Cast,
    toml: String,
    services: Vec<Service>,
    visits: Arc<Ledger<Visit>>,
    clock: Option<Clock>,
    planted: Option<&'static str>,
    rng: SmallRng,
    faults: Faults,
    diary: Vec<(i64, String)>,
}

impl World {
    async fn start(plan: &Plan) -> Self {
        let (site, cast, visits) = (Site::new(), Cast::of(plan.seed), Arc::new(Ledger::default()));
        let mut services = Vec::new();
        for number in 0..4 {
            let seed = plan.seed.wrapping_add(number);
            services.push(Service::start(Arc::clone(&visits), plan.refuses, seed).await);
        }
        let addresses: Vec<_> = services.iter().map(Service::address).collect();
        let toml = cast.to_toml(site.database(), &addresses);
        let clock = Clock::build(site.folder());
        let (planted, rng) = (plan.planted, SmallRng::seed_from_u64(plan.seed));
        Self { site, cast, toml, services, visits, clock, planted, rng, faults: Faults::default(), diary: Vec::new() }
    }

    async fn start_server(&self) -> Server {
        let clock = self.clock.iter().flat_map(Clock::environment);
        let planted = self.planted.map(|bug| ("ACCEPTD_PLANTED", bug.to_owned()));
        let environment: Vec<_> = clock.chain(planted).collect();
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let started = self.site.start_on(&self.toml, &environment).await;
        started.unwrap_or_else(|ended| panic!("the server did not start ({}):\n{}", ended.status, ended.stderr))
    }

    /// Lets some time pass, and breaks something.
    async fn fault(&mut self, server: Server) -> Server {
        // Not a wait for something: when exactly things break is the fault.
        tokio::time::sleep(self.milliseconds(200..1_500)).await;
        match self.rng.random_range(0..100) {
            0..35 => {
                self.faults.kills += 1;
                self.note("the server is killed");
                server.kill().await;
                if self.rng.random_bool(0.3) {
                    self.set_clock();
                }
                self.note("the server is started");
                return self.start_server().await;
            }
            35..55 => {
                self.faults.stops += 1;
                self.note("the server stops");
                server.signal("STOP");
                tokio::time::sleep(self.milliseconds(50..1_800)).await;
                self.note("the server goes on");
                server.signal("CONT");
            }
            55..70 => {
                self.faults.deaths += 1;
                self.note("a service dies");
                self.service().die();
            }
            70..85 => {
                self.faults.pauses += 1;
                self.note("a service stops");
                let length = self.milliseconds(20..800);
                self.service().stop(length).await;
            }
            _ => self.set_clock(),
        }
        server
    }

    fn service(&mut self) -> &Service {
        let number = self.rng.random_range(0..self.services.len());
        &self.services[number]
    }

    /// Sets the server's clock to up to two hours before or after the truth.
    fn set_clock(&mut self) {
        if let Some(clock) = &self.clock {
            self.faults.steps += 1;
            let seconds = self.rng.random_range(-7_200..7_200);
            clock.set(seconds);
            self.note(&format!("the clock is set {seconds:+} s"));
        }
    }

    fn note(&mut self, what: &str) {
        self.diary.push((stamp::now(), what.to_owned()));
    }

    fn milliseconds(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }
}

/// A client: one batch after the other, as long as not too much waits, each sent until it is answered.
async fn ask(
    server: std::net::SocketAddr,
    visits: Arc<Ledger<Visit>>,
    plan: Plan,
    name: usize,
    stop: watch::Receiver<bool>,
) {
    let mut rng = SmallRng::seed_from_u64(plan.seed.wrapping_add(1_000 + name as u64));
    let (mut client, mut asked) = (Client::new(server), 0);
    for number in 0.. {
        while asked * CLIENTS > visits.len() + AHEAD && !*stop.borrow() {
            // How fast clients ask: the load, not a wait for something.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if *stop.borrow() {
            return;
        }
        let (path, key) = (format!("/v1/events/e{}", rng.random_range(0..CONSUMERS)), format!("\"{name}-{number}\""));
        let owner = format!("owner-{}", rng.random_range(0..5));
        let items: Vec<_> = (0..BATCH)
            .map(|_| json!({ "account": rng.random_range(0..ACCOUNTS), "zone": rng.random_range(0..ZONES) }))
            .collect();
        let body = json!({ "items": items }).to_string();
        let headers = [("idempotency-key", key.as_str()), ("acceptd-owner", owner.as_str())];
        while !client.post(&path, &headers, body.as_bytes()).await.is_ok_and(|answer| answer.status == 202) {
            // As above: a client's rest before it asks again.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        asked += BATCH;
    }
}
