//! A small HTTP/1.1 client on one kept connection: fast enough to flood, and it hides nothing.
//!
//! It never repeats a request by itself: whether a request whose answer was lost is sent again is the caller's
//! decision.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One client with one connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        let broken = |error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap_or_else(broken)
    }

    /// The last part of a problem's type: `storage-full` of `/problems/storage-full`.
    pub fn problem(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let kind = json["type"].as_str().unwrap_or_default();
        kind.rsplit('/').next().unwrap_or_default().to_owned()
    }
}

impl Client {
    /// A client of this address; it connects with its first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: Vec::new(), timeout: Duration::from_secs(30) }
    }

    /// A GET.
    ///
    /// # Errors
    /// When there is no whole answer; the request may have been carried out all the same.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.call("GET", path, &[], b"").await
    }

    /// A POST of JSON.
    ///
    /// # Errors
    /// As for `get`.
    pub async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let json = [("content-type", "application/json")];
        let given = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let headers: Vec<_> = json.iter().filter(|_| !given).chain(headers).copied().collect();
        self.call("POST", path, &headers, body).await
    }

    async fn call(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        // Taken out while in use: after an error or a drop half way the connection is gone.
        let stream = self.stream.take();
        let exchange = exchange(self.address, stream, &mut self.buffer, &bytes);
        let exchanged = tokio::time::timeout(self.timeout, exchange).await;
        let (stream, answer) = exchanged.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, "no answer")))?;
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.stream = (!closes).then_some(stream);
        Ok(answer)
    }
}

async fn exchange(
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: &mut Vec<u8>,
    request: &[u8],
) -> Result<(TcpStream, Answer)> {
    let mut stream = match stream {
        Some(stream) => stream,
        None => {
            buffer.clear();
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    stream.write_all(request).await?;
    let end = until(&mut stream, buffer, b"\r\n\r\n").await?;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Error::new(ErrorKind::InvalidData, "no status line"))?;
    let mut answer = Answer { status, head, body: Vec::new() };
    if answer.header("transfer-encoding").is_some() {
        answer.body = chunks(&mut stream, buffer).await?;
    } else {
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        fill(&mut stream, buffer, length).await?;
        answer.body = buffer.drain(..length).collect();
    }
    Ok((stream, answer))
}

async fn chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = until(stream, buffer, b"\r\n").await?;
        let size = String::from_utf8_lossy(&buffer[..line]).trim().to_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| Error::new(ErrorKind::InvalidData, "no chunk"))?;
        fill(stream, buffer, line + size + 2).await?;
        body.extend_from_slice(&buffer[line..line + size]);
        buffer.drain(..line + size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn until(stream: &mut TcpStream, buffer: &mut Vec<u8>, mark: &[u8]) -> Result<usize> {
    loop {
        let found = buffer.windows(mark.len()).position(|window| window == mark);
        if let Some(found) = found {
            return Ok(found + mark.len());
        }
        read_more(stream, buffer).await?;
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Result<()> {
    while buffer.len() < length {
        read_more(stream, buffer).await?;
    }
    Ok(())
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
