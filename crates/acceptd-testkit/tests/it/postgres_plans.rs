//! The plans of the Postgres store's statements: an index each, on an empty database, on one whose statistics are still
//! missing, and on one that was analysed.

use acceptd::store::postgres::{PostgresStore, planned};
use acceptd_testkit::factory::*;
use acceptd_testkit::servers::postgres::Postgres;
use acceptd_testkit::servers::{Server, available};

use crate::suite::block_on;

/// Tables that grow with what was accepted.
const LARGE: [&str; 7] = ["operations", "events", "deliveries", "ended", "attempts", "results", "notifications"];

/// Every statement with its plan.
fn plans(server: &Postgres, schema: &str) -> Vec<(&'static str, String)> {
    let (settings, statements) = planned();
    let settings: Vec<_> = settings.iter().map(|(name, value)| format!("SET {name} TO {value};")).collect();
    let prelude = format!("SET search_path TO {schema}; {}", settings.concat());
    let plan = |sql: &'static str| {
        let parameters = (1..20).rev().find(|number| sql.contains(&format!("${number}"))).unwrap_or(0);
        let nulls = vec!["NULL"; parameters].join(", ");
        let execute = if parameters == 0 { "x".to_owned() } else { format!("x({nulls})") };
        let script = format!("{prelude} PREPARE x AS {sql}; EXPLAIN (COSTS OFF) EXECUTE {execute};");
        (sql, server.sql(&script))
    };
    statements.into_iter().map(plan).collect()
}

fn scanned(plan: &str) -> Option<&str> {
    let line = plan.lines().find(|line| {
        line.contains("Seq Scan on") && LARGE.iter().any(|table| line.contains(&format!("Seq Scan on {table} ")))
            || line.contains("Bitmap")
    })?;
    Some(line.trim())
}

#[test]
fn no_statement_scans_a_table_with_statistics_or_without() {
    if !available(Server::Postgres) {
        return;
    }
    let server = Postgres::careless();
    let url = server.fresh();
    let schema = url.rsplit('=').next().unwrap().to_owned();
    let store = PostgresStore::open(&url).unwrap();
    let empty = plans(server, &schema);
    block_on(async {
        let mut batch = accept("a").owner("u").deliver_to("c");
        for _ in 0..3_000 {
            batch = batch.and("a").deliver_to("c");
        }
        batch.to(&store).await;
        for _ in 0..300 {
            accept("b").owner("u").deliver_to("d").to(&store).await;
            run(&store, "d", done(), START).await;
        }
    });
    let full = plans(server, &schema);
    server.sql(&format!("SET search_path TO {schema}; ANALYZE operations, events, deliveries, ended, attempts"));
    let analysed = plans(server, &schema);
    for (when, plans) in [("empty", empty), ("without statistics", full), ("analysed", analysed)] {
        for (sql, plan) in plans {
            assert_eq!(scanned(&plan), None, "{when}: {sql}\n{plan}");
        }
    }
}
