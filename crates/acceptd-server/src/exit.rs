//! How the process ends: the exit codes, and errors that carry one.

use std::fmt;
use std::process::ExitCode;

/// The exit codes, as `acceptd help exit-codes` documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It worked; an empty list, too.
    Ok = 0,
    /// It did not work, or a check found something.
    Error = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// The operation failed or was canceled.
    Unsuccessful = 5,
    /// The wait is over and the operation is not.
    StillPending = 6,
    /// It waits for something that will not come by itself.
    Blocked = 8,
    /// Interrupted from the keyboard, or by a second signal.
    Interrupted = 130,
}

/// The text of `acceptd help exit-codes`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes of acceptd:

    0  it worked; an empty list, too
    1  it did not work: nothing answers, the server could not start, an error;
       something undeclared was seen (catalog drift); a change breaks somebody (catalog check)
    2  the command line or the configuration is wrong
    3  there is no such operation, delivery, consumer or event type
    5  the operation failed or was canceled (watch, send --wait)
    6  the wait is over and the operation is not (send --wait)
    8  it waits for something that will not come by itself (why)
  130  interrupted";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not work, and the exit code for it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// One sentence; None when there is nobody left to tell.
    pub(crate) message: Option<String>,
}

/// What a command returns.
pub(crate) type Result<T = Exit, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with its exit code.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: Some(message.to_string()) }
    }

    /// A failure without a code of its own.
    pub(crate) fn error(message: impl fmt::Display) -> Self {
        Self::new(Exit::Error, message)
    }
}

impl From<acceptd::Error> for Failure {
    fn from(error: acceptd::Error) -> Self {
        use acceptd::ErrorKind as Kind;
        let exit = match error.kind() {
            Kind::InvalidArgument => Exit::Usage,
            Kind::NotFound | Kind::UnknownEventType => Exit::NotFound,
            _ => Exit::Error,
        };
        Self::new(exit, error)
    }
}

/// Writing to standard output failed: a pipe whose reader has left is no error.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self { exit: Exit::Ok, message: None },
            _ => Self::error(error),
        }
    }
}
