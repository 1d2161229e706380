//! The catalog of a Rust program, printed by itself.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

fn machines(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_machines")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_program_prints_what_its_signatures_say() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines.txt");
    let shown = machines(&["catalog", "show"]);
    assert!(shown.status.success(), "{shown:?}");
    let shown = text(&shown.stdout);
    if std::env::var_os("ACCEPTD_WRITE_DOCS").is_some() {
        std::fs::write(&kept, &shown).unwrap();
    }
    let kept = std::fs::read_to_string(kept).unwrap_or_default();
    assert_eq!(shown, kept, "examples/machines.txt: set ACCEPTD_WRITE_DOCS=1 and run this test");
}

#[test]
fn a_program_compares_itself_with_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("catalog.json");
    let path = old.to_str().unwrap();
    assert!(machines(&["catalog", "export", "--format", "json", "--out", path]).status.success());
    let same = machines(&["catalog", "check", path]);
    assert_eq!((same.status.code(), text(&same.stdout).as_str()), (Some(0), "nothing changed\n"));

    let before = std::fs::read_to_string(&old).unwrap().replace("alarm.create", "alarm.make");
    std::fs::write(&old, before).unwrap();
    let broken = machines(&["catalog", "check", path]);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    assert!(text(&broken.stdout).contains("event alarm.make: it is gone"), "{broken:?}");

    let wrong = machines(&["catalog", "sow"]);
    assert_eq!((wrong.status.code(), text(&wrong.stdout).as_str()), (Some(2), ""));
    assert_eq!(text(&wrong.stderr), "catalog: \"sow\" is not show, export or check\n");
}
