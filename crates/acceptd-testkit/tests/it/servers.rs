//! The servers that tests start: they answer, keep their data over a kill, and leave nothing behind.

use std::io::ErrorKind;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptd_testkit::harness::eventually;
use acceptd_testkit::servers::certificate::Certificate;
use acceptd_testkit::servers::cut::Proxy;
use acceptd_testkit::servers::pgbouncer::Pgbouncer;
use acceptd_testkit::servers::postgres::{Options, Postgres};
use acceptd_testkit::servers::redis::{self, Redis};
use acceptd_testkit::servers::{self, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn postgres_keeps_what_was_committed_over_a_restart_and_a_kill() {
    if !servers::available(Server::Postgres) {
        return;
    }
    let mut postgres = Postgres::start(Options::default());
    assert_eq!(postgres.sql("SHOW fsync"), "on");
    postgres.sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");
    let (url, started) = (postgres.url("postgres"), "SELECT pg_postmaster_start_time()");
    let first = postgres.sql(started);
    postgres.restart();
    assert_ne!(postgres.sql(started), first);
    postgres.sql("INSERT INTO kept VALUES (2)");
    postgres.kill();
    assert_eq!(postgres.pid(), None);
    let refused = postgres.sql_at(&url, "SELECT 1").unwrap_err();
    assert!(refused.contains("Connection refused"), "{refused}");
    postgres.start_again();
    assert_eq!(postgres.sql("SELECT n FROM kept ORDER BY n"), "1\n2");
    assert!(postgres.log().contains("was not properly shut down"), "it was killed:\n{}", postgres.log());
    let data = postgres.data();
    drop(postgres);
    assert!(!data.exists(), "its folder goes with it");
}

#[test]
fn postgres_is_shared_and_each_test_has_a_place_of_its_own() {
    if !servers::available(Server::Postgres) {
        return;
    }
    let postgres = Postgres::shared();
    assert!(std::ptr::eq(postgres, Postgres::shared()));
    let (one, another) = (postgres.fresh(), postgres.fresh());
    assert_ne!(one, another);
    assert!(one.starts_with(&format!("{}?schema=", postgres.url("postgres"))), "{one}");
    let database = postgres.fresh_database();
    postgres.sql_at(&database, "CREATE TABLE mine (n int)").unwrap();
    assert!(postgres.sql_at(&postgres.fresh_database(), "SELECT n FROM mine").is_err());
}

#[test]
fn postgres_takes_settings_a_password_and_a_certificate() {
    if !servers::available(Server::Postgres) {
        return;
    }
    let options = Options::default().careless().set("max_connections", "7").password("secret").tls(Certificate::new());
    let postgres = Postgres::start(options);
    assert_eq!(postgres.sql("SHOW max_connections; SHOW fsync"), "7\noff");
    let url = format!("{}?sslmode=require", postgres.url("postgres"));
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(postgres.sql_at(&url, encrypted).unwrap(), "t");
    let refused = postgres.sql_at(&url.replace("secret", "wrong"), "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
}

#[test]
fn a_standby_follows_and_can_only_be_read() {
    if !servers::available(Server::Postgres) {
        return;
    }
    let primary = Postgres::start(Options::default().careless());
    primary.sql("CREATE TABLE copied AS SELECT 1 AS n");
    let standby = Postgres::standby(&primary);
    assert_eq!(standby.sql("SELECT n FROM copied"), "1");
    let refused = standby.sql_at(&standby.url("postgres"), "INSERT INTO copied VALUES (2)").unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
}

#[tokio::test]
async fn a_pooler_gives_two_open_connections_one_session() {
    if !servers::available(Server::Postgres) || !servers::available(Server::Pgbouncer) {
        return;
    }
    let postgres = Postgres::shared();
    let mut pooler = Pgbouncer::before(postgres, 1);
    let url = postgres.url_at(pooler.address(), "postgres");
    let (one, another) = (Open::at(&url).await, Open::at(&url).await);
    let first = one.session().await;
    assert_eq!(another.session().await, first, "{}", pooler.log());
    pooler.kill();
    assert!(one.client.simple_query("SELECT 1").await.is_err());
    pooler.start_again();
    Open::at(&url).await.session().await;
}

/// An open connection.
struct Open {
    client: tokio_postgres::Client,
}

impl Open {
    async fn at(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        Self { client }
    }

    /// The process of the server that answers.
    async fn session(&self) -> String {
        let ask = self.client.simple_query("SELECT pg_backend_pid()");
        let answer = tokio::time::timeout(PATIENCE, ask).await.expect("an answer").unwrap();
        let mut rows = answer.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        rows.next().unwrap().to_owned()
    }
}

#[test]
fn redis_keeps_what_it_answered_over_a_restart_and_a_kill() {
    if !servers::available(Server::Redis) {
        return;
    }
    let mut redis = Redis::start(redis::Options::default().durable());
    assert_eq!(redis.command(&["CONFIG", "GET", "appendfsync"]), "appendfsync\nalways");
    redis.command(&["SET", "kept", "1"]);
    let first = redis.pid();
    redis.restart();
    assert_ne!(redis.pid(), first);
    assert_eq!(redis.command(&["INCR", "kept"]), "2");
    redis.kill();
    assert!(redis.command_at(&redis.url(), &["GET", "kept"]).is_err());
    redis.start_again();
    assert_eq!(redis.command(&["GET", "kept"]), "2", "{}", redis.log());
    let refused = redis.command_at(&redis.url(), &["INCR"]).unwrap_err();
    assert!(refused.contains("wrong number of arguments"), "{refused}");
}

#[test]
fn redis_is_shared_and_each_test_has_a_database_of_its_own() {
    if !servers::available(Server::Redis) {
        return;
    }
    let redis = Redis::shared();
    let (mine, another) = (redis.fresh(), redis.fresh());
    redis.command_at(&mine, &["SET", "here", "1"]).unwrap();
    assert_eq!(redis.command_at(&mine, &["EXISTS", "here"]).unwrap(), "1");
    assert_eq!(redis.command_at(&another, &["EXISTS", "here"]).unwrap(), "0");
}

/// Started by the test of the same name: says where servers are, and waits until it is killed.
fn hold_servers() {
    let (postgres, redis) = (Postgres::shared(), Redis::shared());
    println!("\nHOLDS {} {}", postgres.address(), postgres.data().display());
    println!("HOLDS {} {}\nHOLDS all", redis.address(), redis.data().display());
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn nothing_is_left_of_a_process_that_is_killed() {
    if !servers::available(Server::Postgres) || !servers::available(Server::Redis) {
        return;
    }
    if std::env::var_os("ACCEPTD_TEST_HOLD").is_some() {
        return hold_servers();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "servers::nothing_is_left_of_a_process_that_is_killed", "--nocapture"]);
    command.env("ACCEPTD_TEST_HOLD", "yes").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.filter_map(|line| line.strip_prefix("HOLDS ").map(str::to_owned));
    let held: Vec<(SocketAddr, PathBuf)> = told
        .take_while(|line| line != "all")
        .map(|line| line.split_once(' ').map(|(address, data)| (address.parse().unwrap(), data.into())).unwrap())
        .collect();
    let listens = |held: &(SocketAddr, PathBuf)| std::net::TcpStream::connect(held.0).is_ok();
    assert_eq!(held.len(), 2);
    assert!(held.iter().all(|held| listens(held) && held.1.exists()), "{held:?}");
    process.kill().unwrap();
    process.wait().unwrap();
    let since = Instant::now();
    while held.iter().any(|held| listens(held) || held.1.exists()) {
        assert!(since.elapsed() < PATIENCE, "left over: {held:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server that sends back what it gets, and ends when its client ends.
async fn send_back(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.ok();
        });
    }
}

/// A proxy before a server that sends back what it gets.
async fn proxied() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(send_back(listener));
    Proxy::before(address).await
}

/// Sends a word and expects it back.
async fn exchange(stream: &mut TcpStream) {
    stream.write_all(b"word").await.unwrap();
    let mut answer = [0; 4];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"word");
}

#[tokio::test]
async fn a_cut_resets_every_connection_and_takes_new_ones() {
    let proxy = proxied().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        exchange(&mut stream).await;
        streams.push(stream);
    }
    assert_eq!((proxy.open(), proxy.accepted(), proxy.forwarded()), (3, 3, 24));
    assert_eq!(proxy.cut().await, 3);
    assert_eq!(proxy.open(), 0);
    for stream in &mut streams {
        let ended = tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    exchange(&mut TcpStream::connect(proxy.addr()).await.unwrap()).await;
}

#[tokio::test]
async fn an_orderly_end_loses_nothing() {
    let proxy = proxied().await;
    // A client that reads only when the proxy is done, of a system that holds little of it meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(proxy.addr()).await.unwrap();
    let sent = vec![7; 64 << 10];
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let done = || async { (proxy.open() == 0).then_some(()) };
    eventually("the connection ends", PATIENCE, done).await;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), sent.len());
}

#[tokio::test]
async fn who_is_refused_is_told_and_who_is_connected_stays() {
    let proxy = proxied().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    exchange(&mut stream).await;
    proxy.refuse(true).await;
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    exchange(&mut stream).await;
    proxy.refuse(false).await;
    exchange(&mut TcpStream::connect(proxy.addr()).await.unwrap()).await;
}

#[tokio::test]
async fn a_stalled_connection_stays_open_and_goes_on_later() {
    let proxy = proxied().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    exchange(&mut stream).await;
    let before = proxy.forwarded();
    proxy.stall(true);
    stream.write_all(b"late").await.unwrap();
    let mut late = TcpStream::connect(proxy.addr()).await.unwrap();
    late.write_all(b"word").await.unwrap();
    let accepted = || async { (proxy.accepted() == 2).then_some(()) };
    eventually("the second connection is accepted", PATIENCE, accepted).await;
    let silence = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(silence.is_err(), "nothing comes: {silence:?}");
    assert_eq!((proxy.open(), proxy.forwarded()), (2, before));
    proxy.stall(false);
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"late");
    late.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"word");
    proxy.stall(true);
    stream.write_all(b"lost").await.unwrap();
    assert_eq!(proxy.cut().await, 2);
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
