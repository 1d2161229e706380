//! Serving: one task for each connection, HTTP/1.1, a graceful end.
//!
//! Clients that dribble their headers, or say nothing for long, are cut off by a slow tick for each connection. A
//! timer for each request, as hyper has it, would cost more than the rest of a small request's handling, and would cut
//! off idle connections that clients keep for their next request.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper::{Request, service::service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that may be open at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 20_000;
/// How often a connection is looked at.
const TICK: Duration = Duration::from_millis(2_500);
/// After so many ticks with a part of the headers, the rest comes too late: 10 s at most.
const HEAD_TICKS: u32 = 4;
/// After so many ticks without a byte in either direction, an idle connection is closed: 2 min.
const IDLE_TICKS: u32 = 48;
/// The most bytes of a request's line and headers that are read at all. The API itself refuses less with a problem.
const HEAD_MAX: usize = 128 << 10;
/// How long accepting rests when there is no socket to be had.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Serves a router until `shutdown` returns, then ends connections as they become idle and returns when the last one is
/// gone. What keeps requests from ending is for the caller to stop: [`acceptd::Engine::shut_down`] ends streams.
///
/// # Errors
/// Never; it is a result so that it can be a `main`'s last expression.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
    let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = next => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((socket, _)) => {
                // A token of its own: a shared one would make every connection take the same lock.
                let (router, stop) = (router.clone(), stop.child_token());
                connections.spawn(async move {
                    connection(socket, router, stop).await;
                    drop(place);
                });
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    drop(listener);
    stop.cancel();
    connections.close();
    connections.wait().await;
    Ok(())
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(socket: TcpStream, router: Router, stop: CancellationToken) {
    // Answers are small and written whole: waiting for more to send would only delay them.
    let _ = socket.set_nodelay(true);
    let pulse = Arc::new(Pulse::default());
    let io = TokioIo::new(Watched { socket, pulse: Arc::clone(&pulse) });
    let api = TowerToHyperService::new(router);
    let of_requests = Arc::clone(&pulse);
    let service = service_fn(move |request: Request<Incoming>| {
        let guard = InRequest::enter(Arc::clone(&of_requests));
        let answering = api.call(request);
        async move {
            let answer = answering.await;
            drop(guard);
            answer
        }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(HEAD_MAX);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut watch = Watch::default();
    let mut tick = tokio::time::interval(TICK);
    let mut stopped = pin!(stop.cancelled());
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended badly");
                }
                return;
            }
            () = &mut stopped, if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = tick.tick() => {
                if watch.is_over(&pulse) {
                    return;
                }
            }
        }
    }
}

/// What a connection did since it was looked at last.
#[derive(Default)]
struct Pulse {
    /// A request is being answered.
    in_request: AtomicBool,
    /// Bytes came since the last request was taken or answered.
    has_read: AtomicBool,
    /// Bytes came or went since the last tick, or a request began or ended.
    has_moved: AtomicBool,
}

/// A request on its way; reading its body counts as its own business.
struct InRequest(Arc<Pulse>);

impl InRequest {
    fn enter(pulse: Arc<Pulse>) -> Self {
        pulse.in_request.store(true, Ordering::Relaxed);
        Self(pulse)
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.has_moved.store(true, Ordering::Relaxed);
        self.0.has_read.store(false, Ordering::Relaxed);
        self.0.in_request.store(false, Ordering::Relaxed);
    }
}

/// Counts ticks of silence.
#[derive(Default)]
struct Watch {
    partial: u32,
    idle: u32,
}

impl Watch {
    fn is_over(&mut self, pulse: &Pulse) -> bool {
        let moved = pulse.has_moved.swap(false, Ordering::Relaxed);
        if pulse.in_request.load(Ordering::Relaxed) {
            *self = Self::default();
            return false;
        }
        let partial = pulse.has_read.load(Ordering::Relaxed);
        self.partial = if partial { self.partial + 1 } else { 0 };
        self.idle = if moved { 0 } else { self.idle + 1 };
        self.partial >= HEAD_TICKS || self.idle >= IDLE_TICKS
    }
}

/// A socket that notes when bytes come and go.
struct Watched {
    socket: TcpStream,
    pulse: Arc<Pulse>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pulse.has_read.store(true, Ordering::Relaxed);
            self.pulse.has_moved.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pulse.has_moved.store(true, Ordering::Relaxed);
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pulse.has_moved.store(true, Ordering::Relaxed);
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks_until_over(pulse: &Pulse, each: impl Fn(&Pulse)) -> Option<u32> {
        let mut watch = Watch::default();
        (1..=100).find(|_| {
            each(pulse);
            watch.is_over(pulse)
        })
    }

    #[test]
    fn dribbled_headers_and_silence_end_a_connection() {
        let dribble = |pulse: &Pulse| {
            pulse.has_read.store(true, Ordering::Relaxed);
            pulse.has_moved.store(true, Ordering::Relaxed);
        };
        assert_eq!(ticks_until_over(&Pulse::default(), dribble), Some(HEAD_TICKS));
        assert_eq!(ticks_until_over(&Pulse::default(), |_| {}), Some(IDLE_TICKS));
        let stream = |pulse: &Pulse| pulse.has_moved.store(true, Ordering::Relaxed);
        assert_eq!(ticks_until_over(&Pulse::default(), stream), None, "a stream that sends goes on");
        let pulse = Arc::new(Pulse::default());
        let request = InRequest::enter(Arc::clone(&pulse));
        assert_eq!(ticks_until_over(&pulse, dribble), None, "a long request goes on");
        drop(request);
        assert!(!pulse.has_read.load(Ordering::Relaxed));
    }
}
