//! The load: keep-alive connections that send one request after the other, and as little else as possible, since the
//! load shares the machine with what it measures.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// How many answers had which status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl Answers {
    /// Answers with this status in a second.
    pub(crate) fn rate(&self, status: u16) -> f64 {
        self.statuses.get(&status).copied().unwrap_or_default() as f64 / self.elapsed.as_secs_f64()
    }
}

/// A POST of JSON as bytes on the wire.
pub(crate) fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends the same request over so many connections, until the time is over or so many were sent.
pub(crate) async fn run(address: SocketAddr, connections: usize, request: String, until: Until) -> Result<Answers> {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(drive(address, connections, request, until))
    });
    let answers = tokio::task::spawn_blocking(move || thread.join()).await?;
    answers.map_err(|_| anyhow::anyhow!("the load panicked"))?
}

/// When a run is over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After so many requests.
    Sent(u64),
}

async fn drive(address: SocketAddr, connections: usize, request: String, until: Until) -> Result<Answers> {
    let (started, request) = (Instant::now(), Arc::new(request.into_bytes()));
    let (deadline, left) = match until {
        Until::Elapsed(time) => (started + time, i64::MAX),
        Until::Sent(count) => (started + Duration::from_secs(3_600), i64::try_from(count)?),
    };
    let left = Arc::new(AtomicI64::new(left));
    let statuses = Arc::new(Mutex::new(BTreeMap::<u16, u64>::new()));
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let (request, left, statuses) = (Arc::clone(&request), Arc::clone(&left), Arc::clone(&statuses));
        clients.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut counts = BTreeMap::<u16, u64>::new();
            while Instant::now() < deadline && left.fetch_sub(1, Ordering::Relaxed) > 0 {
                *counts.entry(connection.exchange(&request).await?.0).or_default() += 1;
            }
            let mut statuses = statuses.lock().unwrap_or_else(PoisonError::into_inner);
            counts.into_iter().for_each(|(status, count)| *statuses.entry(status).or_default() += count);
            anyhow::Ok(())
        }));
    }
    for client in clients {
        client.await??;
    }
    let statuses = std::mem::take(&mut *statuses.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Answers { statuses, elapsed: started.elapsed() })
}

/// Sends one request and returns the status.
pub(crate) async fn once(address: SocketAddr, request: &str) -> Result<u16> {
    Ok(Connection::open(address).await?.exchange(request.as_bytes()).await?.0)
}

/// Sends one request and returns the body.
pub(crate) async fn body(address: SocketAddr, request: &str) -> Result<Vec<u8>> {
    let mut connection = Connection::open(address).await?;
    let (_, body) = connection.exchange(request.as_bytes()).await?;
    Ok(connection.buffer[body].to_vec())
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4_096) })
    }

    /// Sends a request and reads its answer: the status, and where in the buffer the body stands.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, std::ops::Range<usize>)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(answer) = complete(&self.buffer)? {
                return Ok(answer);
            }
        }
    }
}

fn complete(bytes: &[u8]) -> Result<Option<(u16, std::ops::Range<usize>)>> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).context("the answer's head is not text")?;
    let status = text.get(9..12).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    let mut length = 0;
    for line in text.split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let body = head + 4..head + 4 + length;
    Ok((bytes.len() >= body.end).then_some((status, body)))
}
