//! Real servers for tests: each private to this process, on a free loopback port, with its data in a folder of its own.
//!
//! Nothing is left over, however a test ends: a small watcher ends the server and removes the folder as soon as this
//! process is gone. A server's programs may not be on a machine: [`available`] says so loudly, and where nothing may
//! be skipped, it fails.

pub mod certificate;
pub mod cut;

mod home;
pub mod pgbouncer;

pub mod postgres;
mod programs;
pub mod redis;

use std::io::Write as _;
use std::sync::Mutex;

/// How long a start, a stop or an answer of psql may take before the test gives up; no promise is measured by it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A server that tests can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL, 15 or newer.
    Postgres,
    /// Redis.
    Redis,
    /// PgBouncer, a pooler of connections to PostgreSQL.
    Pgbouncer,
}

impl Server {
    /// Its name in `ACCEPTD_TEST_REQUIRE`.
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Pgbouncer => "pgbouncer",
        }
    }

    /// The programs that are started, and the package of Debian that has them.
    fn needs(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Postgres => (&["postgres", "initdb", "psql"], "postgresql"),
            Self::Redis => (&["redis-server", "redis-cli"], "redis-server"),
            Self::Pgbouncer => (&["pgbouncer"], "pgbouncer"),
        }
    }
}

/// Whether a server can be started here. If not, it says so on stderr, past what catches the output of tests.
///
/// # Panics
/// When it can't be, and nothing may be skipped: `CI=true`, or `ACCEPTD_TEST_REQUIRE=postgres,redis` names it.
pub fn available(server: Server) -> bool {
    static TOLD: Mutex<Vec<Server>> = Mutex::new(Vec::new());
    let (needed, package) = server.needs();
    if programs::folder_with(needed).is_some() {
        return true;
    }
    let name = server.name();
    let what = format!("{} are not all on this machine: apt-get install {package}", needed.join(", "));
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    assert!(!is_required(name, &variable("CI"), &variable("ACCEPTD_TEST_REQUIRE")), "nothing may be skipped: {what}");
    let mut told = TOLD.lock().expect("no panic");
    if !told.contains(&server) {
        told.push(server);
        writeln!(std::io::stderr(), "\nSKIPPED SKIPPED SKIPPED: what is tested with {name}; {what}\n").ok();
    }
    false
}

/// Whether tests with this server must run, by the variables `CI` and `ACCEPTD_TEST_REQUIRE`.
fn is_required(name: &str, ci: &str, required: &str) -> bool {
    ci == "true" || required.split(',').any(|one| one.trim() == name)
}

#[cfg(test)]
mod tests {
    use super::is_required;

    #[test]
    fn ci_or_the_list_require_a_server() {
        assert!(!is_required("redis", "", ""));
        assert!(!is_required("redis", "false", "postgres"));
        assert!(is_required("redis", "true", ""));
        assert!(is_required("redis", "", "postgres, redis"));
    }
}
