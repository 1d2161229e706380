//! A backlog that moves from a file to PostgreSQL.

use acceptd_testkit::servers::postgres::Postgres;
use acceptd_testkit::servers::{Server, available};
use tempfile::TempDir;

use crate::process::{Running, run};

/// A folder with a file that holds something that waits for an hour and something that is over.
fn with_a_backlog() -> (TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = "[consumers.alarm]\non = \"alarm.create\"\nnotify = \"inbox\"\n";
    std::fs::write(folder.path().join("acceptd.toml"), text).unwrap();
    let mut server = Running::serve(folder.path(), &["serve"]);
    let over = server.send(&["alarm.create", r#"{"title":"it runs"}"#, "--owner", "ann", "--wait"]);
    let waits = server.send(&["alarm.create", "{}", "--owner", "ann", "--delay", "1h", "--idempotency-key", "k"]);
    server.running.signal("TERM");
    assert_eq!(server.running.wait().code(), Some(0));
    (folder, over, waits)
}

#[test]
fn a_backlog_goes_on_in_another_store() {
    if !available(Server::Postgres) {
        return;
    }
    let (folder, over, waits) = with_a_backlog();
    let url = Postgres::shared().fresh();
    let copy = ["store", "copy", "sqlite:acceptd.db", &url];
    let copied = run(folder.path(), &copy).exits(0).says("; the file is marked and not served again\n");
    let rows = |what: &str| {
        let line = copied.stdout.lines().find(|line| line.starts_with(what));
        line.and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned()
    };
    assert_eq!((rows("operations"), rows("deliveries that wait"), rows("idempotency keys")), counts("2", "1", "1"));
    run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]).exits(1).says("acceptd.db was moved to postgres://");
    let again = run(folder.path(), &copy).exits(0).says("nothing is left to copy");
    assert_eq!(again.stdout, "");

    let server = Running::serve(folder.path(), &["serve", "--store", &url]);
    let due = server.client(&["why", &waits]).exits(0).stdout;
    assert!(due.starts_with("starts in 59m") || due.starts_with("starts in 1h"), "{due}");
    server.client(&["watch", &over]).exits(0);
    assert!(server.client(&["notifications", "--owner", "ann"]).stdout.contains("it runs"));
    assert_eq!(
        server.send(&["alarm.create", "{}", "--owner", "ann", "--delay", "1h", "--idempotency-key", "k"]),
        waits
    );
    // Into a store that is in use nothing is copied.
    let (other, ..) = with_a_backlog();
    run(other.path(), &copy).exits(1).says("is in use by the node");
}

fn counts(operations: &str, waiting: &str, keys: &str) -> (String, String, String) {
    (operations.to_owned(), waiting.to_owned(), keys.to_owned())
}

#[test]
fn what_can_not_be_copied_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| run(folder.path(), &["store", "copy", from, to]);
    copy("postgres://me:secret@h/d", "sqlite:a.db").exits(2).says("from sqlite:FILE to postgres://");
    copy("sqlite:nothing.db", "postgres://h/d").exits(2).says("acceptd: there is no file nothing.db\n");
    let _server = Running::serve(folder.path(), &["serve"]);
    copy("sqlite:acceptd.db", "postgres://h/d").exits(1).says("acceptd.db is held by another process");
}

#[test]
fn rows_are_counted_in_json_too() {
    if !available(Server::Postgres) {
        return;
    }
    let (folder, ..) = with_a_backlog();
    let url = Postgres::shared().fresh();
    let copied = run(folder.path(), &["store", "copy", "sqlite:acceptd.db", &url, "-o", "json"]).exits(0).json();
    let operations = copied.as_array().unwrap().iter().find(|row| row["what"] == "operations").unwrap();
    assert_eq!(operations["rows"], 2);
}
