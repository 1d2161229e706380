//! `acceptd story`: the tree, JSON, and a picture, asked of a real server.

use tempfile::TempDir;

use crate::process::{Running, Server};

const UNKNOWN: &str = "01a20734-c555-7000-8698-96dcf0a91025";

fn server() -> (TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let text = "[consumers.alarm]\non = \"alarm.create\"\nnotify = \"inbox\"\n\
                [consumers.broken]\non = [\"broken.event\"]\nurl = \"http://127.0.0.1:1/\"\n\
                retry = { max_attempts = 2, base = \"10ms\" }\n";
    std::fs::write(folder.path().join("acceptd.toml"), text).unwrap();
    let server = Running::serve(folder.path(), &["serve"]);
    (folder, server)
}

#[test]
fn a_story_as_a_tree_as_json_and_as_a_picture() {
    let (_folder, server) = server();
    let id = server.client(&["send", "broken.event", "{\"a\": 1}", "--wait"]).exits(5).stdout.trim().to_owned();
    let tree = server.client(&["story", &id]).exits(0).stdout;
    let lines: Vec<_> = tree.lines().collect();
    assert!(lines[0].starts_with("broken.event failed, ") && lines[0].contains(" = waiting "), "{tree}");
    assert!(tree.contains("\nbroken.event (8 B)\n"), "{tree}");
    assert!(tree.contains(" broken dead, ") && tree.contains("attempt 2 of 2"), "{tree}");
    assert!(lines.last().unwrap().contains(" attempt 2 failed, "), "{tree}");
    assert!(!tree.contains(&id));
    assert!(server.client(&["story", &id, "--ids"]).exits(0).stdout.contains(&format!("operation {id}\n")));
    assert_eq!(server.client(&["story", &id, "-o", "tree"]).exits(0).stdout, tree);

    let json = server.client(&["story", &id, "-o", "json"]).exits(0).json();
    assert_eq!((&json["operation"], &json["status"]), (&id.as_str().into(), &"failed".into()));
    assert!(json["times"]["totalMs"].is_u64());
    let before = server.client(&["-o", "json", "story", &id]).exits(0).json();
    assert_eq!(before["events"], json["events"], "the option may stand before the command, too");
    let line = server.client(&["story", &id, "-o", "jsonl"]).exits(0).stdout;
    assert_eq!((line.lines().count(), line.starts_with('{')), (1, true));

    let picture = server.client(&["story", &id, "-o", "mermaid"]).exits(0).stdout;
    assert!(picture.starts_with("flowchart LR\n  n0[[\"broken.event failed, "), "{picture}");
    assert!(picture.contains("n1 --> n2[\"broken<br/>dead, ") && picture.contains("\"]:::dead\n"), "{picture}");
}

#[test]
fn mistakes_are_told() {
    let (_folder, server) = server();
    server.client(&["story", UNKNOWN]).exits(3).says(&format!("acceptd: there is no operation {UNKNOWN}\n"));
    server.client(&["story", UNKNOWN, "-o", "mermaid"]).exits(3);
    server.client(&["story", UNKNOWN, "-o", "svg"]).exits(2).says("[possible values: tree, json, jsonl, mermaid]");
    server.client(&["operations", "-o", "mermaid"]).exits(2).says("[possible values: table, json, jsonl]");
    server.client(&["story"]).exits(2);
}
