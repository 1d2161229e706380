//! The servers that tests start: they answer, keep their data over a kill, and leave nothing behind.

use acceptd_testkit::servers::certificate::Certificate;
use acceptd_testkit::servers::postgres::{Options, Postgres};
use acceptd_testkit::servers::{self, Server};

#[test]
fn postgres_keeps_what_was_committed_over_a_restart_and_a_kill() {
    if !servers::available(Server::Postgres) {
        return;
    }
    let mut postgres = Postgres::start(Options::default());
    assert_eq!(postgres.sql("SHOW fsync"), "on");
    postgres.sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");
    let (url, started) = (postgres.url("postgres"), "SELECT pg_postmaster_start_time()");
    let first = postgres.sql(started);
    postgres.restart();
    assert_ne!(postgres.sql(started), first);
    postgres.sql("INSERT INTO kept VALUES (2)");
    postgres.kill();
    assert_eq!(postgres.pid(), None);
    let refused = postgres.sql_at(&url, "SELECT 1").unwrap_err();
    assert!(refused.contains("Connection refused"), "{refused}");
    postgres.start_again();
    assert_eq!(postgres.sql("SELECT n FROM kept ORDER BY n"), "1\n2");
    assert!(postgres.log().contains("was not properly shut down"), "it was killed:\n{}", postgres.log());
}

#[test]
fn postgres_is_shared_and_each_test_has_a_place_of_its_own() {
    if !servers::available(Server::Postgres) {
        return;
    }
    let postgres = Postgres::shared();
    assert!(std::ptr::eq(postgres, Postgres::shared()));
    let (one, another) = (postgres.fresh(), postgres.fresh());
    assert_ne!(one, another);
    assert!(one.starts_with(&format!("{}?schema=", postgres.url("postgres"))), "{one}");
    let database = postgres.fresh_database();
    postgres.sql_at(&database, "CREATE TABLE mine (n int)").unwrap();
    assert!(postgres.sql_at(&postgres.fresh_database(), "SELECT n FROM mine").is_err());
}

#[test]
fn postgres_takes_settings_a_password_and_a_certificate() {
    if !servers::available(Server::Postgres) {
        return;
    }
    let options = Options::default().careless().set("max_connections", "7").password("secret").tls(Certificate::new());
    let postgres = Postgres::start(options);
    assert_eq!(postgres.sql("SHOW max_connections; SHOW fsync"), "7\noff");
    let url = format!("{}?sslmode=require", postgres.url("postgres"));
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(postgres.sql_at(&url, encrypted).unwrap(), "t");
    let refused = postgres.sql_at(&url.replace("secret", "wrong"), "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
}

#[test]
fn a_standby_follows_and_can_only_be_read() {
    if !servers::available(Server::Postgres) {
        return;
    }
    let primary = Postgres::start(Options::default().careless());
    primary.sql("CREATE TABLE copied AS SELECT 1 AS n");
    let standby = Postgres::standby(&primary);
    assert_eq!(standby.sql("SELECT n FROM copied"), "1");
    let refused = standby.sql_at(&standby.url("postgres"), "INSERT INTO copied VALUES (2)").unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
}
