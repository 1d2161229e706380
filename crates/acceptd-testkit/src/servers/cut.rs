//! A TCP proxy before any server that breaks connections on purpose: cut, refused, or silent.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::harness::server::free_port;

/// Forwards what comes at its address to the server, until told otherwise. It runs on the runtime it was made on, and
/// closes everything when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: AsyncMutex<Option<JoinHandle<()>>>,
}

/// What the connections look at and count.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    stalled: watch::Sender<bool>,
    connections: Mutex<JoinSet<()>>,
    accepted: AtomicU64,
    forwarded: AtomicU64,
}

impl Proxy {
    /// A proxy on a free loopback port before the server at this address, which need not run yet.
    pub async fn before(server: SocketAddr) -> Self {
        let shared = Shared {
            server,
            stalled: watch::Sender::new(false),
            connections: Mutex::default(),
            accepted: AtomicU64::new(0),
            forwarded: AtomicU64::new(0),
        };
        let addr = (Ipv4Addr::LOCALHOST, free_port()).into();
        let proxy = Self { addr, shared: Arc::new(shared), accepting: AsyncMutex::new(None) };
        proxy.refuse(false).await;
        proxy
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes every connection now, on both sides, with a reset. New ones are accepted. Returns how many there were.
    pub async fn cut(&self) -> usize {
        let mut connections = mem::take(&mut *self.shared.connections());
        let count = connections.len();
        connections.shutdown().await;
        count
    }

    /// From now on nobody listens, or somebody does again. Connections that are open stay open.
    pub async fn refuse(&self, refuse: bool) {
        let mut accepting = self.accepting.lock().await;
        if refuse {
            if let Some(task) = accepting.take() {
                task.abort();
                task.await.ok();
            }
        } else if accepting.is_none() {
            let listener = TcpListener::bind(self.addr).await.expect("the port is ours");
            *accepting = Some(tokio::spawn(accept(listener, self.shared.clone())));
        }
    }

    /// From now on nothing is forwarded, or what was held back and all that follows. Connections stay open, and when
    /// one side closes, the other does not notice: a network that has gone silent.
    pub fn stall(&self, stall: bool) {
        self.shared.stalled.send_replace(stall);
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.connections().len()
    }

    /// Connections that were ever accepted.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Bytes that were forwarded, in both directions together.
    pub fn forwarded(&self) -> u64 {
        self.shared.forwarded.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = self.accepting.get_mut().take() {
            task.abort();
        }
        self.shared.connections().abort_all();
    }
}

impl Shared {
    /// The connections that have not ended.
    fn connections(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        let mut connections = self.connections.lock().expect("no panic");
        while connections.try_join_next().is_some() {}
        connections
    }

    /// Waits while nothing is forwarded.
    async fn flows(&self) {
        self.stalled.subscribe().wait_for(|stalled| !stalled).await.ok();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Too many open files, perhaps: some will be closed.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let connection = serve(Side { stream: client, ended: false }, shared.clone());
        shared.connections().spawn(connection);
    }
}

/// One connection, until both sides have ended, or one breaks, or it is cut.
async fn serve(mut client: Side, shared: Arc<Shared>) {
    shared.flows().await;
    let Ok(server) = TcpStream::connect(shared.server).await else { return };
    let mut server = Side { stream: server, ended: false };
    for side in [&client, &server] {
        side.stream.set_nodelay(true).ok();
    }
    let (from_client, to_client) = client.stream.split();
    let (from_server, to_server) = server.stream.split();
    let ends = tokio::try_join!(pump(from_client, to_server, &shared), pump(from_server, to_client, &shared));
    (client.ended, server.ended) = (ends.is_ok(), ends.is_ok());
}

/// A side of a connection. Dropped before it has ended, its peer sees a reset, which nobody takes for an orderly end.
struct Side {
    stream: TcpStream,
    ended: bool,
}

impl Drop for Side {
    fn drop(&mut self) {
        if !self.ended {
            self.stream.set_zero_linger().ok();
        }
    }
}

async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        shared.flows().await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        shared.forwarded.fetch_add(length as u64, Ordering::Relaxed);
    }
}
