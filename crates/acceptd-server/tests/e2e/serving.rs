//! A server's life: how it starts, why it doesn't, and how it stops.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::Command;

use crate::process::{Running, acceptd, run};

const SERVE: [&str; 1] = ["serve"];

#[test]
fn one_server_at_a_time_uses_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Running::serve(folder.path(), &SERVE);
    let second = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]).exits(1);
    assert!(second.stderr.contains("acceptd.db is held by another process"), "{second:?}");
    assert_eq!(second.stderr.lines().count(), 1, "{second:?}");
    first.running.signal("TERM");
    assert_eq!(first.running.wait().code(), Some(0));
    Running::serve(folder.path(), &SERVE);
}

#[test]
fn what_keeps_it_from_starting_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(folder.path(), &["serve", "--listen", &address])
        .exits(1)
        .says(&format!("acceptd: can't listen on {address}: another program listens there already\n"));
    std::fs::write(folder.path().join("other.db"), "this is no database, however long it may be".repeat(20)).unwrap();
    run(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--store", "sqlite:other.db"])
        .exits(1)
        .says("other.db is no file of acceptd, or it is damaged");
    run(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--store", "sqlite:no/such/folder/a.db"])
        .exits(1)
        .says("does not exist");
    run(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--store", "sqlite:."]).exits(1).says("is a directory");
    run(folder.path(), &["serve", "--store", "mysql://x"]).exits(2).says("--store: store.url: ");
    run(folder.path(), &["serve", "--listen", "0.0.0.0:0"]).exits(2).says("--insecure");
}

#[test]
fn an_open_address_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(acceptd(folder.path()).args(["serve", "--listen", "0.0.0.0:0", "--insecure"]));
    server.line("WARNING: 0.0.0.0:0 can be reached from other machines");
    server.line("listening on http://0.0.0.0:");
}

/// What `/metrics` of a server with this configuration answers.
fn metrics(configuration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("acceptd.toml"), configuration).unwrap();
    let server = Running::serve(folder.path(), &SERVE);
    let address = server.url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_serves_its_metrics_unless_it_shall_not() {
    let answer = metrics("");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("acceptd_build_info{"), "{answer}");
    let answer = metrics("[telemetry]\nmetrics = false\n");
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("metrics are not collected here"), "{answer}");
}

/// A consumer whose endpoint takes the request and never answers.
fn with_a_silent_endpoint(grace: &str) -> (tempfile::TempDir, TcpListener) {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", endpoint.local_addr().unwrap());
    let text = format!("[server]\ndrain_grace = \"{grace}\"\n[consumers.slow]\non = \"slow.event\"\nurl = \"{url}\"\n");
    std::fs::write(folder.path().join("acceptd.toml"), text).unwrap();
    (folder, endpoint)
}

#[test]
fn a_stop_gives_back_what_runs_and_costs_no_attempt() {
    let (folder, endpoint) = with_a_silent_endpoint("0");
    let mut server = Running::serve(folder.path(), &SERVE);
    let id = server.send(&["slow.event", "{}"]);
    let _held = endpoint.accept().unwrap();
    server.running.signal("TERM");
    assert_eq!(server.running.wait().code(), Some(0), "{}", server.running.said());
    let server = Running::serve(folder.path(), &SERVE);
    let (mut again, _) = endpoint.accept().unwrap();
    let mut request = [0; 4_096];
    let read = again.read(&mut request).unwrap();
    let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
    assert!(request.contains("acceptd-attempt: 1\r\n"), "{request}");
    server.client(&["operations", "cancel", &id]).exits(0);
    server.client(&["watch", &id]).exits(5);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (folder, endpoint) = with_a_silent_endpoint("10m");
    let mut server = Running::serve(folder.path(), &SERVE);
    server.send(&["slow.event", "{}"]);
    let _held = endpoint.accept().unwrap();
    server.running.signal("TERM");
    server.running.line("stopping");
    server.client(&["send", "slow.event", "{}"]).exits(1).says("stopping");
    server.running.signal("INT");
    assert_eq!(server.running.wait().code(), Some(130));
    server.running.line("stopped at once; what was running runs again after a restart");
}

#[test]
fn logs_can_be_json() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Running::serve(folder.path(), &["serve", "--log-format", "json"]);
    server.running.signal("INT");
    assert_eq!(server.running.wait().code(), Some(0));
    let line = server.running.line("stopping");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["signal"]), (&"INFO".into(), &"SIGINT".into()));
}

#[test]
fn a_store_that_fails_to_write_ends_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[consumers.alarm]\non = \"alarm.create\"\nnotify = \"inbox\"\n";
    std::fs::write(folder.path().join("acceptd.toml"), text).unwrap();
    // Files may grow to some megabytes, and growing further is an error instead of a signal.
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" serve --listen 127.0.0.1:0";
    command.args(["-c", script, env!("CARGO_BIN_EXE_acceptd")]).current_dir(folder.path());
    let mut server = Running::listening(folder.path(), &mut command);
    let data = format!("{{\"text\":\"{}\"}}", "x".repeat(500_000));
    std::fs::write(folder.path().join("data.json"), data).unwrap();
    let refused =
        (0..50).map(|_| server.client(&["send", "alarm.create", "@data.json"])).find(|sent| sent.code != Some(0));
    refused.unwrap().exits(1);
    assert_eq!(server.running.wait().code(), Some(1));
    server.running.line("acceptd: the store can't be written to any more, so the server stops");
}
