//! Several nodes on one database: what one does, the others see; what a limit allows, it allows to all together.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acceptd::consumer::Consumer;
use acceptd::{Acceptd, Done, Engine, Event, Limit, OperationId, Outcome, State, Status, Submission};
use acceptd_testkit::servers::postgres::Postgres;
use acceptd_testkit::servers::{Server, available};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Longer than anything here takes; no promise is measured by it.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Asked {
    key: String,
}

impl Event for Asked {
    const TYPE: &'static str = "nodes.asked";
}

/// The start of an attempt, and its end once it has one.
type Attempt = (Instant, Option<Instant>);

/// What the handlers of one node saw, and of all of them.
#[derive(Clone, Default)]
struct Seen {
    /// Attempts of all nodes.
    all: Arc<Mutex<Vec<Attempt>>>,
    mine: Arc<AtomicU32>,
    started: Arc<Notify>,
    /// Attempts wait for this.
    go_on: Option<Arc<Notify>>,
}

impl Seen {
    /// The same ledger, for another node.
    fn other(&self) -> Self {
        Self { mine: Arc::default(), started: Arc::default(), ..self.clone() }
    }

    fn mine(&self) -> u32 {
        self.mine.load(Ordering::SeqCst)
    }
}

async fn note(_: Asked, State(seen): State<Seen>) -> Outcome {
    let at = {
        let mut all = seen.all.lock().unwrap();
        all.push((Instant::now(), None));
        all.len() - 1
    };
    seen.mine.fetch_add(1, Ordering::SeqCst);
    seen.started.notify_one();
    match &seen.go_on {
        Some(go_on) => go_on.notified().await,
        None => tokio::time::sleep(Duration::from_millis(2)).await,
    }
    seen.all.lock().unwrap()[at].1 = Some(Instant::now());
    Done::new()
}

/// A database for the nodes of one test; None where there is no PostgreSQL, which is said loudly.
fn place() -> Option<String> {
    available(Server::Postgres).then(|| Postgres::shared().fresh())
}

async fn node(url: &str, seen: &Seen) -> Engine {
    consuming(url, seen, Consumer::new("note", note)).await
}

async fn consuming(url: &str, seen: &Seen, consumer: Consumer) -> Engine {
    let app = Acceptd::open(url).state(seen.clone()).limit(Limit::new("slow").rate("50/s").unwrap());
    app.consumer(consumer).start().await.unwrap()
}

/// A node that only accepts.
async fn front(url: &str) -> Engine {
    Acceptd::open(url).event_of::<Asked>().start().await.unwrap()
}

async fn ask(engine: &Engine, key: &str) -> OperationId {
    let asked = Submission::of(&Asked { key: key.to_owned() }).unwrap();
    engine.accept(asked).await.unwrap().operation.id
}

async fn ends(engine: &Engine, id: OperationId) -> Status {
    engine.wait_for_end(id, PATIENCE).await.unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_accepts_another_runs() {
    let Some(url) = place() else { return };
    let seen = Seen::default();
    let (front, back) = (front(&url).await, node(&url, &seen).await);
    let started = Instant::now();
    for number in 0..20 {
        let id = ask(&front, &number.to_string()).await;
        assert_eq!(ends(&front, id).await, Status::Succeeded);
    }
    // Far below the second or more that it takes who only looks now and then.
    let each = started.elapsed() / 20;
    assert!(each < Duration::from_millis(400), "{each:?} from accepting on one node to the end seen there");
    assert_eq!(seen.mine(), 20);
    front.shut_down(Duration::from_secs(10)).await;
    back.shut_down(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_the_work_and_the_slots_of_a_limit() {
    let Some(url) = place() else { return };
    let one = Seen::default();
    let two = one.other();
    let locked = || Consumer::new("note", note).lock("/key");
    let nodes = [consuming(&url, &one, locked()).await, consuming(&url, &two, locked()).await];
    let mut asked = Vec::new();
    for number in 0..60 {
        asked.push(ask(&nodes[number % 2], "same").await);
    }
    for id in asked {
        assert_eq!(ends(&nodes[0], id).await, Status::Succeeded);
    }
    let mut ledger = one.all.lock().unwrap().clone();
    ledger.sort();
    assert_eq!(ledger.len(), 60);
    let overlap = ledger.windows(2).find(|pair| pair[0].1.unwrap() > pair[1].0);
    assert!(overlap.is_none(), "two attempts of one key at once: {overlap:?}");
    assert!(one.mine() > 0 && two.mine() > 0, "{} and {}", one.mine(), two.mine());
    for node in nodes {
        node.shut_down(Duration::from_secs(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_the_rate_of_a_limit() {
    let Some(url) = place() else { return };
    let one = Seen::default();
    let two = one.other();
    let slow = || Consumer::new("note", note).limit("slow");
    let nodes = [consuming(&url, &one, slow()).await, consuming(&url, &two, slow()).await];
    let mut asked = Vec::new();
    for number in 0..50 {
        asked.push(ask(&nodes[number % 2], "any").await);
    }
    for id in asked {
        assert_eq!(ends(&nodes[1], id).await, Status::Succeeded);
    }
    let mut starts: Vec<_> = one.all.lock().unwrap().iter().map(|(start, _)| *start).collect();
    starts.sort();
    let whole = starts[49] - starts[0];
    // 50 a second are 49 intervals of 20 ms. A busy machine lets the first one start late; two nodes that each kept the
    // rate by themselves would need half of it.
    assert!(whole >= Duration::from_millis(49 * 20 - 60), "50 starts within {whole:?}");
    for node in nodes {
        node.shut_down(Duration::from_secs(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_on_one_node_stops_the_attempt_on_another() {
    let Some(url) = place() else { return };
    let seen = Seen { go_on: Some(Arc::default()), ..Seen::default() };
    let (front, back) = (front(&url).await, node(&url, &seen).await);
    let id = ask(&front, "a").await;
    tokio::time::timeout(PATIENCE, seen.started.notified()).await.unwrap();
    front.cancel(id).await.unwrap();
    assert_eq!(ends(&back, id).await, Status::Canceled);
    // The attempt is gone: the node can stop without waiting for it.
    let stopping = Instant::now();
    back.shut_down(Duration::from_secs(10)).await;
    assert!(stopping.elapsed() < Duration::from_secs(5), "the attempt went on for {:?}", stopping.elapsed());
    assert!(seen.all.lock().unwrap()[0].1.is_none());
    front.shut_down(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_on_one_node_holds_on_all() {
    let Some(url) = place() else { return };
    let seen = Seen::default();
    let (one, two) = (node(&url, &seen).await, node(&url, &seen.other()).await);
    one.pause("note", None, "a test", "").await.unwrap();
    let id = ask(&two, "a").await;
    let deadline = Instant::now() + Duration::from_secs(1);
    // It holds at once; that the other node says so may take a moment.
    loop {
        let monitor = two.monitor(id).await.unwrap();
        assert!(!monitor.status.is_done());
        if monitor.waiting_on.first().is_some_and(|waits| waits.gate == acceptd::Gate::Pause) {
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", monitor.waiting_on);
        tokio::task::yield_now().await;
    }
    two.resume("note").await.unwrap();
    assert_eq!(ends(&one, id).await, Status::Succeeded);
    one.shut_down(Duration::from_secs(10)).await;
    two.shut_down(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_restarted_is_used_again() {
    if !available(Server::Postgres) {
        return;
    }
    let mut server = Postgres::start(acceptd_testkit::servers::postgres::Options::default());
    let seen = Seen::default();
    let url = server.fresh();
    let (one, two) = (node(&url, &seen).await, node(&url, &seen.other()).await);
    let before = ask(&one, "a").await;
    assert_eq!(ends(&two, before).await, Status::Succeeded);
    server.restart();
    let deadline = Instant::now() + PATIENCE;
    let after = loop {
        let asked = Submission::of(&Asked { key: "b".to_owned() }).unwrap();
        match one.accept(asked).await {
            Ok(accepted) => break accepted.operation.id,
            Err(error) => assert!(Instant::now() < deadline, "it is not used again: {error}"),
        }
    };
    assert_eq!(ends(&one, after).await, Status::Succeeded);
    server.kill();
    assert!(one.accept(Submission::of(&Asked { key: "c".to_owned() }).unwrap()).await.is_err());
    server.start_again();
    let deadline = Instant::now() + PATIENCE;
    let last = loop {
        let asked = Submission::of(&Asked { key: "d".to_owned() }).unwrap();
        match two.accept(asked).await {
            Ok(accepted) => break accepted.operation.id,
            Err(error) => assert!(Instant::now() < deadline, "it is not used again: {error}"),
        }
    };
    assert_eq!(ends(&one, last).await, Status::Succeeded);
    one.shut_down(Duration::from_secs(10)).await;
    two.shut_down(Duration::from_secs(10)).await;
}
