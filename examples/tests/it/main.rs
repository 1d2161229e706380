//! The catalog of a Rust program, printed by itself.

use std::path::Path;
use std::process::{Command, Output};

fn machines(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_machines")).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it writes UTF-8")
}

#[test]
fn a_program_prints_what_its_signatures_say() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines.txt");
    let shown = machines(&["catalog", "show"]);
    assert!(shown.status.success(), "{shown:?}");
    let shown = text(&shown.stdout);
    if std::env::var_os("ACCEPTD_WRITE_DOCS").is_some() {
        std::fs::write(&kept, &shown).expect("the folder can be written to");
    }
    let kept = std::fs::read_to_string(kept).unwrap_or_default();
    assert_eq!(shown, kept, "examples/machines.txt: set ACCEPTD_WRITE_DOCS=1 and run this test");
}

#[test]
fn a_program_compares_itself_with_what_it_was() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let old = folder.path().join("catalog.json");
    let path = old.to_str().expect("it is UTF-8");
    assert!(machines(&["catalog", "export", "--format", "json", "--out", path]).status.success());
    let same = machines(&["catalog", "check", path]);
    assert_eq!((same.status.code(), text(&same.stdout).as_str()), (Some(0), "nothing changed\n"));

    let before = std::fs::read_to_string(&old).expect("it was written").replace("alarm.create", "alarm.make");
    std::fs::write(&old, before).expect("it can be written again");
    let broken = machines(&["catalog", "check", path]);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    assert!(text(&broken.stdout).contains("event alarm.make: it is gone"), "{broken:?}");

    let wrong = machines(&["catalog", "sow"]);
    assert_eq!((wrong.status.code(), text(&wrong.stdout).as_str()), (Some(2), ""));
    assert_eq!(text(&wrong.stderr), "catalog: \"sow\" is not show, export or check\n");
}
