//! Over a real socket: serving, keeping connections, huge headers, and a graceful end.

use acceptd_http::serve;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::api::{Api, LONG};

struct Served {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

async fn start(api: &Api) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = api.router.clone();
    let ended = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap_or(()) };
        serve(listener, router, shutdown).await.unwrap();
    });
    Served { address, stop, ended }
}

/// Sends bytes and reads one answer: its head, and as much of a body as it announces.
async fn talk(socket: &mut TcpStream, request: &str) -> (String, String) {
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let announced = announced.filter(|_| !request.starts_with("HEAD "));
                let length = announced.map_or(0, |length| length.parse::<usize>().unwrap());
                if body.len() >= length {
                    return (head.to_owned(), body.to_owned());
                }
            }
            let mut part = [0; 4096];
            let count = socket.read(&mut part).await.unwrap();
            assert!(count > 0, "the connection closed after {text:?}");
            bytes.extend_from_slice(&part[..count]);
        }
    };
    tokio::time::timeout(LONG, reading).await.unwrap()
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: h:1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let api = Api::start().await;
    let served = start(&api).await;
    let mut socket = TcpStream::connect(served.address).await.unwrap();
    for _ in 0..3 {
        let (head, body) = talk(&mut socket, &post("/v1/events/lonely.event", "{\"a\":1}")).await;
        assert!(head.starts_with("HTTP/1.1 202 Accepted"), "{head}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let id = body["id"].as_str().unwrap();
        assert!(head.contains(&format!("location: http://h:1/v1/operations/{id}/result")), "{head}");
        let (head, _) = talk(&mut socket, &format!("GET /v1/operations/{id} HTTP/1.1\r\nhost: h:1\r\n\r\n")).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"));
    }
    let (head, _) = talk(&mut socket, &post("/v1/events/lonely.event", "{\"a\":")).await;
    assert!(head.starts_with("HTTP/1.1 400") && head.contains("application/problem+json"));
    let (head, _) = talk(&mut socket, "HEAD /livez HTTP/1.1\r\nhost: h:1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_not_read() {
    let api = Api::start().await;
    let served = start(&api).await;
    let mut socket = TcpStream::connect(served.address).await.unwrap();
    let request = "POST /v1/events/lonely.event HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
                   content-length: 99999999\r\nexpect: 100-continue\r\n\r\n";
    let (head, body) = talk(&mut socket, request).await;
    assert!(head.starts_with("HTTP/1.1 413") && body.contains("content-too-large"), "{head}");
}

#[tokio::test]
async fn huge_headers() {
    let api = Api::start().await;
    let served = start(&api).await;
    let mut socket = TcpStream::connect(served.address).await.unwrap();
    let large = format!("GET /livez HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(40 << 10));
    let (head, body) = talk(&mut socket, &large).await;
    assert!(head.starts_with("HTTP/1.1 431") && body.contains("headers-too-large"), "{head}");
    // More than is ever read is refused by the protocol's own answer.
    let mut socket = TcpStream::connect(served.address).await.unwrap();
    let huge = format!("GET /livez HTTP/1.1\r\nhost: h\r\nx: {}", "x".repeat(200 << 10));
    let (head, _) = talk(&mut socket, &huge).await;
    assert!(head.starts_with("HTTP/1.1 431"), "{head}");
}

#[tokio::test]
async fn the_end_waits_for_requests_and_not_for_idle_connections() {
    let api = Api::start().await;
    let served = start(&api).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    talk(&mut idle, "GET /livez HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    let waiting = "POST /v1/events/test.gated HTTP/1.1\r\nhost: h\r\nprefer: wait=20\r\n\r\n";
    busy.write_all(waiting.as_bytes()).await.unwrap();
    api.until("/v1/operations", |reply| reply.json()["items"][0]["status"] == "running").await;
    served.stop.send(()).unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(LONG, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty() && !served.ended.is_finished());
    api.gate.add_permits(1);
    let (head, _) = talk(&mut busy, "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    tokio::time::timeout(LONG, served.ended).await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
