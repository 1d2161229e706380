//! A target is stopped while it works, loses its lease, and wakes up after somebody else has finished: what it then
//! says is refused, and changes nothing.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptd_testkit::harness::config::{Config, Consumer};
use acceptd_testkit::harness::http::Client;
use acceptd_testkit::harness::ledger::Operation;
use acceptd_testkit::harness::server::{Site, signal};
use acceptd_testkit::harness::{api, eventually};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const LIMIT: Duration = Duration::from_secs(20);
const DELIVERIES: usize = 20;

struct Zombie {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Zombie {
    async fn start(server: SocketAddr) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("zombie.py")]).arg(format!("http://{server}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("python3 is installed");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut zombie = Self { child, stdin, lines: BufReader::new(stdout).lines(), port: 0 };
        zombie.port = zombie.line().await.strip_prefix("port ").unwrap().parse().unwrap();
        zombie
    }

    /// The next thing it says.
    async fn line(&mut self) -> String {
        tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("it speaks").unwrap().expect("it lives")
    }

    fn signal(&self, name: &str) {
        signal(self.child.id().unwrap(), name);
    }
}

/// Stands before the consumers: a delivery's first attempt goes to the zombie, the next to one that works.
#[derive(Clone)]
struct Switch {
    zombie: SocketAddr,
    seen: Arc<Mutex<std::collections::HashSet<String>>>,
}

async fn switch(State(switch): State<Switch>, headers: HeaderMap) -> Response {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (delivery, fence) = (text("acceptd-delivery"), text("acceptd-fence"));
    if !switch.seen.lock().unwrap().insert(delivery.clone()) {
        return axum::Json(serde_json::json!({ "by": "healthy" })).into_response();
    }
    let headers = [("acceptd-delivery", delivery.as_str()), ("acceptd-fence", fence.as_str())];
    let answer = Client::new(switch.zombie).post("/", &headers, b"{}").await;
    answer.map_or(StatusCode::BAD_GATEWAY, |answer| StatusCode::from_u16(answer.status).unwrap()).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_wakes_up_too_late_changes_nothing() {
    let site = Site::new();
    let mut zombie = Zombie::start(site.address()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Switch { zombie: ([127, 0, 0, 1], zombie.port).into(), seen: Arc::default() };
    tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().route("/work", post(switch)).with_state(state)).await
    });
    let consumers = vec![Consumer::new("work", "work", address)];
    let config = Config { target_lease: Some("1s"), consumers, ..Config::default() };
    let server = site.start(&config, &[]).await.unwrap();
    let mut client = server.client();

    for _ in 0..DELIVERIES {
        assert_eq!(client.post("/v1/events/work", &[], b"{}").await.unwrap().status, 202);
    }
    for _ in 0..DELIVERIES {
        let line = zombie.line().await;
        assert!(line.starts_with("taken "), "{line}");
    }
    zombie.signal("STOP");
    // It finds this when it runs again, and thinks that no time has passed.
    zombie.stdin.write_all(b"go on\n").await.unwrap();

    let none_is_live = || async { (api::count_live(&mut server.client()).await == 0).then_some(()) };
    eventually("others finish its work", LIMIT, none_is_live).await;
    let before = all(&mut client).await;
    for operation in &before {
        let endings: Vec<_> = operation.deliveries[0].attempts.iter().map(|attempt| attempt.ending.as_str()).collect();
        assert_eq!((operation.status.as_str(), endings), ("succeeded", vec!["lost", "done"]));
        let result = client.get(&format!("/v1/operations/{}/result", operation.id)).await.unwrap();
        assert_eq!(result.json()["by"], "healthy");
    }

    zombie.signal("CONT");
    for _ in 0..DELIVERIES {
        assert_eq!(zombie.line().await, "answered 409 stale-fence");
    }
    assert_eq!(all(&mut client).await, before, "what it said changed nothing");
    for operation in &before {
        let result = client.get(&format!("/v1/operations/{}/result", operation.id)).await.unwrap();
        assert_eq!(result.json()["by"], "healthy");
    }
    println!("zombie: {DELIVERIES} deliveries finished by others, {DELIVERIES} late calls refused");
}

async fn all(client: &mut Client) -> Vec<Operation> {
    let mut operations = Vec::new();
    for id in api::list(client).await {
        operations.push(api::operation(client, &id).await);
    }
    operations
}
