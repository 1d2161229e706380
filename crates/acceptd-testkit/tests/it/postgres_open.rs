//! Opening a store in PostgreSQL: what stands in its way is said in one sentence, and TLS and a pooler don't.

use acceptd::store::postgres::PostgresStore;
use acceptd::{ErrorKind, Store as _};
use acceptd_testkit::factory::*;
use acceptd_testkit::servers::certificate::Certificate;
use acceptd_testkit::servers::pgbouncer::Pgbouncer;
use acceptd_testkit::servers::postgres::{Options, Postgres};
use acceptd_testkit::servers::{Server, available};

use crate::suite::block_on;

fn refusal(url: &str) -> (ErrorKind, String) {
    let error = PostgresStore::open(url).unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[test]
fn a_login_that_is_refused_is_told() {
    if !available(Server::Postgres) {
        return;
    }
    let server = Postgres::start(Options::default().careless().password("right"));
    PostgresStore::open(&server.fresh()).unwrap();
    let wrong = server.fresh().replace("right", "wrong");
    let (kind, message) = refusal(&wrong);
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(message.contains("refused the login") && !message.contains("wrong@"), "{message}");
}

#[test]
fn a_server_or_database_that_is_not_there_is_told() {
    if !available(Server::Postgres) {
        return;
    }
    let server = Postgres::careless();
    let (kind, message) = refusal(&server.url("nowhere"));
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(message.contains("database \"nowhere\" does not exist"), "{message}");
    let (kind, message) = refusal("postgres://postgres@127.0.0.1:1/postgres");
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(message.contains("postgres://127.0.0.1:1/postgres can't be reached"), "{message}");
}

#[test]
fn rights_that_are_missing_are_told() {
    if !available(Server::Postgres) {
        return;
    }
    let server = Postgres::careless();
    server.sql("CREATE ROLE nobody LOGIN");
    let (kind, message) = refusal(&server.fresh().replace("postgres@", "nobody@"));
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(message.contains("lacks a right") && message.contains("it needs CREATE"), "{message}");
}

#[test]
fn a_standby_is_told() {
    if !available(Server::Postgres) {
        return;
    }
    let primary = Postgres::start(Options::default().careless());
    let standby = Postgres::standby(&primary);
    let (kind, message) = refusal(&standby.fresh());
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(message.contains("takes no writes: it is a standby"), "{message}");
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    if !available(Server::Postgres) {
        return;
    }
    let server = Postgres::careless();
    let url = server.fresh();
    drop(PostgresStore::open(&url).unwrap());
    let schema = url.rsplit('=').next().unwrap();
    server.sql(&format!("INSERT INTO {schema}.migrations (version) VALUES (99)"));
    let (kind, message) = refusal(&url);
    assert_eq!(kind, ErrorKind::Corrupt);
    assert!(message.contains("is of a newer acceptd: it has version 99"), "{message}");
}

#[test]
fn nodes_that_start_at_once_create_the_tables_once() {
    if !available(Server::Postgres) {
        return;
    }
    let url = Postgres::careless().fresh();
    let opening: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || PostgresStore::open(&url).map(drop))
        })
        .collect();
    for one in opening {
        one.join().unwrap().unwrap();
    }
}

#[test]
fn tls_verifies_the_certificate() {
    if !available(Server::Postgres) {
        return;
    }
    let certificate = Certificate::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &certificate.certificate).unwrap();
    let server = Postgres::start(Options::default().careless().tls(certificate));
    let url = server.fresh();
    let trusted = format!("{url}&sslmode=verify-full&sslrootcert={}", file.path().display());
    let store = PostgresStore::open(&trusted).unwrap();
    block_on(async {
        let id = accept("a").id_from(&store).await;
        assert_eq!(store.operation(id).await.unwrap().operation.id, id);
    });
    let (kind, message) = refusal(&format!("{url}&sslmode=require"));
    assert!(kind == ErrorKind::Unavailable && message.contains("can't be reached"), "{message}");
}

#[test]
fn a_pooler_may_give_each_transaction_another_connection() {
    if !available(Server::Postgres) || !available(Server::Pgbouncer) {
        return;
    }
    let server = Postgres::careless();
    let pooler = Pgbouncer::before(server, 3);
    let url = format!("{}&pooler=transaction", server.fresh_at(pooler.address()));
    let (one, two) = (PostgresStore::open(&url).unwrap(), PostgresStore::open(&url).unwrap());
    block_on(async {
        for number in 0..20 {
            let (here, there) = if number % 2 == 0 { (&one, &two) } else { (&two, &one) };
            let id = accept("a").owner("u").deliver_to("c").id_from(here).await;
            serve(there, 1, &["c"], START).await;
            let attempt = claim_one(there, "c", START).await;
            assert_eq!(attempt.delivery.operation, id);
            settle(here, &attempt, done(), START).await;
            assert!(there.operation(id).await.unwrap().operation.ended.is_some());
        }
        assert_eq!(one.operations(Default::default(), ALL).await.unwrap().items.len(), 20);
    });
}
