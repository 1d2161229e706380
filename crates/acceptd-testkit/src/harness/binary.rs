//! Where the server under test comes from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `acceptd` binary with the feature `faults`.
///
/// `ACCEPTD_BIN` names one that is built already. Without it, cargo builds one, once for each run of the tests, into
/// a folder of its own: the plain binary beside the tests must not get crash points.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("ACCEPTD_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    // <target>/<profile>/deps/fault-0123456789abcdef
    let tests = std::env::current_exe().expect("the path of the tests");
    let profile = tests.ancestors().nth(2).expect("a profile's folder");
    let target = profile.parent().expect("the target folder").join("faults");
    let released = profile.file_name().is_some_and(|name| name == "release");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "acceptd-server", "--features", "faults", "--target-dir"]);
    cargo.arg(&target).args(released.then_some("--release")).current_dir(env!("CARGO_MANIFEST_DIR"));
    eprintln!("building the server with crash points (ACCEPTD_BIN names one that is built already)");
    assert!(cargo.status().expect("cargo starts").success(), "the server can't be built");
    target.join(if released { "release" } else { "debug" }).join("acceptd")
}
