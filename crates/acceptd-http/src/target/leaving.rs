//! A request's body that tells when it leaves: the client asks for it when it writes the request.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as Cx, Poll};
use std::time::Duration;

use acceptd::consumer::Context;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

/// The body of one attempt's request.
pub(super) struct Leaving {
    bytes: Full<Bytes>,
    context: Context,
    promised: Duration,
}

/// The attempt was held up on the way out: its target would work on it for longer than its slots are held.
#[derive(Debug)]
pub(super) struct HeldUp;

impl fmt::Display for HeldUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was held up before it left, and too little of its time is left")
    }
}

impl std::error::Error for HeldUp {}

impl Leaving {
    /// These bytes, for this attempt, which was promised so much time. A body without bytes is never asked for: the
    /// attempt counts as left at once.
    pub(super) fn new(bytes: Bytes, context: Context, promised: Duration) -> Self {
        if bytes.is_empty() {
            context.depart(promised);
        }
        Self { bytes: Full::new(bytes), context, promised }
    }
}

impl Body for Leaving {
    type Data = Bytes;
    type Error = HeldUp;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if !this.bytes.is_end_stream() && !this.context.depart(this.promised) {
            return Poll::Ready(Some(Err(HeldUp)));
        }
        Pin::new(&mut this.bytes).poll_frame(cx).map_err(|never| match never {})
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}
