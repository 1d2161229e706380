//! `acceptd catalog`, offline: what a configuration declares, and exported catalogs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::process::{Running, acceptd, end, run};

/// What is kept of the examples' catalogs, and how it is made.
const KEPT: [(&str, &str); 3] = [("catalog.json", "json"), ("catalog.txt", "text"), ("catalog.mmd", "mermaid")];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

fn sample(name: &str) -> String {
    repository().join("crates/acceptd/tests/catalog").join(name).to_string_lossy().into_owned()
}

#[test]
fn the_catalogs_of_the_examples_are_as_they_are_kept() {
    let write = std::env::var_os("ACCEPTD_WRITE_DOCS").is_some();
    for example in ["ec2", "uploads"] {
        let folder = repository().join("examples").join(example);
        for (file, format) in KEPT {
            let line = ["catalog", "export", "--config", "acceptd.toml", "--format", format];
            let text = run(&folder, &line).exits(0).stdout;
            if write {
                std::fs::write(folder.join(file), &text).unwrap();
            }
            let kept = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
            assert_eq!(text, kept, "examples/{example}/{file}: set ACCEPTD_WRITE_DOCS=1 and run this test");
        }
    }
}

#[test]
fn a_configuration_is_shown_without_a_server_and_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[consumers.start]\non = \"a\"\nemits = [\"b\"]\nurl = \"http://ann:pass@127.0.0.1/\"\n\
        secret_file = \"there.is.none\"\n";
    std::fs::write(folder.path().join("acceptd.toml"), text).unwrap();
    let shown = run(folder.path(), &["catalog", "--config", "acceptd.toml"]).exits(0).stdout;
    assert!(shown.contains("└─ → start\n   │    http http://127.0.0.1/; 8 attempts"), "{shown}");
    assert!(!shown.contains("pass"), "{shown}");
    let document = run(folder.path(), &["catalog", "show", "--config", "acceptd.toml", "-o", "json"]).exits(0).json();
    assert_eq!(document["events"][1]["type"], "b");
    run(folder.path(), &["catalog", "--config", "other.toml"]).exits(2).says("there is no such file");
    assert!(!folder.path().join("acceptd.db").exists());
}

#[test]
fn exports_go_to_a_file_or_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = sample("catalog.json");
    let export = |arguments: &[&str]| {
        let mut line = vec!["catalog", "export", "--from", &catalog, "--format"];
        line.extend(arguments);
        run(folder.path(), &line)
    };
    let kept = |name: &str| std::fs::read_to_string(sample(name)).unwrap();
    assert_eq!(export(&["asyncapi"]).exits(0).stdout, kept("asyncapi.json"));
    export(&["svg", "--out", "map.svg"]).exits(0).says("wrote map.svg");
    assert_eq!(std::fs::read_to_string(folder.path().join("map.svg")).unwrap(), kept("catalog.svg"));
    export(&["markdown"]).exits(2).says("markdown is a folder of files: name it with --out FOLDER");
    export(&["markdown", "--out", "map.svg"]).exits(2).says("map.svg is not a folder");
    export(&["markdown", "--out", "pages"]).exits(0).says(" files below pages");
    assert!(folder.path().join("pages/events").is_dir());
    assert!(!folder.path().join("passwd").exists() && !folder.path().join("pages/passwd.md").exists());
    export(&["pdf"]).exits(2).says("asyncapi");
    export(&["json", "--out", "none/catalog.json"]).exits(1).says("can't write none/catalog.json");
}

#[test]
fn drift_exits_with_1_when_something_is_undeclared() {
    let folder = tempfile::tempdir().unwrap();
    let drift = |from: &str| run(folder.path(), &["catalog", "drift", "--from", from]);
    let ended = drift(&sample("catalog.json")).exits(1);
    let undeclared = "undeclared: charge emits card.refused<i>: 3 times, last at 2026-11-23T10:00:00.000Z\n";
    assert!(ended.stdout.contains(undeclared), "{ended:?}");
    let example = repository().join("examples/ec2/catalog.json").to_string_lossy().into_owned();
    assert!(drift(&example).exits(0).stdout.ends_with("only what is declared: nothing was looked at\n"));
    std::fs::write(folder.path().join("other.json"), "{}").unwrap();
    drift("other.json").exits(2).says("it is not an exported catalog");
    let line = ["catalog", "drift", "-o", "json", "--from", &example];
    assert_eq!(end(acceptd(folder.path()).args(line)).exits(0).json()["undeclared"], serde_json::json!([]));
}

#[test]
fn a_change_that_breaks_somebody_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let old = repository().join("examples/ec2/catalog.json").to_string_lossy().into_owned();
    let toml = std::fs::read_to_string(repository().join("examples/ec2/acceptd.toml")).unwrap();
    let check = |toml: &str, mode: &str| {
        std::fs::write(folder.path().join("acceptd.toml"), toml).unwrap();
        run(folder.path(), &["catalog", "check", &old, "--config", "acceptd.toml", "--mode", mode])
    };
    assert_eq!(check(&toml, "full").exits(0).stdout, "nothing changed\n");
    let without = toml.replace("emits = [\"alarm.create\"]\n", "");
    let ended = check(&without, "backward").exits(1);
    let lost = "breaking    consumer announce-ec2: it no longer emits alarm.create\n";
    assert!(ended.stdout.contains(lost), "{ended:?}");
    check(&toml, "sideways").exits(2).says("backward, forward, full");
    let line = ["catalog", "check", "none.json", "--config", "acceptd.toml"];
    run(folder.path(), &line).exits(2).says("can't read none.json: ");
}

/// An endpoint that answers each delivery with an outcome, forever.
fn endpoint(outcome: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut lines = request.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let length = lines.find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            lines.for_each(drop);
            request.take(length.unwrap_or(0)).read_to_end(&mut Vec::new()).unwrap();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.acceptd.outcome+json\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{outcome}",
                outcome.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://{address}/")
}

#[test]
fn what_a_consumer_emits_undeclared_is_drift_whether_it_passes_or_not() {
    let url = endpoint(r#"{"emit":[{"type":"a.done","data":{}},{"type":"a.lost","data":{}}]}"#);
    for (undeclared, ends, done, mark) in [
        ("record", 0, "├─ a.done  [1 seen", "├─ a.lost  [UNDECLARED, 1 seen"),
        ("refuse", 5, "├─ a.done  [never seen]", "├─ a.lost  [UNDECLARED, 1 seen, 100 % refused"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[consumers.start]\non = \"a.start\"\nemits = [\"a.done\", \"a.never\"]\nurl = \"{url}\"\n\
             undeclared = \"{undeclared}\"\n"
        );
        std::fs::write(folder.path().join("acceptd.toml"), text).unwrap();
        let server = Running::serve(folder.path(), &["serve"]);
        server.client(&["catalog", "drift"]).exits(0);
        server.client(&["send", "a.start", "{}", "--wait"]).exits(ends);

        let drift = server.client(&["catalog", "drift"]).exits(1);
        for line in ["undeclared: start emits a.lost: once, last at ", "never seen: start emits a.never\n"] {
            assert!(drift.stdout.contains(line), "{line}: {drift:?}");
        }
        let shown = server.client(&["catalog"]).exits(0).stdout;
        for line in [done, mark, "└─ a.never  [never seen]"] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        server.client(&["catalog", "--days", "0"]).exits(2).says("days must be a whole number");
    }
}
