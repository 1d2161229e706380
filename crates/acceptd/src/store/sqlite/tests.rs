//! What the conformance suite can't see: the file, the lock, full disks, group commit, query plans.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{Draft, ErrorKind, NewEvent, Route};

const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_000);

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    (directory, path)
}

fn accept(payload: usize) -> Accept {
    let data = crate::Data::new("text/plain", vec![b'x'; payload]);
    let routes = vec![Route::to("c")];
    let event = NewEvent { draft: Draft::new("a").data(data), routes };
    Accept {
        events: vec![event],
        owner: None,
        due: NOW,
        priority: 0,
        idempotency: None,
        backlog_max: 1_000_000,
        now: NOW,
    }
}

fn claim() -> Claim {
    let wanted = Wanted { consumer: "c".into(), max: 10, max_attempts: 3, remote_for: None };
    Claim { wanted: vec![wanted], node: NodeId::from_bytes([1; 16]), now: NOW }
}

fn refusal(path: &Path) -> (ErrorKind, String) {
    let error = SqliteStore::open(path).unwrap_err();
    (error.kind(), error.message().to_owned())
}

fn count(path: &Path, table: &str) -> i64 {
    let conn = Connection::open(path).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// Keeps the writer busy until something is sent, or the sender is dropped.
async fn hold(store: &SqliteStore) -> Sender<()> {
    let (release, held): (Sender<()>, Receiver<()>) = channel();
    let (entered, is_held) = tokio::sync::oneshot::channel();
    let mut entered = Some(entered);
    let request = writer::unheard(Kind::Other, move |_| {
        if let Some(entered) = entered.take() {
            let _ = entered.send(());
            let _ = held.recv();
        }
        Ok(())
    });
    store.0.commands.as_ref().unwrap().send(request).await.unwrap();
    is_held.await.unwrap();
    release
}

#[tokio::test]
async fn a_second_process_is_kept_out_until_the_first_is_gone() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let (kind, message) = refusal(&path);
    assert_eq!(kind, ErrorKind::Locked);
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    drop(store);
    SqliteStore::open(&path).unwrap();
}

#[tokio::test]
async fn dropping_the_last_clone_leaves_one_whole_file() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let clone = store.clone();
    drop(store);
    clone.accept(accept(10)).await.unwrap();
    clone.operations(OperationFilter::default(), Page { before: None, size: 1 }).await.unwrap();
    drop(clone);
    assert!(!path.with_file_name("store.db-wal").exists());
    assert_eq!(count(&path, "operations"), 1);
}

#[test]
fn files_that_are_not_ours_are_refused() {
    let (_directory, path) = place();
    fs::write(&path, "not a database at all, but long enough to be looked at".repeat(100)).unwrap();
    let (kind, message) = refusal(&path);
    assert!(kind == ErrorKind::Corrupt && message.contains("no file of acceptd"), "{message}");
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let (kind, message) = refusal(&path);
    assert!(kind == ErrorKind::Corrupt && message.contains("another program"), "{message}");
    assert_eq!(count(&path, "theirs"), 0);
}

#[test]
fn a_damaged_file_is_refused() {
    let (_directory, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(refusal(&path).0, ErrorKind::Corrupt);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (_directory, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let (kind, message) = refusal(&path);
    assert!(kind == ErrorKind::Unavailable && message.contains("newer acceptd (schema 99"), "{message}");
}

#[test]
fn an_impossible_place_is_named() {
    let (directory, _) = place();
    let (kind, message) = refusal(&directory.path().join("missing").join("store.db"));
    assert!(kind == ErrorKind::Unavailable && message.contains("does not exist"), "{message}");
    let folder = directory.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let (kind, message) = refusal(&folder);
    assert!(kind == ErrorKind::Unavailable && message.contains("is a directory"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_read_only_place_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, path) = place();
    let guarded = directory.path().join("guarded");
    fs::create_dir(&guarded).unwrap();
    fs::set_permissions(&guarded, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(guarded.join("probe"), "").is_ok() {
        return; // The superuser may write anywhere: nothing to see.
    }
    let (kind, message) = refusal(&guarded.join("store.db"));
    assert!(kind == ErrorKind::Unavailable && message.contains("can't be written to"), "{message}");
    drop(SqliteStore::open(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let (kind, message) = refusal(&path);
    assert!(kind == ErrorKind::Unavailable && message.contains("can't be written to"), "{message}");
}

async fn limit_pages(store: &SqliteStore, more: i64) {
    let limit = move |book: &mut Book<'_>| {
        let pages: i64 = book.tables.conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let sql = format!("PRAGMA max_page_count = {}", pages + more);
        Ok(book.tables.conn.query_row(&sql, [], |row| row.get::<_, i64>(0))?)
    };
    store.write(Kind::Other, limit).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_the_batch_and_recovers() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    store.accept(accept(10)).await.unwrap();
    limit_pages(&store, 4).await;
    let release = hold(&store).await;
    let waiting = [accept(10), accept(100_000), accept(10)].map(|accept| store.accept(accept));
    let answers = tokio::join!(join_all(waiting), async { release.send(()).unwrap() }).0;
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::StorageFull);
    }
    let health = store.health();
    assert!(health.full && health.writable && health.backlog == 1, "{health:?}");
    limit_pages(&store, 100_000).await;
    store.accept(accept(100_000)).await.unwrap();
    assert_eq!(store.health(), Health { backlog: 2, writable: true, away: false, full: false });
    drop(store);
    assert_eq!(count(&path, "operations"), 2);
}

#[tokio::test]
async fn what_waits_is_committed_together() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let release = hold(&store).await;
    let accepts = join_all((0..50).map(|_| store.accept(accept(10))));
    let seen = store.write(Kind::Other, {
        let path = path.clone();
        move |book| {
            let inside: i64 = book.tables.conn.query_row("SELECT count(*) FROM operations", [], |row| row.get(0))?;
            Ok((inside, count(&path, "operations")))
        }
    });
    let (accepted, seen, ()) = tokio::join!(accepts, seen, async { release.send(()).unwrap() });
    accepted.into_iter().for_each(|accepted| drop(accepted.unwrap()));
    assert_eq!(seen.unwrap(), (50, 0), "all were in one transaction that nobody else saw yet");
    assert_eq!(count(&path, "operations"), 50);
}

#[tokio::test]
async fn a_failing_command_leaves_the_others_alone() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let release = hold(&store).await;
    let before = store.accept(accept(10));
    let failing = store.write(Kind::Other, |book| {
        book.tables.conn.execute("INSERT INTO consumers (name) VALUES ('half')", [])?;
        book.tables.conn.execute("INSERT INTO consumers (name) VALUES ('half')", [])?;
        Ok(())
    });
    let after = store.accept(accept(10));
    let (before, failing, after, ()) = tokio::join!(before, failing, after, async { release.send(()).unwrap() });
    assert_eq!(failing.unwrap_err().kind(), ErrorKind::Internal);
    let ids = [before.unwrap().operation.id, after.unwrap().operation.id];
    for id in ids {
        assert_eq!(store.operation(id).await.unwrap().live.len(), 1);
    }
    assert_eq!(store.health(), Health { backlog: 2, writable: true, away: false, full: false });
    drop(store);
    assert_eq!((count(&path, "operations"), count(&path, "consumers")), (2, 1));
}

#[tokio::test]
async fn a_claim_whose_caller_is_gone_is_given_back() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    store.accept(accept(10)).await.unwrap();
    let release = hold(&store).await;
    let mut gone = store.claim(claim());
    assert!(futures_util::poll!(&mut gone).is_pending());
    drop(gone);
    release.send(()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let claimed = loop {
        let claims = store.claim(claim()).await.unwrap();
        if let Some(claimed) = claims.claimed.into_iter().next() {
            break claimed;
        }
        assert!(Instant::now() < deadline, "the delivery never came back");
    };
    assert_eq!((claimed.delivery.fence, claimed.delivery.attempts), (2, 1));
}

#[tokio::test]
async fn nobody_is_alive_after_opening_again() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    store.accept(accept(10)).await.unwrap();
    let node = claim().node;
    store.heartbeat(node, NOW, None).await.unwrap();
    store.claim(claim()).await.unwrap();
    let me = NodeId::from_bytes([2; 16]);
    assert!(store.rescue(me, Duration::from_secs(10), NOW).await.unwrap().is_empty());
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.health().backlog, 1);
    assert_eq!(store.rescue(me, Duration::from_secs(10), NOW).await.unwrap().len(), 1);
}

#[tokio::test]
async fn pruning_removes_slots_and_keys_that_say_nothing() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let limits = vec![crate::Limit::new("api").rate("1/s").unwrap().concurrency(1)];
    let policy = crate::limit::Policy {
        limits: vec![crate::limit::LimitUse { limit: "api".into(), key: None }],
        ..crate::limit::Policy::default()
    };
    let serving = Serving { on: vec!["a".into()], consumer: "c".into(), weight: crate::Weight::Tracked, policy };
    let node = claim().node;
    let register = Register { node, consumers: vec![serving], limits, lease: Duration::from_secs(10), now: NOW };
    store.register(register).await.unwrap();
    let operation = store.accept(accept(10)).await.unwrap().operation.id;
    let mut remote = claim();
    remote.wanted[0].remote_for = Some(Duration::from_secs(60));
    assert_eq!(store.claim(remote).await.unwrap().claimed.len(), 1);
    store.cancel(operation, NOW).await.unwrap();
    let rows = || (count(&path, "holds"), count(&path, "limit_keys"));
    for (seconds, left) in [(1, (1, 1)), (59, (1, 1)), (60, (0, 0))] {
        store.prune(NOW, NOW + Duration::from_secs(seconds), 10).await.unwrap();
        assert_eq!(rows(), left, "after {seconds} s");
    }
}

#[test]
fn every_plan_uses_an_index_and_sorts_nothing() {
    let (_directory, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    let conn = Connection::open(&path).unwrap();
    let mut statements = query::statements();
    statements.extend(prune::statements());
    statements.extend(claim::STATEMENTS);
    statements.extend(tables::STATEMENTS);
    statements.extend(list::STATEMENTS);
    for sql in statements {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = explain.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            let sorts = step.contains("TEMP B-TREE") && !sql.contains("FROM closures");
            let scans = step.starts_with("SCAN ") && !step.contains("USING") && !step.contains("subquery");
            let is_by_age = scans && sql.contains(".ordinal DESC") || sql.contains("FROM notifications");
            assert!(!sorts && (!scans || is_by_age), "{step}\n  in {sql}");
        }
    }
}
