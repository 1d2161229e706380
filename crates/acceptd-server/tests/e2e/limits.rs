//! Limits and batches on the command line, against a real server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use tempfile::TempDir;

use crate::process::{Running, Server, acceptd};

/// A server with limits; an endpoint that answers when the test does.
struct Site {
    folder: TempDir,
    server: Server,
    endpoint: TcpListener,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", endpoint.local_addr().unwrap());
        let text = format!(
            "[limits.cloud-api]\nconcurrency = 1\n\
             [limits.mail]\nrate = \"1000/s\"\nkey = \"/region\"\n\
             [limits.slow]\nrate = \"1/h\"\n\
             [consumers.start-ec2]\non = \"ec2.start\"\nurl = \"{url}\"\nlimits = [\"cloud-api\"]\n\
             [consumers.resize]\non = \"ec2.resize\"\nurl = \"{url}\"\nlock = \"/machine\"\n\
             [consumers.alarm]\non = \"alarm.create\"\nnotify = \"inbox\"\nlimits = [\"mail\"]\n\
             [consumers.report]\non = \"report.create\"\nnotify = \"inbox\"\nlimits = [\"slow\"]\n\
             [consumers.broken]\non = \"broken.event\"\nurl = \"http://127.0.0.1:1/\"\nretry = {{ max_attempts = 1 }}\n"
        );
        std::fs::write(folder.path().join("acceptd.toml"), text).unwrap();
        let server = Running::serve(folder.path(), &["serve"]);
        Self { folder, server, endpoint }
    }

    /// Takes the next request of the endpoint; its delivery runs until it is answered.
    fn take(&self) -> TcpStream {
        let (mut stream, _) = self.endpoint.accept().unwrap();
        assert!(stream.read(&mut [0; 8_192]).unwrap() > 0);
        stream
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }
}

fn answer(mut stream: TcpStream) {
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
}

#[test]
fn limits_are_listed_and_shown() {
    let site = Site::start();
    let Site { server, .. } = &site;
    let list = server.client(&["limits"]).exits(0).stdout;
    let row = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{list}"));
    assert!(row("NAME").ends_with("ALLOWS       KEY       IN USE  WAITING  FOUND  STATE"), "{list}");
    assert!(row("cloud-api").contains("1 at a time"), "{list}");
    assert!(row("mail").contains("1000/s       /region   0       0               open"), "{list}");
    assert!(row("resize.lock").contains("1 at a time  /machine"), "{list}");
    let names = ["cloud-api", "mail", "resize.lock", "slow"];
    let document = server.client(&["limits", "-o", "json"]).exits(0).json();
    assert_eq!(document.as_array().unwrap().iter().map(|limit| &limit["name"]).collect::<Vec<_>>(), names);
    assert_eq!(server.client(&["limits", "-o", "jsonl"]).exits(0).stdout.lines().count(), names.len());
    let shown = server.client(&["limits", "show", "mail"]).exits(0).stdout;
    for line in ["allows    1000/s\n", "key       /region\n", "consumers alarm\n", "state     open\n"] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
    assert_eq!(server.client(&["limits", "show", "mail", "-o", "json"]).exits(0).json()["rate"], "1000/s");
    server.client(&["limits", "show", "clod-api"]).exits(3).says("did you mean cloud-api?");
}

#[test]
fn what_waits_for_a_slot_says_who_has_it() {
    let site = Site::start();
    let Site { server, .. } = &site;
    let first = server.send(&["ec2.start", "{}"]);
    let running = site.take();
    let second = server.send(&["ec2.start", "{}"]);
    let why = server.client(&["why", &second]).exits(0).says("acceptd limits show cloud-api");
    assert!(why.stdout.starts_with("waits for limit cloud-api (1 at a time): next in line"), "{why:?}");
    let limit = server.client(&["limits", "show", "cloud-api", "-o", "json"]).exits(0).json();
    assert_eq!((&limit["inUse"], &limit["waiting"]), (&1.into(), &1.into()));
    let shown = server.client(&["limits", "show", "cloud-api"]).exits(0).stdout;
    let holder = shown.lines().last().unwrap();
    assert!(shown.contains("\nHELD BY") && holder.starts_with(&format!("{first}  start-ec2  ")), "{shown}");
    answer(running);
    answer(site.take());
    for id in [&first, &second] {
        server.client(&["watch", id]).exits(0);
    }
}

#[test]
fn what_waits_for_a_lock_names_its_holder() {
    let site = Site::start();
    let Site { server, .. } = &site;
    let first = server.send(&["ec2.resize", r#"{"machine":"m-7"}"#]);
    let running = site.take();
    let second = server.send(&["ec2.resize", r#"{"machine":"m-7"}"#]);
    let why = server.client(&["why", &second]).exits(0).says("resize has held it for ");
    let said = format!("waits for lock resize.lock of m-7, held by operation {first} (resize)");
    assert!(why.stdout.starts_with(&said), "{why:?}");
    assert!(why.stderr.ends_with(&format!(": acceptd why {first}\n")), "{why:?}");
    let document = server.client(&["why", &second, "-o", "json"]).exits(0).json();
    assert_eq!(document["waitingOn"][0]["holder"]["operation"], first.as_str());
    assert_eq!(document["waitingOn"][0]["message"], document["why"][0]);
    answer(running);
    answer(site.take());
    server.client(&["watch", &second]).exits(0);
}

#[test]
fn a_key_is_paused_and_goes_on() {
    let site = Site::start();
    let Site { server, .. } = &site;
    let paused = server.client_as("ann", &["limits", "pause", "mail", "--key", "eu", "--reason", "a look"]).exits(0);
    assert!(paused.stdout.contains("1 key paused"), "{paused:?}");
    assert_eq!(paused.stderr, "go on with: acceptd limits resume mail --key eu\n");
    let held = server.send(&["alarm.create", r#"{"region":"eu"}"#]);
    server.client(&["send", "alarm.create", r#"{"region":"us"}"#, "--wait"]).exits(0);
    let why = server.client(&["why", &held]).exits(8).says("acceptd limits resume mail --key eu");
    assert_eq!(why.stdout, "waits for limit mail of eu, which ann paused: a look\n");
    let list = server.client(&["limits"]).exits(0).stdout;
    assert!(list.contains("  eu paused by ann: a look\n"), "{list}");
    let shown = server.client(&["limits", "show", "mail"]).exits(0).stdout;
    assert!(shown.lines().any(|line| line.starts_with("eu ") && line.ends_with("paused by ann: a look")), "{shown}");
    server.client(&["limits", "resume", "mail", "--key", "eu"]).exits(0);
    server.client(&["watch", &held]).exits(0);
}

#[test]
fn a_limit_is_paused_for_a_time_or_until_someone_resumes_it() {
    let site = Site::start();
    let Site { server, .. } = &site;
    let paused = server.client_as("ann", &["limits", "pause", "mail", "--for", "10m"]).exits(0);
    assert!(paused.stdout.starts_with("limit mail is paused by ann for "), "{paused:?}");
    let held = server.send(&["alarm.create", r#"{"region":"eu"}"#]);
    let why = server.client(&["why", &held]).exits(0).says("acceptd limits show mail");
    assert!(why.stdout.contains("for limit mail of eu, which ann paused until "), "{why:?}");
    let list = server.client(&["limits"]).exits(0).stdout;
    assert!(list.contains("  paused until ") && list.contains(" by ann\n"), "{list}");
    let until = ["limits", "pause", "mail", "--until", "2999-01-01T00:00:00Z", "-o", "json"];
    assert_eq!(server.client(&until).exits(0).json()["pause"]["until"], "2999-01-01T00:00:00.000Z");
    server.client(&["limits", "pause", "mail"]).exits(0);
    server.client(&["why", &held]).exits(8).says("let it go on: acceptd limits resume mail\n");
    let resumed = server.client(&["limits", "resume", "mail"]).exits(0);
    assert!(resumed.stdout.starts_with("limit mail (1000/s): "), "{resumed:?}");
    server.client(&["watch", &held]).exits(0);
}

#[test]
fn consumers_say_who_paused_them() {
    let site = Site::start();
    let Site { server, .. } = &site;
    server.client_as("ann", &["consumers", "pause", "alarm"]).exits(0);
    let held = server.send(&["alarm.create", r#"{"region":"eu"}"#]);
    let why = server.client(&["why", &held]).exits(8).says("acceptd consumers resume alarm");
    assert_eq!(why.stdout, "waits because ann paused consumer alarm\n");
    server.client_as("bob", &["consumers", "resume", "alarm"]).exits(0);
    server.client(&["watch", &held]).exits(0);
}

#[test]
fn a_limit_is_changed_and_the_change_taken_back() {
    let site = Site::start();
    let Site { server, .. } = &site;
    let set = ["limits", "set", "mail", "--rate", "100/m burst 20", "--concurrency", "3"];
    let changed = server.client_as("ann", &set).exits(0).says("acceptd limits reset mail");
    assert!(changed.stdout.starts_with("limit mail (100/m burst 20, 3 at a time): "), "{changed:?}");
    assert!(server.client(&["limits"]).exits(0).stdout.contains("  open; changed by ann at "));
    let shown = server.client(&["limits", "show", "mail"]).exits(0).stdout;
    assert!(shown.contains("allows    100/m burst 20, 3 at a time\ndeclared  1000/s\n"), "{shown}");
    let lifted = server.client(&["limits", "set", "mail", "--no-rate", "-o", "json"]).exits(0).json();
    assert_eq!((&lifted["rate"], &lifted["concurrency"]), (&serde_json::Value::Null, &3.into()));
    let reset = server.client(&["limits", "reset", "mail"]).exits(0);
    assert!(reset.stdout.starts_with("limit mail (1000/s): "), "{reset:?}");
    assert!(!server.client(&["limits"]).exits(0).stdout.contains("changed"));
}

#[test]
fn mistakes_with_limits_have_exit_codes_and_sentences() {
    let site = Site::start();
    let Site { server, .. } = &site;
    server.client(&["limits", "set", "mail"]).exits(2).says("--rate");
    server.client(&["limits", "set", "mail", "--rate", "1/s", "--no-rate"]).exits(2);
    server.client(&["limits", "set", "mail", "--rate", "fast"]).exits(2).says("is not a rate such as 2/s");
    server.client(&["limits", "set", "mail", "--concurrency", "0"]).exits(2).says("concurrency must be from 1");
    server.client(&["limits", "pause", "mail", "--until", "2001-01-01T00:00:00Z"]).exits(2).says("lies in the past");
    server.client(&["limits", "pause", "mail", "--until", "noon"]).exits(2).says("is not an RFC 3339 time");
    for verb in ["pause", "resume", "reset"] {
        server.client(&["limits", verb, "male"]).exits(3).says("did you mean mail?");
    }
}

#[test]
fn watching_tells_what_it_waits_for() {
    let site = Site::start();
    let Site { server, folder, .. } = &site;
    // The pause ends by itself: were the line never said, the test would fail and not hang.
    server.client_as("ann", &["limits", "pause", "mail", "--for", "60s"]).exits(0);
    let id = server.send(&["alarm.create", r#"{"region":"eu"}"#]);
    let mut command = acceptd(folder.path());
    command.args(["watch", &id, "--url", &server.url]).stdout(Stdio::piped());
    let mut watch = command.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let waits = lines.find(|line| line.contains("for limit mail of eu, which ann paused until "));
    assert!(waits.is_some(), "the wait was not told");
    server.client(&["limits", "resume", "mail"]).exits(0);
    assert_eq!(lines.last().as_deref(), Some("alarm.create succeeded: 1 of 1 done"));
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn the_estimated_end_is_told() {
    let site = Site::start();
    let Site { server, .. } = &site;
    // The first one tells how long they take.
    server.client(&["send", "report.create", "{}", "--wait"]).exits(0);
    let sent = server.client_with_input(&["send", "report.create", "--items", "-"], "{}\n{}\n{}\n").exits(0);
    let id = sent.stdout.trim();
    let why = server.client(&["why", id]).exits(0);
    let lines: Vec<_> = why.stdout.lines().collect();
    assert!(lines[0].starts_with("waits for limit slow (1/h): next in line"), "{why:?}");
    assert!(lines[0].ends_with(" (3 deliveries)"), "{why:?}");
    assert!(lines[1].starts_with("about ") && lines[1].ends_with(" left"), "{why:?}");
    assert!(server.client(&["operations", id]).exits(0).stdout.contains("\nestimate  about "), "{why:?}");
    assert!(server.client(&["why", id, "-o", "json"]).exits(0).json()["estimatedEndTime"].is_string());
    server.client(&["operations", "cancel", id]).exits(0);
}

#[test]
fn the_items_of_a_batch_are_listed() {
    let site = Site::start();
    let Site { server, .. } = &site;
    let lines: String = (0..130).map(|n| format!("{{\"region\":\"r{}\",\"title\":\"{n}\"}}\n", n % 3)).collect();
    site.write("items.jsonl", &lines);
    let sent = server.client(&["send", "alarm.create", "--items", "items.jsonl", "--wait"]).exits(0);
    let id = sent.says("alarm.create succeeded: 130 of 130 done").stdout;
    let id = id.trim();
    let all = server.client(&["operations", "items", id, "--limit", "1000", "-o", "json"]).exits(0).json();
    let indexes: Vec<_> = all.as_array().unwrap().iter().map(|item| item["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, (0..130).collect::<Vec<_>>(), "pages are joined in order");
    let first = server.client(&["operations", "items", id]).exits(0).says("these are the first 50;");
    assert_eq!(first.stdout.lines().count(), 51, "a heading and the items");
    assert!(first.stdout.starts_with("ITEM  EVENT"), "{first:?}");
    let failed = ["operations", "items", id, "--state", "failed"];
    assert_eq!(server.client(&failed).exits(0).says("no items").stdout, "");

    site.write("broken.json", "[1, {\"two\": 2}]");
    let sent = server.client(&["send", "broken.event", "--items", "broken.json", "--wait"]).exits(5);
    let items = server.client(&["operations", "items", sent.stdout.trim(), "--state", "failed"]).exits(0).stdout;
    assert_eq!(items.lines().filter(|line| line.contains("  failed  1/1")).count(), 2, "{items}");
    let unknown = "01a20734-c555-7000-8698-96dcf0a91025";
    server.client(&["operations", "items", unknown]).exits(3).says("there is no operation");
}

#[test]
fn a_batch_with_a_mistake_is_refused_whole() {
    let site = Site::start();
    let Site { server, .. } = &site;
    let items = "{\"region\":\"eu\"}\n{\"title\":\"where?\"}\n";
    let refused = server.client_with_input(&["send", "alarm.create", "--items", "-"], items);
    refused.exits(2).says("#/items/1/region: ");
    for (text, said) in [
        ("{\"region\":\n", "can't read items from items.jsonl: line 1 is not JSON"),
        ("[1,", "can't read items from items.jsonl: it is not a JSON array"),
        ("\n", "can't read items from items.jsonl: there is no item in it"),
    ] {
        site.write("items.jsonl", text);
        server.client(&["send", "alarm.create", "--items", "items.jsonl"]).exits(2).says(said);
    }
    server.client(&["send", "alarm.create", "--items", "nothing.jsonl"]).exits(2).says("can't read nothing.jsonl");
    server.client(&["send", "alarm.create", "{}", "--items", "-"]).exits(2).says("cannot be used with");
    assert_eq!(server.client(&["operations", "-o", "json"]).exits(0).stdout, "[]\n");
}
