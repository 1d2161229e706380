//! The server process of a scenario.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::load;
use super::server::Stats;

/// A server on a file of its own; killed when it goes.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    arguments: Vec<String>,
    address: SocketAddr,
}

impl Server {
    /// Starts one on a fresh file.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("acceptd-bench-").tempdir_in(".")?;
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (child, address) = spawn(folder.path(), &arguments)?;
        Ok(Self { child, folder, arguments, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it and starts it again on the same file; returns how long it took until it accepted again.
    pub(crate) async fn restart(&mut self) -> Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        let started = Instant::now();
        (self.child, self.address) = spawn(self.folder.path(), &self.arguments)?;
        let body = super::server::Measured::json(0);
        let status = load::once(self.address, &load::post("/v1/events/bench.measured", &body)).await?;
        if status != 202 {
            bail!("the restarted server answered {status}");
        }
        Ok(started.elapsed())
    }

    pub(crate) async fn stats(&self) -> Result<Stats> {
        let body = load::body(self.address, "GET /bench/stats HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
        serde_json::from_slice(&body).context("the statistics can't be read")
    }

    pub(crate) async fn pause(&self) -> Result<()> {
        self.control("pause").await
    }

    pub(crate) async fn resume(&self) -> Result<()> {
        self.control("resume").await
    }

    /// Waits until nothing waits or runs.
    pub(crate) async fn drained(&self, within: Duration) -> Result<Duration> {
        self.backlog_at_most(0, within).await
    }

    /// Waits until the backlog is at most so large.
    pub(crate) async fn backlog_at_most(&self, left: u64, within: Duration) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let backlog = self.stats().await?.backlog;
            if backlog <= left {
                return Ok(started.elapsed());
            }
            if started.elapsed() > within {
                bail!("{backlog} deliveries were left after {within:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The largest resident memory so far, in MB; None where the system does not tell.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes / 1_024)
    }

    async fn control(&self, verb: &str) -> Result<()> {
        let status = load::once(self.address, &load::post(&format!("/v1/consumers/noop/{verb}"), "{}")).await?;
        if status >= 300 {
            bail!("{verb} was answered {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(folder: &Path, arguments: &[String]) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "server"]);
    if !arguments.iter().any(|argument| argument == "--store") {
        command.args(["--store", &format!("sqlite:{}", folder.join("bench.db").display())]);
    }
    let mut child = command
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("the server has no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim().parse().context("the server did not say where it listens")?;
    Ok((child, address))
}
