//! The house rules that no compiler keeps: sizes, import directions, words, orphan files, lists in docs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines a source file may have, and a test file.
const SOURCE_LINES_MAX: usize = 700;
const TEST_LINES_MAX: usize = 1_000;
const LINE_WIDTH_MAX: usize = 120;

/// Folders with nothing of ours in them.
const SKIPPED: [&str; 5] = ["target", ".git", ".venv", ".node", "node_modules"];

fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("the workspace is two folders up").to_path_buf()
}

fn files(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root(), extension, &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("the workspace is readable").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let path = path.strip_prefix(root()).expect("it is below the root").to_string_lossy().into_owned();
            found.push((path, text));
        }
    }
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("acceptd-testkit/")
}

fn assert_none(problems: &[String], rule: &str) {
    let list = problems.iter().fold(String::new(), |mut list, problem| {
        let _ = writeln!(list, "  {problem}");
        list
    });
    assert!(problems.is_empty(), "{rule}\n{list}");
}

#[test]
fn files_and_lines_keep_their_size() {
    let mut problems = Vec::new();
    for (path, text) in files("rs") {
        let (lines, max) = (text.lines().count(), if is_test(&path) { TEST_LINES_MAX } else { SOURCE_LINES_MAX });
        if lines > max {
            problems.push(format!("{path}: {lines} lines, {max} are allowed"));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_WIDTH_MAX {
                problems.push(format!("{path}:{}: over {LINE_WIDTH_MAX} columns", number + 1));
            }
        }
    }
    assert_none(&problems, "files of one idea stay small");
}

#[test]
fn the_median_file_is_short() {
    let mut sizes: Vec<_> =
        files("rs").iter().filter(|(path, _)| !is_test(path)).map(|(_, t)| t.lines().count()).collect();
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2];
    assert!(median <= 150, "the median source file has {median} lines, 150 are the aim");
}

/// Who may not say what: a folder or file of the library, and words that would be a wrong import there.
const FORBIDDEN: [(&str, &[&str]); 11] = [
    ("acceptd/src/delivery", &["crate::engine", "crate::store", "crate::consumer", "crate::target", "tokio"]),
    ("acceptd/src/operation.rs", &["crate::engine", "crate::store", "crate::consumer", "crate::target", "tokio"]),
    ("acceptd/src/event.rs", &["crate::engine", "crate::store", "crate::consumer", "crate::target", "tokio"]),
    ("acceptd/src/outcome.rs", &["crate::engine", "crate::store", "crate::consumer", "crate::target", "tokio"]),
    ("acceptd/src/trace.rs", &["crate::engine", "crate::store", "crate::consumer", "crate::target", "tokio"]),
    ("acceptd/src/catalog/", &["crate::engine", "crate::store", "crate::consumer", "crate::target", "tokio"]),
    ("acceptd/src/wait.rs", &["crate::engine", "crate::store", "crate::consumer", "crate::target", "tokio"]),
    (
        "acceptd/src/story/",
        &["crate::engine", "crate::consumer", "crate::target", "tokio", "SystemTime", "SystemClock"],
    ),
    ("acceptd/src/engine/", &["sqlite", "memory::", "axum", "reqwest", "SystemTime", "SystemClock::"]),
    ("acceptd/src/store/", &["crate::engine", "crate::consumer", "crate::target", "SystemTime"]),
    ("acceptd-http/src/", &["rusqlite", "SqliteStore", "SystemTime"]),
];

#[test]
fn imports_go_one_way() {
    let mut problems = Vec::new();
    for (path, text) in files("rs") {
        for (place, words) in FORBIDDEN {
            if !path.starts_with(&format!("crates/{place}")) || is_test(&path) {
                continue;
            }
            let code = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
            problems.extend(
                words
                    .iter()
                    .filter(|word| code().any(|line| line.contains(**word)))
                    .map(|word| format!("{path}: says {word}")),
            );
        }
    }
    assert_none(&problems, "model <- traits <- adapters; the engine names no adapter; only clock.rs reads the clock");
}

#[test]
fn the_library_depends_on_no_http() {
    let manifest = fs::read_to_string(root().join("crates/acceptd/Cargo.toml")).expect("the manifest is there");
    for name in ["axum", "hyper", "reqwest", "lapin", "rdkafka", "clap"] {
        assert!(!manifest.contains(name), "the library must not depend on {name}");
    }
}

#[test]
fn one_word_per_thing() {
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).expect("docs/glossary.md is there");
    let block = glossary.split("```").nth(1).expect("the glossary lists the banned words in a fenced block");
    let banned: Vec<&str> = block.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect();
    assert!(banned.len() > 5, "the list of banned words is there");
    let mut problems = Vec::new();
    for (path, text) in files("rs").into_iter().chain(files("md")).chain(files("toml")) {
        if path == "docs/glossary.md" || path.ends_with("tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let lower = without_addresses(&line.to_lowercase());
            for word in banned.iter().filter(|word| says(&lower, word)) {
                problems.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    assert_none(&problems, "docs/glossary.md bans these words");
}

/// A line without the addresses of pages: their words are those of who wrote the pages.
fn without_addresses(line: &str) -> String {
    let (mut kept, mut rest) = (String::new(), line);
    while let Some(at) = rest.find("https://") {
        kept.push_str(&rest[..at]);
        let address = &rest[at..];
        rest = address.find([' ', ')', '>', '`', '"']).map_or("", |end| &address[end..]);
    }
    kept + rest
}

fn says(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        // Names of other people's crates and modules are theirs: `tokio::task`.
        let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_:-".contains(c));
        !is_letter(line[..at].chars().next_back()) && !is_letter(line[at + word.len()..].chars().next())
    })
}

#[test]
fn no_file_is_an_orphan() {
    let all = files("rs");
    let mut problems = Vec::new();
    for (path, _) in &all {
        let file = Path::new(path);
        let (Some(stem), Some(folder)) = (file.file_stem(), file.parent()) else { continue };
        let stem = stem.to_string_lossy();
        let is_root = ["main", "lib", "build"].contains(&stem.as_ref()) || path.contains("/bin/");
        if is_root
            || path.contains("/compile_fail/")
            || path.contains("/benches/")
            || path.contains("/examples/") && !path.contains("/src/")
        {
            continue;
        }
        let (name, parents) = if stem == "mod" {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, parents_of(folder.parent().unwrap_or(folder)))
        } else {
            (stem.into_owned(), parents_of(folder))
        };
        let declared = all
            .iter()
            .filter(|(parent, _)| parents.contains(parent))
            .any(|(_, text)| text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};"))));
        if !declared {
            problems.push(format!("{path}: nothing says `mod {name};`"));
        }
    }
    assert_none(&problems, "every file is part of the build");
}

fn parents_of(folder: &Path) -> BTreeSet<String> {
    let inside = ["mod.rs", "lib.rs", "main.rs"].map(|name| folder.join(name));
    let beside = folder.with_extension("rs");
    inside.into_iter().chain([beside]).map(|path| path.to_string_lossy().into_owned()).collect()
}

#[test]
fn nothing_is_left_over() {
    let words = ["todo!(", "unimplemented!(", "#[ignore", "dbg!(", "FIXME", "XXX"];
    let mut problems = Vec::new();
    for (path, text) in files("rs").into_iter().filter(|(path, _)| !path.ends_with("tidy.rs")) {
        for (number, line) in text.lines().enumerate() {
            problems.extend(
                words.iter().filter(|word| line.contains(**word)).map(|word| format!("{path}:{}: {word}", number + 1)),
            );
        }
    }
    assert_none(&problems, "what is committed is finished");
}

#[test]
fn every_decision_is_in_the_index() {
    let folder = root().join("docs/adr");
    let index = fs::read_to_string(folder.join("README.md")).expect("docs/adr/README.md is there");
    let mut problems = Vec::new();
    for entry in fs::read_dir(&folder).expect("docs/adr is readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "README.md" && !index.contains(&name) {
            problems.push(name);
        }
    }
    assert_none(&problems, "docs/adr/README.md lists every decision");
}
