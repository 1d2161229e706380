//! A service as the consumers' endpoints see it: it works for a while, fails now and then, refuses now and then, and
//! keeps account of every visit. It keeps the contract of a target: it works no longer than `Acceptd-Timeout` says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::stamp;
use crate::harness::ledger::Ledger;

/// For so long a refusal asks to be left alone.
pub const REFUSED_FOR: Duration = Duration::from_millis(200);

/// One request, from its arrival until the service no longer works on it.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    /// Which consumer's.
    pub consumer: usize,
    /// The account that it is for.
    pub account: u32,
    /// The zone that it is in.
    pub zone: u32,
    /// When it arrived, in nanoseconds since 1970.
    pub arrived: i64,
    /// When the work ended.
    pub ended: i64,
    /// Whether it was refused with 429.
    pub refused: bool,
}

/// A service that listens.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    visits: Arc<Ledger<Visit>>,
    /// One of so many visits is refused.
    refuses: u32,
    rng: Mutex<SmallRng>,
    /// Cancelled when the service dies; another one takes its place.
    life: Mutex<CancellationToken>,
    is_going: watch::Sender<bool>,
}

impl Service {
    /// Starts one that writes its visits down here.
    pub async fn start(visits: Arc<Ledger<Visit>>, refuses: u32, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        stamp::ask_for_stamps(&listener);
        let rng = Mutex::new(SmallRng::seed_from_u64(seed));
        let (life, is_going) = (Mutex::default(), watch::Sender::new(true));
        let service = Self(Arc::new(Inner { address, visits, refuses, rng, life, is_going }));
        tokio::spawn(service.clone().listen(listener));
        service
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Dies and starts again: connections break, and what it worked on ends.
    pub fn die(&self) {
        std::mem::take(&mut *self.0.life.lock().expect("no panic")).cancel();
    }

    /// Stops: it neither reads nor answers for so long; what arrives meanwhile waits.
    pub async fn stop(&self, length: Duration) {
        self.0.is_going.send_replace(false);
        tokio::time::sleep(length).await;
        self.0.is_going.send_replace(true);
    }

    async fn listen(self, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let life = self.0.life.lock().expect("no panic").clone();
            tokio::spawn(self.clone().serve(stream, life));
        }
    }

    /// Answers one connection's requests, one after the other.
    async fn serve(self, mut stream: TcpStream, life: CancellationToken) {
        let (mut buffer, mut going) = (Vec::new(), self.0.is_going.subscribe());
        stream.set_nodelay(true).ok();
        loop {
            let asked = life.run_until_cancelled(request(&stream, &mut buffer)).await.flatten();
            let Some(request) = asked else { return };
            let (answer, visit) = self.work(&request, &life, &mut going).await;
            // What is counted as ended has ended before anyone can know.
            self.0.visits.add(Visit { ended: stamp::now().min(visit.ended), ..visit });
            if life.is_cancelled() || stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// Works until it is done, dead or out of time.
    async fn work(
        &self,
        request: &Request,
        life: &CancellationToken,
        going: &mut watch::Receiver<bool>,
    ) -> (String, Visit) {
        let fate = self.fate();
        let ends = request.arrived + i64::try_from(request.timeout.as_nanos()).expect("not for centuries");
        let Request { consumer, account, zone, arrived, .. } = *request;
        let refused = fate.status == 429;
        let visit = Visit { consumer, account, zone, arrived, ended: ends, refused };
        let working = async {
            tokio::time::sleep(fate.takes.min(request.timeout)).await;
            going.wait_for(|is_going| *is_going).await.ok();
        };
        life.run_until_cancelled(working).await;
        (fate.answer(), visit)
    }

    fn fate(&self) -> Fate {
        let mut rng = self.0.rng.lock().expect("no panic");
        let status = match rng.random_range(0..100) {
            _ if rng.random_ratio(1, self.0.refuses) => 429,
            0..3 => 500,
            _ => 200,
        };
        let takes = match rng.random_range(0..1_000) {
            _ if status == 429 => 0,
            0..5 => rng.random_range(300..1_500),
            5..50 => rng.random_range(10..60),
            _ => rng.random_range(0..8),
        };
        Fate { status, takes: Duration::from_millis(takes) }
    }
}

/// What becomes of a visit.
struct Fate {
    status: u16,
    takes: Duration,
}

impl Fate {
    fn answer(&self) -> String {
        let more = match self.status {
            429 => format!("x-ratelimit-reset: {}\r\n", REFUSED_FOR.as_secs_f64()),
            _ => String::new(),
        };
        format!("HTTP/1.1 {} Said\r\n{more}content-length: 0\r\n\r\n", self.status)
    }
}

/// A request as far as it matters here.
struct Request {
    consumer: usize,
    account: u32,
    zone: u32,
    timeout: Duration,
    arrived: i64,
}

/// Reads one request. None when the connection ends before there is a whole one.
async fn request(stream: &TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let (mut part, mut arrived) = ([0; 4_096], None);
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        receive(stream, &mut part, buffer, &mut arrived).await?;
    };
    let text = String::from_utf8(buffer[..head].to_vec()).expect("headers are text");
    let header = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let length: usize = header("content-length").expect("a length").parse().expect("a number");
    while buffer.len() < head + length {
        receive(stream, &mut part, buffer, &mut arrived).await?;
    }
    let data: serde_json::Value = serde_json::from_slice(&buffer[head..head + length]).expect("JSON");
    buffer.drain(..head + length);
    let number = |value: &serde_json::Value| u32::try_from(value.as_u64().expect("a number")).expect("a small one");
    let timeout = header("acceptd-timeout").expect("every delivery says it").parse().expect("seconds");
    let path = text.split(' ').nth(1).expect("a path").trim_start_matches('/');
    Some(Request {
        consumer: path.parse().expect("a consumer's number"),
        account: number(&data["account"]),
        zone: number(&data["zone"]),
        timeout: Duration::from_secs_f64(timeout),
        arrived: arrived.expect("it came in some part"),
    })
}

async fn receive(stream: &TcpStream, part: &mut [u8], buffer: &mut Vec<u8>, arrived: &mut Option<i64>) -> Option<()> {
    let (bytes, at) = stamp::receive(stream, part).await.ok().filter(|(bytes, _)| *bytes > 0)?;
    arrived.get_or_insert(at);
    buffer.extend_from_slice(&part[..bytes]);
    Some(())
}
