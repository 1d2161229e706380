//! Redis: one for all tests of a process, or one of a test's own that it may stop, kill and start again.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::home::Home;
use super::programs;
use crate::harness::server::free_port;

/// How many databases a server has; each test takes one.
const DATABASES: u64 = 1_000;

/// What differs from a server that appends to its file and forces it to the disk once a second.
#[derive(Debug, Clone, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
}

impl Options {
    /// A setting of `redis.conf`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Each write is forced to the disk before it is answered.
    #[must_use]
    pub fn durable(self) -> Self {
        self.set("appendfsync", "always")
    }
}

/// A server with a folder and a port, which stay the same when it is started again.
#[derive(Debug)]
pub struct Redis {
    home: Home,
    programs: PathBuf,
    port: u16,
    arguments: Vec<String>,
    fresh: AtomicU64,
}

impl Redis {
    /// The one that all tests of this process share, started when the first of them asks.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default()))
    }

    /// Makes and starts a server.
    pub fn start(options: Options) -> Self {
        let programs = programs::folder_with(&["redis-server", "redis-cli"]);
        let programs = programs.expect("Redis is on this machine; ask `servers::available` first");
        let (home, port) = (Home::new("redis", None, None, "KILL"), free_port());
        let settings = [
            ("bind", Ipv4Addr::LOCALHOST.to_string()),
            ("port", port.to_string()),
            ("dir", home.path().display().to_string()),
            ("databases", DATABASES.to_string()),
            ("appendonly", "yes".to_owned()),
            ("save", String::new()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(options.settings);
        let arguments = settings.flat_map(|(name, value)| [format!("--{name}"), value]).collect();
        let mut server = Self { home, programs, port, arguments, fresh: AtomicU64::new(0) };
        server.start_again();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The URL of the first database.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The URL of a database of one test's own, with nothing in it.
    pub fn fresh(&self) -> String {
        let number = 1 + self.fresh.fetch_add(1, Ordering::Relaxed);
        assert!(number < DATABASES, "every database is taken");
        format!("{}/{number}", self.url())
    }

    /// Runs one command by redis-cli in the first database and returns its answer as text.
    pub fn command(&self, words: &[&str]) -> String {
        self.command_at(&self.url(), words).unwrap_or_else(|refused| panic!("{words:?}: {refused}"))
    }

    /// The same at an URL.
    ///
    /// # Errors
    /// What redis-cli said when the command failed or the server was not reached.
    pub fn command_at(&self, url: &str, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("redis-cli"));
        command.args(["-e", "-u", url]).args(words).env_clear().stdin(Stdio::null());
        let output = command.output().expect("redis-cli starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Stops it as an administrator would; what it was told is on disk.
    pub fn stop(&mut self) {
        self.home.stop("TERM");
    }

    /// Kills it. What was not forced to the disk is in the system's memory, so it is not lost with the process.
    pub fn kill(&mut self) {
        self.home.kill();
    }

    /// Starts the server that was stopped or killed, with the same data at the same port.
    pub fn start_again(&mut self) {
        let address = self.address();
        self.home.start(&self.programs.join("redis-server"), &self.arguments, |_| answers(address));
    }

    /// Stops it and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        self.home.path()
    }

    /// Its process; None while it is stopped or killed.
    pub fn pid(&self) -> Option<u32> {
        self.home.pid()
    }

    /// What it said, since it was made.
    pub fn log(&self) -> String {
        self.home.log()
    }
}

/// Whether it serves commands: while it reads its file, it refuses them.
fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_secs(1)))?;
        connection.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        connection.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| &answer == b"+PONG\r\n")
}
