//! Where the database is: the URL, of which a few parameters are acceptd's own.

use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::{Error, Result};

/// The schema when the URL names none.
pub(super) const SCHEMA: &str = "acceptd";

/// A database, and how it is used.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) config: Config,
    /// The schema that holds acceptd's tables.
    pub(super) schema: String,
    /// Whether a pooler stands before it that may give each transaction another server process.
    pub(super) pooled: bool,
    /// A file of certificates to trust in place of the system's.
    pub(super) root_cert: Option<String>,
}

impl Place {
    /// The place that a URL names: `postgres://user:password@host:port/database`, with the parameters of libpq and
    /// `schema` and `pooler=transaction`.
    pub(super) fn of(url: &str) -> Result<Self> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut schema, mut pooled, mut root_cert, mut theirs) = (SCHEMA.to_owned(), false, None, Vec::new());
        let mut mode = None;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=').unwrap_or((parameter, "")) {
                ("schema", name) => schema = schema_name(name)?,
                ("pooler", "transaction") => pooled = true,
                ("pooler", "session" | "") => pooled = false,
                ("pooler", other) => {
                    return Err(Error::invalid(format!("pooler={other} is no way to pool; write pooler=transaction")));
                }
                ("sslrootcert", file) => root_cert = Some(file.replace("%2F", "/")),
                ("sslmode", "verify-full" | "verify-ca" | "require") => mode = Some(SslMode::Require),
                ("sslmode", "disable") => mode = Some(SslMode::Disable),
                ("sslmode", "prefer") => mode = Some(SslMode::Prefer),
                ("sslmode", other) => {
                    let message = format!("sslmode={other} is none of disable, prefer, require and verify-full");
                    return Err(Error::invalid(message));
                }
                _ => theirs.push(parameter),
            }
        }
        let theirs = if theirs.is_empty() { String::new() } else { format!("?{}", theirs.join("&")) };
        let mut config: Config = format!("{base}{theirs}").parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Error::invalid(format!("the store's URL can't be read: {why}"))
        })?;
        let local = config.get_hosts().iter().all(is_local);
        config.ssl_mode(mode.unwrap_or(if local { SslMode::Disable } else { SslMode::Prefer }));
        if config.get_application_name().is_none() {
            config.application_name("acceptd");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(3));
        config.tcp_user_timeout(Duration::from_secs(10));
        Ok(Self { config, schema, pooled, root_cert })
    }

    /// The place in words, without a password.
    pub(super) fn name(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(host) => host.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let host = hosts.collect::<Vec<_>>().join(",");
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("postgres://{host}:{port}/{database}")
    }

    /// The channel that nodes call one another on.
    pub(super) fn channel(&self) -> String {
        format!("acceptd_{}", self.schema)
    }

    /// The key of the lock that whoever writes to this schema holds: the same for every node.
    pub(super) fn pen(&self) -> i64 {
        let digest = self
            .schema
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        i64::from_ne_bytes(digest.to_ne_bytes())
    }
}

pub(super) fn schema_name(name: &str) -> Result<String> {
    let is_word = |name: &str| {
        name.len() <= 48
            && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
            && !name.starts_with("pg_")
            && name != "public"
    };
    match is_word(name) {
        true => Ok(name.to_owned()),
        false => Err(Error::invalid(format!(
            "{name:?} is no name for a schema of acceptd's own: up to 48 of a-z, 0-9 and _, with no digit first"
        ))),
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_parameters_are_taken_out_of_the_url() {
        let place = Place::of(
            "postgres://me:secret@localhost:5433/app?schema=queue&pooler=transaction&target_session_attrs=any",
        )
        .unwrap();
        assert_eq!((place.schema.as_str(), place.pooled), ("queue", true));
        assert_eq!(place.name(), "postgres://localhost:5433/app");
        assert_eq!(place.config.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn another_machine_is_asked_for_tls() {
        let mode = |url: &str| Place::of(url).unwrap().config.get_ssl_mode();
        assert_eq!(mode("postgres://db.internal/app"), SslMode::Prefer);
        assert_eq!(mode("postgres://db.internal/app?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("postgres://db.internal/app?sslmode=disable"), SslMode::Disable);
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        let wrong = |url: &str| Place::of(url).unwrap_err().message().to_owned();
        assert!(wrong("postgres://h/d?schema=Up").contains("\"Up\" is no name for a schema of acceptd's own"));
        assert!(wrong("postgres://h/d?sslmode=maybe").contains("sslmode=maybe is none of"));
        assert!(wrong("postgres://h/d?pooler=statement").contains("pooler=statement"));
        assert!(wrong("postgres://h/d?colour=red").contains("the store's URL can't be read"));
    }
}
