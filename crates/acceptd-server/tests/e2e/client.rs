//! The command line as a client of a real server.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::process::{Running, Server, acceptd, run};

/// A server with an inbox, and a consumer that nothing answers for.
fn server() -> (TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let text = "[consumers.alarm]\non = \"alarm.create\"\nnotify = \"inbox\"\n\
                [consumers.broken]\non = [\"broken.event\"]\nurl = \"http://127.0.0.1:1/\"\n\
                retry = { max_attempts = 1 }\n\
                [events.\"nobody.takes\"]\nowner_required = true\n";
    std::fs::write(folder.path().join("acceptd.toml"), text).unwrap();
    let server = Running::serve(folder.path(), &["serve"]);
    (folder, server)
}

#[test]
fn nothing_is_an_empty_list() {
    let (_folder, server) = server();
    for what in ["operations", "dead-letters", "notifications"] {
        assert_eq!(server.client(&[what, "-o", "json"]).exits(0).stdout, "[]\n");
        assert_eq!(server.client(&[what, "-o", "jsonl"]).exits(0).stdout, "");
        assert_eq!(server.client(&[what]).exits(0).says("no ").stdout, "");
        assert_eq!(server.client(&[what, "-q"]).exits(0).stderr, "");
    }
}

#[test]
fn an_event_from_sending_to_its_notification() {
    let (folder, server) = server();
    let id = server.send(&["alarm.create", r#"{"title":"it runs","level":"success"}"#, "--owner", "ann"]);
    let watched = server.client(&["watch", &id]).exits(0);
    assert!(watched.stdout.ends_with("alarm.create succeeded: 1 of 1 done\n"), "{watched:?}");
    let notifications = server.client(&["notifications", "--owner", "ann", "-o", "json"]).exits(0).json();
    assert_eq!(notifications.as_array().unwrap().len(), 1);
    assert_eq!(notifications[0]["title"], "it runs");
    assert!(server.client(&["notifications"]).stdout.contains("it runs"));
    let operations = server.client(&["operations", "--owner", "ann", "-o", "jsonl"]).exits(0).json();
    assert_eq!(operations["id"], id.as_str());
    assert_eq!(server.client(&["operations", "--owner", "bob", "-o", "json"]).exits(0).stdout, "[]\n");
    assert!(server.client(&["operations", &id]).exits(0).stdout.contains("status    succeeded"));
    server.client(&["why", &id]).exits(0);

    std::fs::write(folder.path().join("data.json"), r#"{"title":"from a file"}"#).unwrap();
    server.client(&["send", "alarm.create", "@data.json", "--owner", "bob", "--wait"]).exits(0);
    server
        .client_with_input(&["send", "alarm.create", "-", "--owner", "bob", "--wait"], r#"{"title":"piped"}"#)
        .exits(0);
    let bob = server.client(&["notifications", "--owner", "bob"]).stdout;
    assert!(bob.contains("from a file") && bob.contains("piped"), "{bob}");
}

#[test]
fn the_same_key_is_accepted_once() {
    let (_folder, server) = server();
    let send = ["send", "alarm.create", "{}", "--idempotency-key", "a \"quoted\" key"];
    let (first, second) = (server.client(&send).exits(0), server.client(&send).exits(0));
    assert_eq!(first.stdout, second.stdout);
    assert!(second.stderr.contains("accepted before"));
}

#[test]
fn what_fails_is_kept_and_explained() {
    let (_folder, server) = server();
    let sent =
        server.client(&["send", "broken.event", "{}", "--wait"]).exits(5).says("broken.event failed: 0 of 1 done");
    let id = sent.stdout.trim();
    server.client(&["watch", id]).exits(5);
    server.client(&["why", id]).exits(8).says("acceptd operations retry");
    let letters = server.client(&["dead-letters", "-o", "json"]).exits(0).json();
    let delivery = letters[0]["id"].as_str().unwrap();
    let why = server.client(&["why", delivery]).exits(8);
    assert!(why.stdout.starts_with("gave up at "), "{why:?}");
    assert!(server.client(&["dead-letters"]).stdout.contains("broken.event"));
    server.client(&["dead-letters", "retry", delivery]).exits(0);
    server.client(&["watch", id]).exits(5);
    server.client(&["operations", "retry", id]).exits(0);
    server.client(&["watch", id]).exits(5);
    let discarded = server.client(&["dead-letters", "discard", delivery]).exits(0);
    assert!(discarded.stdout.contains("canceled"), "{discarded:?}");
    server.client(&["dead-letters", "discard", delivery]).exits(1);
}

#[test]
fn what_waits_says_why() {
    let (_folder, server) = server();
    server.client(&["consumers", "pause", "alarm", "--reason", "a look"]).exits(0);
    let pending = server.client(&["send", "alarm.create", "{}", "--wait=1s"]).exits(6).says("the wait is over");
    let id = pending.stdout.trim();
    let why = server.client(&["why", id]).exits(8).says("acceptd consumers resume alarm");
    assert!(why.stdout.contains("paused consumer alarm: a look"), "{why:?}");
    assert!(server.client(&["consumers"]).stdout.contains("a look"));
    server.client(&["consumers", "resume", "alarm"]).exits(0);
    server.client(&["watch", id]).exits(0);

    let nobody = server.send(&["nobody.takes", "--owner", "ann"]);
    let why = server.client(&["why", &nobody]).exits(8);
    assert_eq!(why.stdout, "waits for a consumer: nobody takes nobody.takes\n");
    let later = server.send(&["alarm.create", "{}", "--delay", "1h"]);
    let why = server.client(&["why", &later]).exits(0);
    assert!(why.stdout.starts_with("starts in "), "{why:?}");
    server.client(&["operations", "cancel", &later]).exits(0);
    server.client(&["watch", &later, "-o", "json"]).exits(5);
}

#[test]
fn mistakes_have_exit_codes_and_sentences() {
    let (folder, server) = server();
    let unknown = "01a20734-c555-7000-8698-96dcf0a91025";
    for command in [["watch", unknown], ["why", unknown], ["operations", unknown]] {
        server.client(&command).exits(3).says(&format!("acceptd: there is no operation {unknown}\n"));
    }
    server.client(&["send", "alarm.creat", "{}"]).exits(3).says("did you mean alarm.create?");
    server.client(&["consumers", "pause", "alram"]).exits(3).says("alarm");
    server.client(&["send", "alarm.create", "{"]).exits(2).says("not valid JSON");
    server.client(&["send", "alarm.create", "@nothing.json"]).exits(2).says("can't read nothing.json");
    server.client(&["send", "nobody.takes"]).exits(2).says("needs an owner");
    server.client(&["send", "alarm.create", "--priority", "101"]).exits(2);
    server.client(&["send", "alarm.create", "--delay", "soon"]).exits(2).says("is not a duration");
    server.client(&["frobnicate"]).exits(2);
    let url = server.url.clone();
    drop(server);
    let alone = |arguments: &[&str]| run(folder.path(), &[&["--url", &url], arguments].concat());
    alone(&["operations"]).exits(1).says(&format!(
        "acceptd: nothing answers at {url}: start it with `acceptd serve` or `acceptd dev`, or name another --url\n"
    ));
    run(folder.path(), &["--url", "localhost:8202", "operations"]).exits(2).says("is not an http or https URL");
}

#[test]
fn exit_codes_and_completions_are_there_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), &["help", "exit-codes"]).exits(0).stdout;
    for code in ["  0  ", "  1  ", "  2  ", "  3  ", "  5  ", "  6  ", "  8  ", "130  "] {
        assert!(help.contains(code), "{help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(folder.path(), &["completions", shell]).exits(0).stdout.contains("dead-letters"));
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    fn leave_early(folder: &Path, arguments: &[&str]) {
        let mut child = acceptd(folder).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
    let folder = tempfile::tempdir().unwrap();
    leave_early(folder.path(), &["config", "defaults"]);
    leave_early(folder.path(), &["completions", "bash"]);
}
