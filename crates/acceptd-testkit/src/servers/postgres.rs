//! PostgreSQL: one for all tests of a process, or one of a test's own that it may stop, kill and start again.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::certificate::Certificate;
use super::home::Home;
use super::programs;
use crate::harness::server::free_port;

/// The owner of everything in it, who is also the user of the system that runs servers which refuse to run as root.
pub(super) const USER: &str = "postgres";
/// The database that is always there.
const DATABASE: &str = "postgres";

/// What differs from a plain server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    password: Option<String>,
    place: Option<PathBuf>,
    certificate: Option<Certificate>,
}

impl Options {
    /// A setting of `postgresql.conf`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Nothing is forced to the disk: for what makes very many databases, and pulls no plug.
    #[must_use]
    pub fn careless(self) -> Self {
        self.set("fsync", "off").set("synchronous_commit", "off").set("full_page_writes", "off")
    }

    /// Connections need this password (SCRAM); without it everyone is trusted.
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..self }
    }

    /// The data is below this folder, a small disk for example.
    #[must_use]
    pub fn within(self, place: &Path) -> Self {
        Self { place: Some(place.to_path_buf()), ..self }
    }

    /// TLS is offered, with this certificate.
    #[must_use]
    pub fn tls(self, certificate: Certificate) -> Self {
        Self { certificate: Some(certificate), ..self }
    }
}

/// A server with a data folder and a port, which stay the same when it is started again.
#[derive(Debug)]
pub struct Postgres {
    home: Home,
    programs: PathBuf,
    port: u16,
    password: Option<String>,
    arguments: Vec<String>,
    fresh: AtomicU64,
}

impl Postgres {
    /// The one that all tests of this process share, started when the first of them asks.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default().set("max_connections", "200")))
    }

    /// Another one that is shared, which forces nothing to the disk.
    pub fn careless() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default().careless().set("max_connections", "200")))
    }

    /// Makes and starts a server. It takes about a second.
    pub fn start(options: Options) -> Self {
        let mut server = Self::made(options, |server, options| {
            let data = server.data().display().to_string();
            let locale = if cfg!(target_os = "linux") { "--locale=C.UTF-8" } else { "--no-locale" };
            let mut arguments = vec!["-D", &data, "-U", USER, "-E", "UTF8", locale, "--no-instructions", "--no-sync"];
            let file = options.password.as_ref().map(|password| server.home.write("password", password));
            let file = file.map(|file| format!("--pwfile={}", file.display()));
            arguments.extend(["-A", if file.is_some() { "scram-sha-256" } else { "trust" }]);
            arguments.extend(file.as_deref());
            server.home.run(&server.programs.join("initdb"), &arguments);
        });
        server.start_again();
        server
    }

    /// A standby of a running server, which follows it and can only be read.
    pub fn standby(of: &Self) -> Self {
        let mut server = Self::made(Options::default(), |server, _| {
            let copy = server.programs.join("pg_basebackup");
            let (data, of) = (server.data().display().to_string(), of.url(DATABASE));
            server.home.run(&copy, &["-D", &data, "-d", &of, "-R", "-c", "fast", "--no-sync"]);
        });
        server.start_again();
        server
    }

    /// A server whose data folder `make` lays out, not started yet.
    fn made(options: Options, make: impl FnOnce(&Self, &Options)) -> Self {
        let programs = programs::folder_with(&["postgres", "initdb", "psql"]);
        let programs = programs.expect("PostgreSQL is on this machine; ask `servers::available` first");
        let (home, port) = (Home::new("postgres", options.place.as_deref(), Some(USER), "QUIT"), free_port());
        let password = options.password.clone();
        let mut server = Self { home, programs, port, password, arguments: Vec::new(), fresh: AtomicU64::new(0) };
        make(&server, &options);
        let mut settings = vec![
            ("listen_addresses".to_owned(), Ipv4Addr::LOCALHOST.to_string()),
            ("port".to_owned(), port.to_string()),
            ("unix_socket_directories".to_owned(), String::new()),
        ];
        if let Some(Certificate { certificate, key }) = &options.certificate {
            let file = |name, text| server.home.write(name, text).display().to_string();
            settings.push(("ssl".to_owned(), "on".to_owned()));
            settings.push(("ssl_cert_file".to_owned(), file("certificate.pem", certificate)));
            settings.push(("ssl_key_file".to_owned(), file("key.pem", key)));
        }
        settings.extend(options.settings);
        server.arguments = vec!["-D".to_owned(), server.data().display().to_string()];
        let settings = settings.into_iter().map(|(name, value)| format!("{name}={value}"));
        server.arguments.extend(settings.flat_map(|setting| ["-c".to_owned(), setting]));
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The URL of a database, for drivers and for psql.
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.address(), database)
    }

    /// The same for who reaches the server by another address: a proxy or a pooler.
    pub fn url_at(&self, address: SocketAddr, database: &str) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://{USER}{password}@{address}/{database}")
    }

    /// The URL of a store of one test's own: a schema that nobody else has. It is not made yet.
    pub fn fresh(&self) -> String {
        self.fresh_at(self.address())
    }

    /// The same for who reaches the server by another address.
    pub fn fresh_at(&self, address: SocketAddr) -> String {
        let number = self.fresh.fetch_add(1, Ordering::Relaxed);
        format!("{}?schema=test_{number}", self.url_at(address, DATABASE))
    }

    /// The URL of a new database of one test's own. Making one takes longer than a schema.
    pub fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.fresh.fetch_add(1, Ordering::Relaxed));
        self.create_database(&name);
        self.url(&name)
    }

    /// Makes a database.
    pub fn create_database(&self, name: &str) {
        self.sql(&format!("CREATE DATABASE \"{name}\""));
    }

    /// Runs statements in the database that is always there and returns their rows: a line each, with `|` between
    /// columns.
    pub fn sql(&self, statements: &str) -> String {
        self.sql_at(&self.url(DATABASE), statements).unwrap_or_else(|refused| panic!("{statements}: {refused}"))
    }

    /// The same by psql at an URL.
    ///
    /// # Errors
    /// What psql said when a statement failed or the server was not reached.
    pub fn sql_at(&self, url: &str, statements: &str) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.env_clear().env("LC_ALL", "C.UTF-8").env("PGCONNECT_TIMEOUT", "10").stdin(Stdio::null());
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statements]);
        let output = command.output().expect("psql starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A fast shutdown: connections are closed, what was committed is written, nothing has to be recovered.
    pub fn stop(&mut self) {
        self.home.stop("INT");
    }

    /// Kills every process of the server at once. Data that was committed is recovered when it is started again.
    pub fn kill(&mut self) {
        self.home.kill();
    }

    /// Starts the server that was stopped or killed, with the same data at the same port.
    pub fn start_again(&mut self) {
        let state = self.data().join("postmaster.pid");
        self.home.start(&self.programs.join("postgres"), &self.arguments, |pid| is_ready(&state, pid));
    }

    /// Stops it and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Its main process; None while it is stopped or killed.
    pub fn pid(&self) -> Option<u32> {
        self.home.pid()
    }

    /// What it said, since it was made.
    pub fn log(&self) -> String {
        self.home.log()
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }
}

/// By the file in which the server says how far it is: its process id is the first line, its state the eighth.
fn is_ready(state: &Path, pid: u32) -> bool {
    let text = std::fs::read_to_string(state).unwrap_or_default();
    let line = |number| text.lines().nth(number).map(str::trim);
    line(0) == Some(&pid.to_string()) && matches!(line(7), Some("ready" | "standby"))
}
