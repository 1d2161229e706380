//! The clock of a server, which a test sets while the server runs. Linux only.

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("clock.c");

/// A clock that one process sees.
#[derive(Debug)]
pub(super) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Builds what the process needs, in a folder. None, loudly, where that is not possible.
    pub(super) fn build(folder: &Path) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            println!("SKIPPED SKIPPED SKIPPED: no clock was set, this is not Linux");
            return None;
        }
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        std::fs::write(&source, SOURCE).expect("the source is written");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).status();
        assert!(built.expect("a C compiler, which building SQLite needs, too").success(), "clock.c compiles");
        let clock = Self { library, file: folder.join("clock") };
        clock.set(0);
        Some(clock)
    }

    /// Sets it so many seconds off the truth, at once.
    pub(super) fn set(&self, seconds: i64) {
        // Written over, not anew: the process has it mapped.
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&self.file);
        std::io::Write::write_all(&mut file.expect("the clock"), &seconds.to_ne_bytes()).expect("the clock is set");
    }

    /// What the process is started with.
    pub(super) fn environment(&self) -> [(&'static str, String); 2] {
        let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        [("LD_PRELOAD", path(&self.library)), ("ACCEPTD_TEST_CLOCK", path(&self.file))]
    }
}
