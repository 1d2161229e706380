//! The demo does what it says, also when it is killed in the middle.

use crate::process::{Running, acceptd};

fn demo(folder: &std::path::Path, more: &[&str]) -> Running {
    Running::start(acceptd(folder).args(["dev", "--demo", "--exit", "--listen", "127.0.0.1:0"]).args(more))
}

#[test]
fn the_demo_shows_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = demo(folder.path(), &[]);
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    for line in ["item 7: recovered", "item 23: gave up", "demo was told once", "never more than 4 at once"] {
        running.line(line);
    }
}

#[test]
fn a_killed_demo_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut killed = demo(folder.path(), &["--db", "demo.db"]);
    killed.line("uploads are accepted as one operation");
    killed.signal("KILL");
    killed.wait();
    let mut again = demo(folder.path(), &["--db", "demo.db"]);
    assert_eq!(again.wait().code(), Some(0), "{}", again.said());
    again.line("the last run left a batch behind; it goes on");
}
