//! Connecting, and bringing the schema up to date.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{self, Try};
use super::place::Place;
use super::row::get;
use super::session::Session;
use crate::{Error, ErrorKind, Result};

/// The schema's versions: each script leads from the one before.
const MIGRATIONS: [&str; 2] = [include_str!("migrations/0001_first.sql"), include_str!("migrations/0002_accept.sql")];

/// The oldest server that is known to work.
const SERVER_MIN: i32 = 150_000;

/// What holds for every statement of acceptd's. A commit waits for the disk, whatever the server's default is; a
/// session that stops in the midst of a transaction loses it, so that others can write; and statements have the plans
/// that they were written for, with statistics or without.
pub(super) const SETTINGS: [(&str, &str); 11] = [
    ("synchronous_commit", "on"),
    ("idle_in_transaction_session_timeout", "'2s'"),
    ("lock_timeout", "'10s'"),
    ("statement_timeout", "'60s'"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("client_min_messages", "warning"),
];

/// A session with acceptd's settings, driven by the runtime that this runs in. `heard` is told of other nodes' calls.
pub(super) async fn connect(place: &Place, heard: Arc<Notify>) -> Result<Session> {
    let wrong = |cause| error::at_open(&place.name(), cause);
    let (client, driver): (Client, Driver) = if place.config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = place.config.connect(NoTls).await.map_err(wrong)?;
        (client, Box::pin(drive(connection, heard)))
    } else {
        let (client, connection) = place.config.connect(tls(place)?).await.map_err(wrong)?;
        (client, Box::pin(drive(connection, heard)))
    };
    let local = if place.pooled { "LOCAL " } else { "" };
    let mut settings = format!("SET {local}search_path TO {};", place.schema);
    for (name, value) in SETTINGS {
        let _ = write!(settings, "SET {local}{name} TO {value};");
    }
    tokio::spawn(driver);
    let session = Session::new(client, place.pooled, settings).await.map_err(|stop| at_open(place, stop))?;
    Ok(session)
}

/// What must be polled for a session to get anywhere.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Drives a connection until it ends, which is seen by whoever uses the session.
async fn drive<S, T>(mut connection: Connection<S, T>, heard: Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match std::future::poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => heard.notify_one(),
            Some(Ok(_)) => {}
            Some(Err(error)) => return tracing::debug!(%error, "a connection to the database ended"),
            None => return,
        }
    }
}

fn tls(place: &Place) -> Result<MakeRustlsConnect> {
    let wrong = |what: &str, cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::InvalidArgument, what.to_owned()).caused_by(cause)
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| wrong("TLS can't be used", error.into()))?;
    let Some(file) = &place.root_cert else {
        let roots = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.certs);
        return Ok(MakeRustlsConnect::new(config.with_root_certificates(store).with_no_client_auth()));
    };
    let unreadable = || format!("sslrootcert: {file} holds no certificates that can be read");
    let mut store = RootCertStore::empty();
    let pem = std::fs::read(file).map_err(|error| wrong(&unreadable(), error.into()))?;
    for certificate in rustls::pki_types::pem::PemObject::pem_slice_iter(&pem) {
        let certificate: rustls::pki_types::CertificateDer<'_> =
            certificate.map_err(|error| wrong(&unreadable(), error.to_string().into()))?;
        store.add(certificate).map_err(|error| wrong(&unreadable(), error.into()))?;
    }
    if store.is_empty() {
        return Err(Error::invalid(unreadable()));
    }
    Ok(MakeRustlsConnect::new(config.with_root_certificates(store).with_no_client_auth()))
}

/// Creates the tables, or brings them up to this version's, under a lock and in one transaction.
pub(super) async fn migrate(session: &Session, place: &Place) -> Result<()> {
    check_server(session).await.map_err(|stop| at_open(place, stop))?;
    let known = version(session, place).await.map_err(|stop| at_open(place, stop))?;
    if known.is_none_or(|known| (known as usize) < MIGRATIONS.len()) {
        let migrated = apply(session, place).await;
        if migrated.is_err() {
            let _ = session.simple("ROLLBACK").await;
        }
        migrated.map_err(|stop| at_open(place, stop))?;
    }
    match version(session, place).await.map_err(|stop| at_open(place, stop))? {
        Some(known) if known as usize > MIGRATIONS.len() => Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "the schema {} in {} is of a newer acceptd: it has version {known}, and this acceptd knows {}",
                place.schema,
                place.name(),
                MIGRATIONS.len()
            ),
        )),
        _ => Ok(()),
    }
}

fn at_open(place: &Place, stop: error::Stop) -> Error {
    match stop {
        error::Stop::Broken(error::Failure::Server(cause)) => error::at_open(&place.name(), cause),
        other => other.into(),
    }
}

async fn check_server(session: &Session) -> Try<()> {
    session.begin("").await?;
    let row = session.row("SELECT current_setting('server_version_num')::integer", &[]).await;
    session.simple("COMMIT").await?;
    let Some(row) = row? else { return Ok(()) };
    let version: i32 = get(&row, 0)?;
    match version >= SERVER_MIN {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("the database is PostgreSQL {}; acceptd needs {} or newer", version / 10_000, SERVER_MIN / 10_000),
        )
        .into()),
    }
}

/// The version of the tables that are there; None when there are none.
async fn version(session: &Session, place: &Place) -> Try<Option<i32>> {
    session.begin("").await?;
    let table = format!("{}.migrations", place.schema);
    let there = session.row("SELECT to_regclass($1) IS NOT NULL", &[&table]).await;
    let version = match there {
        Ok(Some(row)) if get(&row, 0)? => {
            let newest = session.row("SELECT max(version) FROM migrations", &[]).await;
            newest.and_then(|row| row.map_or(Ok(None), |row| get(&row, 0)))
        }
        other => other.map(|_| None),
    };
    session.simple(if version.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    version
}

async fn apply(session: &Session, place: &Place) -> Try<()> {
    session.begin("").await?;
    session.rows("SELECT pg_advisory_xact_lock($1)", &[&place.pen()]).await?;
    session.simple(&format!("CREATE SCHEMA IF NOT EXISTS {}", place.schema)).await?;
    session
        .simple("CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY, at timestamptz DEFAULT now())")
        .await?;
    // Another node may have been first.
    let done: Option<i32> = match session.row("SELECT max(version) FROM migrations", &[]).await? {
        Some(row) => get(&row, 0)?,
        None => None,
    };
    for (at, script) in MIGRATIONS.iter().enumerate().skip(usize::try_from(done.unwrap_or(0)).unwrap_or_default()) {
        session.simple(script).await?;
        session.simple(&format!("INSERT INTO migrations (version) VALUES ({})", at + 1)).await?;
    }
    session.simple("COMMIT").await
}
