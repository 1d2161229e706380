//! When bytes arrived: as the kernel saw it where it tells, which is on Linux.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

/// The present instant in nanoseconds since 1970, by a clock that no test sets.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_nanos()).expect("before 2262")
}

/// Asks the kernel to note when bytes arrive at the connections that this one takes: before there is any, as what comes
/// with a new one comes at once.
#[cfg(target_os = "linux")]
pub(super) fn ask_for_stamps(listener: &TcpListener) {
    use nix::sys::socket::{TimestampingFlag, setsockopt, sockopt::Timestamping};
    let flags = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
    setsockopt(listener, Timestamping, &flags).expect("Linux notes when bytes arrive");
}

/// Receives bytes, and when the last of them arrived, in nanoseconds since 1970.
#[cfg(target_os = "linux")]
pub(super) async fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, i64)> {
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, Timestamps, recvmsg};
    let mut space = nix::cmsg_space!(Timestamps);
    stream
        .async_io(Interest::READABLE, || {
            let mut parts = [io::IoSliceMut::new(buffer)];
            let received = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
            let mut stamp = None;
            for message in received.cmsgs()? {
                if let ControlMessageOwned::ScmTimestampsns(Timestamps { system, .. }) = message {
                    stamp = Some(system.tv_sec() * 1_000_000_000 + system.tv_nsec());
                }
            }
            // Only the end of a connection has none.
            assert!(stamp.is_some() || received.bytes == 0, "the kernel notes when bytes arrive");
            Ok((received.bytes, stamp.unwrap_or_else(now)))
        })
        .await
}

/// Elsewhere nobody notes it.
#[cfg(not(target_os = "linux"))]
pub(super) fn ask_for_stamps(_listener: &TcpListener) {}

/// Receives bytes, and when they were read.
#[cfg(not(target_os = "linux"))]
pub(super) async fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, i64)> {
    let bytes = stream.async_io(Interest::READABLE, || stream.try_read(buffer)).await?;
    Ok((bytes, now()))
}
