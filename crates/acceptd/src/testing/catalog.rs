//! The declared catalog beside a file that is checked in, so that each edge is seen in review.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use similar::TextDiff;

use crate::Acceptd;
use crate::store::memory::MemoryStore;

/// Set to 1, it lets the file be written instead of compared.
const UPDATE: &str = "ACCEPTD_UPDATE";

/// Compares what a program declares with a file that is checked in, whose path starts at the crate's folder. With
/// `ACCEPTD_UPDATE=1` in the environment the file is written.
///
/// ```no_run
/// # fn shop(app: acceptd::Acceptd) -> acceptd::Acceptd { app }
/// acceptd::testing::assert_catalog!(shop, "catalog.json");
/// ```
#[macro_export]
macro_rules! assert_catalog {
    ($app:expr, $path:expr $(,)?) => {
        $crate::testing::check_catalog(
            &$crate::testing::catalog_json($app),
            ::std::path::Path::new(::core::env!("CARGO_MANIFEST_DIR")).join($path),
        )
    };
}

/// The catalog that a program declares, as it is checked in: places without their lines, which move with every edit.
///
/// # Panics
/// When the program could not start.
#[track_caller]
pub fn catalog_json(app: impl Fn(Acceptd) -> Acceptd) -> String {
    match app(Acceptd::new(Arc::new(MemoryStore::new()))).catalog() {
        Ok(catalog) => catalog.without_lines().to_json(),
        Err(error) => panic!("the program could not start: {error}"),
    }
}

/// Compares a catalog with a file: what [`assert_catalog!`](crate::assert_catalog) does.
///
/// # Panics
/// With the lines that differ, and when there is no such file.
#[track_caller]
pub fn check_catalog(json: &str, path: impl AsRef<Path>) {
    let update = std::env::var(UPDATE).is_ok_and(|value| value == "1");
    if let Err(problem) = compare(json, path.as_ref(), update) {
        panic!("{problem}");
    }
}

fn compare(json: &str, path: &Path, update: bool) -> Result<(), String> {
    let name = path.display();
    if update {
        return fs::write(path, json).map_err(|error| format!("{name} can't be written: {error}"));
    }
    let kept = fs::read_to_string(path)
        .map_err(|error| format!("{name} can't be read: {error}; run the test with {UPDATE}=1 to write it"))?;
    let kept = kept.replace("\r\n", "\n");
    if kept == json {
        return Ok(());
    }
    let diff = TextDiff::from_lines(kept.as_str(), json);
    let diff = diff.unified_diff().context_radius(3).header("as checked in", "as declared").to_string();
    Err(format!("the catalog is not that of {name}; run the test with {UPDATE}=1 if it is meant to be so\n\n{diff}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_is_written_compared_and_told_apart_by_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.json");
        let missing = compare("{}\n", &path, false).unwrap_err();
        assert!(missing.contains("catalog.json can't be read") && missing.contains("ACCEPTD_UPDATE=1"), "{missing}");
        compare("{\n  \"a\": 1\n}\n", &path, true).unwrap();
        compare("{\n  \"a\": 1\n}\n", &path, false).unwrap();
        let differs = compare("{\n  \"a\": 2\n}\n", &path, false).unwrap_err();
        assert!(differs.contains("-  \"a\": 1\n+  \"a\": 2\n"), "{differs}");
    }
}
