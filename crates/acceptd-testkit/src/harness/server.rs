//! A server process: started on its own folder, killed, stopped, and started again on the same file and port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::binary::binary;
use super::config::Config;
use super::http::Client;

/// How long a start or an exit may take before the test gives up; no promise is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a server lives: a folder, a configuration and a port. It outlives the processes that run there.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    database: PathBuf,
    port: u16,
    under: Vec<String>,
}

impl Site {
    /// A new folder and a free port.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("acceptd-fault.").expect("a folder");
        let database = folder.path().join("acceptd.db");
        Self { folder, database, port: free_port(), under: Vec::new() }
    }

    /// The same with processes started by this program, which must become them: `strace -D`.
    #[must_use]
    pub fn under(self, program: &[&str]) -> Self {
        Self { under: program.iter().map(ToString::to_string).collect(), ..self }
    }

    /// The same with the store's file somewhere else.
    #[must_use]
    pub fn database_at(self, database: PathBuf) -> Self {
        Self { database, ..self }
    }

    /// The store's file.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the server listens, in every life.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The same folder and file at another port, for a second server.
    pub fn beside(&self) -> Self {
        Self::new().database_at(self.database.clone())
    }

    /// Starts a process and waits until it is ready.
    ///
    /// # Errors
    /// When it ended before it was ready.
    pub async fn start(&self, config: &Config, environment: &[(&str, &str)]) -> Result<Server, Ended> {
        self.start_on(&config.to_toml(&self.database), environment).await
    }

    /// Starts a process with this configuration file and waits until it is ready.
    ///
    /// # Errors
    /// When it ended before it was ready.
    pub async fn start_on(&self, toml: &str, environment: &[(&str, &str)]) -> Result<Server, Ended> {
        let mut server = self.spawn_on(toml, environment);
        server.wait_ready().await?;
        server.ready_after = server.started.elapsed();
        Ok(server)
    }

    /// Starts a process and waits for nothing.
    pub fn spawn(&self, config: &Config, environment: &[(&str, &str)]) -> Server {
        self.spawn_on(&config.to_toml(&self.database), environment)
    }

    fn spawn_on(&self, toml: &str, environment: &[(&str, &str)]) -> Server {
        let file = self.folder.path().join("acceptd.toml");
        std::fs::write(&file, toml).expect("the configuration is written");
        let started = Instant::now();
        let server = binary().to_str().expect("a path in UTF-8").to_owned();
        let words: Vec<_> = self.under.iter().cloned().chain([server]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["serve", "--config"]).arg(&file);
        command.arg("--listen").arg(self.address().to_string());
        command.envs(environment.iter().copied()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the server's process starts");
        let log = Log::default();
        let (tell, listens) = oneshot::channel();
        let read = tokio::spawn(log.clone().read(child.stderr.take().expect("a pipe"), tell));
        let (address, ready_after) = (self.address(), Duration::ZERO);
        Server { child, address, log, listens, read, started, ready_after }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// A port that is free, and that no outgoing connection can take while the server is down: while clients knock again
/// and again, a port of the ephemeral range could be taken by a connection to itself.
pub(crate) fn free_port() -> u16 {
    let mut rng = rand::rng();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| rng.random_range(12_000..32_000)).take(1_000).find(free).expect("a free port")
}

/// A process that ended before it was ready.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it said.
    pub stderr: String,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: Log,
    listens: oneshot::Receiver<SocketAddr>,
    read: tokio::task::JoinHandle<()>,
    started: Instant,
    /// From its start until it accepted.
    pub ready_after: Duration,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }

    /// Ends it with SIGKILL. Returns what it said.
    pub async fn kill(mut self) -> Ended {
        self.child.start_kill().expect("a signal");
        self.ended(PATIENCE).await.expect("nothing survives SIGKILL")
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until it ends by itself; None when it still runs after `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Option<Ended> {
        let status = tokio::time::timeout(limit, self.child.wait()).await.ok()?.expect("an exit status");
        // Its last words may still be in the pipe.
        (&mut self.read).await.ok();
        Some(Ended { status, stderr: self.log.text() })
    }

    /// The most memory it ever had, in bytes. Linux only.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Waits until it says where it listens, and then until it says that it is ready.
    async fn wait_ready(&mut self) -> Result<(), Ended> {
        let deadline = Instant::now() + PATIENCE;
        let listens = tokio::time::timeout(PATIENCE, &mut self.listens).await;
        match listens.unwrap_or_else(|_| panic!("it does not listen after {PATIENCE:?}:\n{}", self.log.text())) {
            Ok(address) => assert_eq!(address, self.address, "it listens where it was told to"),
            Err(_) => return Err(self.ended(PATIENCE).await.expect("who closes stderr ends")),
        }
        loop {
            if self.client().get("/readyz").await.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(ended) = self.ended(Duration::from_millis(2)).await {
                return Err(ended);
            }
            assert!(Instant::now() < deadline, "not ready after {PATIENCE:?}:\n{}", self.log.text());
        }
    }
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(sent.expect("the kill program").success(), "SIG{name} to {pid}");
}

/// What a process says on stderr.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn text(&self) -> String {
        self.0.lock().expect("no panic").clone()
    }

    /// Keeps every line and tells the address when it comes. The sender is dropped when the process ends before.
    async fn read(self, stderr: impl AsyncRead + Unpin, tell: oneshot::Sender<SocketAddr>) {
        let mut lines = BufReader::new(stderr).lines();
        let mut tell = Some(tell);
        while let Ok(Some(line)) = lines.next_line().await {
            let address = line.split("listening on http://").nth(1).and_then(|rest| rest.trim().parse().ok());
            if let (Some(address), Some(tell)) = (address, tell.take_if(|_| address.is_some())) {
                tell.send(address).ok();
            }
            let mut text = self.0.lock().expect("no panic");
            text.push_str(&line);
            text.push('\n');
        }
    }
}
