//! Server-sent events: what a stream of the API says, one message after the other.

use futures_util::StreamExt as _;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;

use crate::cli::client::Client;
use crate::exit::{Exit, Failure, Result};

/// The largest message that is read.
const MESSAGE_MAX: usize = 16 << 20;

/// A message of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    /// Its name: `operation`, `end`.
    pub(crate) name: String,
    /// Its document; null when it has none.
    pub(crate) data: Value,
}

/// A stream that is being read.
pub(crate) struct Stream {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    parser: MessageParser,
}

impl Stream {
    /// Opens a stream; `after` is the id of the last message that was seen.
    pub(crate) async fn open(client: &Client, segments: &[&str], after: Option<&str>) -> Result<Self> {
        let request = client.request(Method::GET, client.url(segments)).header(ACCEPT, "text/event-stream");
        let request = match after {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let answer = client.open(request).await?;
        Ok(Self { bytes: answer.bytes_stream().boxed(), parser: MessageParser::default() })
    }

    /// The next message; None when the stream is over.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(message) = self.parser.take()? {
                return Ok(Some(message));
            }
            match self.bytes.next().await {
                Some(Ok(bytes)) => self.parser.feed(&bytes),
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }

    /// The id of the last message, to go on from there.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.parser.last_id.as_deref()
    }
}

/// Takes messages out of bytes that come in pieces.
#[derive(Default)]
struct MessageParser {
    pending: Vec<u8>,
    name: String,
    data: String,
    last_id: Option<String>,
}

impl MessageParser {
    fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    fn take(&mut self) -> Result<Option<Message>> {
        if self.pending.len() + self.data.len() > MESSAGE_MAX {
            return Err(Failure::new(Exit::Error, "the server sends a message that is too large"));
        }
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(message) = self.line(line.trim_end_matches(['\r', '\n'])) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            let named = !name.is_empty() || !data.is_empty();
            return named.then(|| Message { name, data: serde_json::from_str(&data).unwrap_or(Value::Null) });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" => self.last_id = Some(value.to_owned()),
            "data" if self.data.is_empty() => value.clone_into(&mut self.data),
            "data" => {
                self.data.push('\n');
                self.data.push_str(value);
            }
            // Comments keep the connection alive; other fields mean nothing to us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_come_in_pieces() {
        let mut parser = MessageParser::default();
        let mut seen = Vec::new();
        let text = ": hello\n\nid: 7\r\nevent: operation\ndata: {\"a\":\ndata: 1}\n\nevent:end\ndata:{}\n\n";
        for byte in text.as_bytes() {
            parser.feed(&[*byte]);
            seen.extend(parser.take().unwrap());
        }
        assert_eq!(parser.last_id.as_deref(), Some("7"));
        assert_eq!(
            seen,
            [
                Message { name: "operation".into(), data: json!({ "a": 1 }) },
                Message { name: "end".into(), data: json!({}) }
            ]
        );
    }
}
