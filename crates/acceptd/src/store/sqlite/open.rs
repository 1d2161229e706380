//! Opening the file: the lock, the checks that it is ours, the settings, the migrations.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::Options;
use super::{error, moved};
use crate::{Error, ErrorKind, Result};

/// The `application_id` of our files: "accd".
pub(super) const APPLICATION_ID: i32 = 0x6163_6364;
/// The same for a file whose store was moved elsewhere: "accm". No acceptd takes it for one of its own.
pub(super) const MOVED_ID: i32 = 0x6163_636d;
/// The oldest SQLite without the WAL-reset fault.
const SQLITE_MIN: i32 = 3_051_003;
/// Each migration takes the schema from its index to the next version.
const MIGRATIONS: [&str; 2] =
    [include_str!("migrations/0001_init.sql"), include_str!("migrations/0002_observations.sql")];

/// How often the lock is asked for. A program that another one starts has it for a moment too, until it is itself.
const LOCK_TRIES: u32 = 20;
/// How long it waits in between.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Takes the lock that keeps other processes out. It is held until the file is dropped.
pub(super) fn lock(path: &Path) -> Result<File> {
    let lock_path = beside(path, ".lock");
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&lock_path);
    let file = opened.map_err(|cause| cannot_lock(path, cause))?;
    let mut locked = file.try_lock();
    for _ in 0..LOCK_TRIES {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("{} is held by another process that is running now", path.display());
            Err(Error::new(ErrorKind::Locked, message))
        }
        Err(TryLockError::Error(cause)) => {
            let message = format!("{} can't be locked: {cause}", lock_path.display());
            Err(Error::new(ErrorKind::Unavailable, message).caused_by(cause))
        }
    }
}

fn cannot_lock(path: &Path, cause: io::Error) -> Error {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = directory.display();
    let message = match cause.kind() {
        io::ErrorKind::NotFound => format!("the directory {directory} of the store's file does not exist"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("the directory {directory} of the store's file can't be written to")
        }
        io::ErrorKind::StorageFull => format!("the disk is full, so no store can be opened in {directory}"),
        _ => format!("no store can be opened in {directory}: {cause}"),
    };
    let kind = if cause.kind() == io::ErrorKind::StorageFull { ErrorKind::StorageFull } else { ErrorKind::Unavailable };
    Error::new(kind, message).caused_by(cause)
}

/// Opens the writing connection; the file is new or brought to the present schema.
pub(super) fn writer(path: &Path, options: &Options) -> Result<Connection> {
    if rusqlite::version_number() < SQLITE_MIN {
        let message = format!("SQLite {} is too old: 3.51.3 is the first without a known fault", rusqlite::version());
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    check_writable(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|cause| error::at_open(path, cause))?;
    let version = whose(&conn, path)?;
    configure(&conn, options).map_err(|cause| error::at_open(path, cause))?;
    lay_out_log(path, options.log_kib);
    migrate(&conn, version).map_err(|cause| error::at_open(path, cause))?;
    Ok(conn)
}

/// Opens the connection that writes the log back into the file.
pub(super) fn checkpointer(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -256;")?;
        if cfg!(target_os = "macos") {
            conn.execute_batch("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;")?;
        }
        Ok(conn)
    };
    open().map_err(|cause| error::at_open(path, cause))
}

/// Opens a reading connection.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.set_prepared_statement_cache_capacity(64);
        conn.execute_batch("PRAGMA cache_size = -2000; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;")?;
        Ok(conn)
    };
    open().map_err(|cause| error::at_open(path, cause))
}

/// Gives an empty log its size, in zeros: SQLite writes over them from the start, since a log without its header is
/// empty. Where there is no room for it, the log grows as it always would.
fn lay_out_log(path: &Path, kib: u32) {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(beside(path, "-wal"));
    let Ok(mut log) = opened else { return };
    if log.metadata().map_or(true, |log| log.len() > 0) {
        return;
    }
    let zeros = [0; 64 * 1_024];
    let laid_out = (0..kib / 64).try_for_each(|_| log.write_all(&zeros)).and_then(|()| log.sync_all());
    if let Err(error) = laid_out {
        tracing::info!(%error, "the write-ahead log starts small");
        log.set_len(0).ok();
    }
}

/// The file of this name with something after it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn check_writable(path: &Path) -> Result<()> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Err(cause) if matches!(cause.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            let message = format!("{} can't be written to", path.display());
            Err(Error::new(ErrorKind::Unavailable, message).caused_by(cause))
        }
        Err(cause) if cause.kind() == io::ErrorKind::IsADirectory => {
            Err(Error::new(ErrorKind::Unavailable, format!("{} is a directory, not a file", path.display())))
        }
        _ => Ok(()),
    }
}

/// The version of the file's schema, 0 for a new file; an error for a file that is not ours.
fn whose(conn: &Connection, path: &Path) -> Result<usize> {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let read = || Ok((number("PRAGMA application_id")?, number("PRAGMA user_version")?, number(TABLES)?));
    let (application, version, tables) = read().map_err(|cause| error::at_open(path, cause))?;
    if tables == 0 && application == 0 && version == 0 {
        return Ok(0);
    }
    if application == i64::from(MOVED_ID) {
        let moved = moved::read(conn).map_err(|cause| error::at_open(path, cause))?;
        return Err(moved.refusal(path));
    }
    if application != i64::from(APPLICATION_ID) {
        let message = format!("{} is a database of another program, not a file of acceptd", path.display());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => {
            let message = format!(
                "{} was written by a newer acceptd (schema {version}, this one knows up to {})",
                path.display(),
                MIGRATIONS.len()
            );
            Err(Error::new(ErrorKind::Unavailable, message))
        }
    }
}

const TABLES: &str = "SELECT count(*) FROM sqlite_schema";

fn configure(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(128);
    conn.execute_batch(&format!(
        "PRAGMA page_size = {page_size};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{cache_kib};
         PRAGMA wal_autocheckpoint = {checkpoint_pages};
         PRAGMA journal_size_limit = 268435456;",
        page_size = options.page_size,
        cache_kib = options.cache_kib,
        checkpoint_pages = options.checkpoint_pages,
    ))?;
    if crate::fault::planted("commit-without-fsync") {
        conn.execute_batch("PRAGMA synchronous = OFF;")?;
    }
    if cfg!(target_os = "macos") {
        conn.execute_batch("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;")?;
    }
    Ok(())
}

fn migrate(conn: &Connection, version: usize) -> rusqlite::Result<()> {
    for (from, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let to = from + 1;
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE; {sql}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {to}; COMMIT;"
        ))?;
    }
    Ok(())
}
