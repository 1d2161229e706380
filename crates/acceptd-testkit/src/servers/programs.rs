//! Where the programs of servers are.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// Where packages put programs that are not on everyone's PATH, one folder per version.
const PLACES: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "bin"),
];

/// The first folder that has all of these programs: on the PATH, of PostgreSQL's newest version, or where packages of
/// the system's administrator go.
pub(super) fn folder_with(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = PLACES.iter().flat_map(|(place, below)| versions(Path::new(place), below));
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut folders = std::env::split_paths(&path).chain(versions).chain(system);
    folders.find(|folder| programs.iter().all(|program| folder.join(program).is_file()))
}

/// The folders `<place>/*/<below>` of PostgreSQL, newest version first: `15` and `postgresql@15` are versions.
fn versions(place: &Path, below: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let version = |name: &str| name.trim_start_matches("postgresql@").parse::<u32>().ok();
    let mut found: Vec<_> =
        entries.filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path().join(below)))).collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::versions;

    #[test]
    fn the_newest_version_is_first() {
        let place = tempfile::tempdir().unwrap();
        for name in ["9", "15", "postgresql@16", "redis"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        let names = ["postgresql@16", "15", "9"];
        assert_eq!(versions(place.path(), "bin"), names.map(|name| place.path().join(name).join("bin")));
    }
}
