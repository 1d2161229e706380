//! What can't be copied, and copies that are interrupted: nothing is there, and the file is what it was.

use std::ops::ControlFlow;

use acceptd::store::copy::copy;
use acceptd::{Clock as _, ErrorKind, NodeId, SystemClock};
use acceptd_testkit::factory::*;
use acceptd_testkit::servers::postgres::Postgres;

use super::Places;
use crate::suite::block_on;

/// A file with two operations.
fn two() -> Option<Places> {
    let places = Places::new()?;
    let store = places.file();
    block_on(async {
        accept("a").deliver_to("c").key("caller", "k", 1).to(&*store).await;
        accept("b").deliver_to("c").to(&*store).await;
    });
    Some(places)
}

/// Nothing arrived, and the file can be served.
#[track_caller]
fn nothing_happened(places: &Places) {
    assert_eq!(block_on(places.schema().operations(<_>::default(), ALL)).unwrap().items.len(), 0);
    let store = places.file();
    assert_eq!(block_on(store.operations(<_>::default(), ALL)).unwrap().items.len(), 2);
}

#[track_caller]
fn refused(places: &Places, kind: ErrorKind, words: &str) {
    let error = places.copy().unwrap_err();
    assert!(error.kind() == kind && error.message().contains(words), "{kind:?}, {words:?}: {error:?}");
}

#[test]
fn other_stores_are_not_copied() {
    for (from, to) in [
        ("postgres://me:secret@h/d", "sqlite:a.db"),
        ("sqlite:a.db", "sqlite:b.db"),
        ("memory:", "postgres://h/d"),
        ("a.db", "postgres://h/d"),
    ] {
        let error = copy(from, to, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.message(), "a store is copied from sqlite:FILE to postgres://…, and in no other way");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_ours_is_refused() {
    let Some(places) = Places::new() else { return };
    refused(&places, ErrorKind::InvalidArgument, "there is no file");
    assert!(!places.file.exists(), "none was made");
    std::fs::write(&places.file, "this is no database, however long it may be".repeat(20)).unwrap();
    refused(&places, ErrorKind::Corrupt, "is no file of acceptd");
}

#[test]
fn a_file_that_is_in_use_is_refused() {
    let Some(places) = two() else { return };
    let store = places.file();
    refused(&places, ErrorKind::Locked, "is held by another process that is running now");
    drop(store);
    nothing_happened(&places);
}

#[test]
fn a_database_with_a_live_node_is_refused() {
    let Some(places) = two() else { return };
    let (there, me) = (places.schema(), NodeId::from_bytes([9; 16]));
    block_on(there.heartbeat(me, SystemClock.now(), None)).unwrap();
    refused(&places, ErrorKind::Conflict, "is in use by the node");
    nothing_happened(&places);
    let late = SystemClock.now() - std::time::Duration::from_secs(120);
    block_on(there.heartbeat(me, late, None)).unwrap();
    assert!(places.copy().is_ok(), "a node that is silent is no obstacle");
}

#[test]
fn a_database_with_operations_is_refused() {
    let Some(places) = two() else { return };
    let there = places.schema();
    block_on(accept("x").deliver_to("c").to(&*there));
    refused(&places, ErrorKind::Conflict, "holds operations already");
    assert_eq!(block_on(there.operations(<_>::default(), ALL)).unwrap().items.len(), 1);
    assert_eq!(block_on(places.file().operations(<_>::default(), ALL)).unwrap().items.len(), 2);
}

#[test]
fn a_pooler_is_refused() {
    let Some(mut places) = two() else { return };
    places.to.push_str("&pooler=transaction");
    refused(&places, ErrorKind::InvalidArgument, "straight to the database");
}

#[test]
fn what_a_mere_start_left_is_no_obstacle() {
    let Some(places) = two() else { return };
    let there = places.schema();
    block_on(serve(&*there, 7, &["other", "c"], START));
    drop(there);
    places.copy().unwrap();
    let there = places.schema();
    assert_eq!(places.ask("SELECT name FROM consumers"), "c");
    // Numbers go on after those that were copied.
    block_on(serve(&*there, 7, &["c", "d"], START));
    block_on(accept("x").deliver_to("d").to(&*there));
    assert_eq!(block_on(claim(&*there, "d", START)).claimed.len(), 1);
}

#[test]
fn a_copy_that_is_stopped_leaves_nothing() {
    let Some(places) = two() else { return };
    let stopped = places.copy_telling(|progress| match progress.what {
        "attempts" => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let error = stopped.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::ShuttingDown, "the copy was stopped: nothing was copied"));
    nothing_happened(&places);
    places.copy().unwrap();
}

#[test]
fn a_copy_whose_connection_breaks_leaves_nothing() {
    let Some(places) = two() else { return };
    let broken = places.copy_telling(|progress| {
        if progress.what == "attempts" {
            // Whoever writes to the tables of this schema.
            places.ask(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.mode = 'RowExclusiveLock' \
                 AND l.relation = 'operations'::regclass",
            );
        }
        ControlFlow::Continue(())
    });
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::Unavailable);
    nothing_happened(&places);
    places.copy().unwrap();
}

#[test]
fn a_file_that_moved_is_served_no_more_until_that_is_taken_back() {
    let Some(places) = two() else { return };
    let copied = places.copy().unwrap();
    let error = places.try_file().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let wanted = format!("was moved to {} at 20", copied.target);
    assert!(error.message().contains(&wanted) && error.message().contains("docs/postgres.md"), "{error}");
    let again = places.copy().unwrap();
    assert!(again.before.is_some() && again.rows.is_empty(), "the same copy again does nothing");
    // The command of docs/postgres.md.
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/postgres.md")).unwrap();
    let command = docs.lines().find_map(|line| line.strip_prefix("sqlite3 acceptd.db \"")).unwrap();
    let conn = rusqlite::Connection::open(&places.file).unwrap();
    conn.execute_batch(command.trim_end_matches('"')).unwrap();
    drop(conn);
    assert_eq!(block_on(places.file().operations(<_>::default(), ALL)).unwrap().items.len(), 2);
}

#[test]
fn a_file_that_moved_does_not_move_to_another_place() {
    let Some(mut places) = two() else { return };
    places.copy().unwrap();
    places.to = Postgres::careless().fresh();
    refused(&places, ErrorKind::Unavailable, "was moved to");
}

#[test]
fn a_mark_whose_copy_was_never_committed_is_no_obstacle() {
    let Some(places) = two() else { return };
    places.copy().unwrap();
    // As after a crash between the mark and the commit: the mark is there and the copy is not.
    let schema = places.to.split("schema=").nth(1).unwrap();
    Postgres::careless().sql(&format!("DROP SCHEMA {schema} CASCADE"));
    assert!(places.try_file().is_err());
    let copied = places.copy().unwrap();
    assert!(copied.before.is_none());
    assert_eq!(block_on(places.schema().operations(<_>::default(), ALL)).unwrap().items.len(), 2);
}

#[test]
fn a_mark_that_nothing_speaks_against_holds() {
    let Some(places) = two() else { return };
    places.copy().unwrap();
    // As after a long time: everything ended and was pruned there, and the log goes back only so far.
    places.ask("TRUNCATE operations, events, deliveries, idempotency");
    places.ask("UPDATE log SET version = 9000, token = gen_random_uuid()");
    refused(&places, ErrorKind::Unavailable, "was moved to");
}

#[test]
fn keys_that_only_nul_tells_apart_are_refused() {
    let Some(places) = two() else { return };
    let store = places.file();
    block_on(accept("a").key("caller", "a\0", 1).to(&*store));
    block_on(accept("a").key("caller", "a␀", 1).to(&*store));
    drop(store);
    refused(&places, ErrorKind::Conflict, "two rows of idempotency would have the same key");
}
