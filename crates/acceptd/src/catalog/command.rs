//! `PROGRAM catalog …`: what the binary's command does, for a Rust program that embeds acceptd.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::check::{check, render, worst};
use super::compat::{Mode, Verdict};
use super::format::Format;
use super::{Catalog, save};
use crate::{Error, Result};

const USAGE: &str = "\
Prints the catalog of this program: every event type, consumer, limit and edge that it declares.

    catalog show                                a tree for people
    catalog export --format FORMAT [--out PATH] a document, or a folder of files
    catalog check OLD [--mode MODE]             what changed since an exported catalog.json

FORMAT is one of text, mermaid, dot, svg, json, markdown, asyncapi, eventcatalog and backstage; markdown, eventcatalog
and backstage are folders and need --out. MODE says what must stay possible between the old data and the new: backward,
forward, or full, which is the default. Exit codes: 0, 1 when a change breaks somebody, 2 for a wrong command line.
";

/// When the process was started as `PROGRAM catalog …`, does what that says and ends the process; otherwise returns.
/// `show` prints a tree, `export --format FORMAT [--out PATH]` writes what other tools read, `check OLD [--mode MODE]`
/// names what changed since a catalog that was exported before. The exit codes are those of the binary: 0, 1 when a
/// change breaks somebody or the disk refuses, 2 for a wrong command line.
///
/// ```no_run
/// # fn main() -> acceptd::Result<()> {
/// let app = acceptd::Acceptd::open("sqlite:acceptd.db");
/// acceptd::catalog::command(&app.catalog()?);
/// # Ok(()) }
/// ```
pub fn command(catalog: &Catalog) {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != "catalog") {
        return;
    }
    let arguments: Vec<OsString> = arguments.collect();
    let code = match run(&arguments, catalog) {
        Ok(ended) => {
            // A pipe whose reader has left is no error.
            let _ = std::io::stdout().write_all(ended.data.as_bytes());
            ended.code
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "catalog: {error}");
            if error.kind() == crate::ErrorKind::InvalidArgument { 2 } else { 1 }
        }
    };
    std::process::exit(code);
}

/// How the command ended: what goes to standard output, and the exit code.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    data: String,
    code: i32,
}

fn run(arguments: &[OsString], catalog: &Catalog) -> Result<Ended> {
    let said = |data: String| Ok(Ended { data, code: 0 });
    let mut words = Words::read(arguments)?;
    if words.help {
        return said(USAGE.to_owned());
    }
    let verb = words.next("show, export or check")?;
    match verb.as_str() {
        "show" => {
            words.end(&[])?;
            said(super::format::text(catalog))
        }
        "export" => {
            words.end(&["--format", "--out"])?;
            let format = words.option("--format").ok_or_else(|| missing("--format"))?;
            export(catalog, format.parse()?, words.option("--out").map(PathBuf::from)).and_then(said)
        }
        "check" => {
            let old = words.next("the catalog.json to compare with")?;
            words.end(&["--mode"])?;
            let mode = words.option("--mode").map_or(Ok(Mode::default()), |mode| mode.parse())?;
            let findings = check(&Catalog::read(Path::new(&old))?, catalog, mode);
            let code = i32::from(worst(&findings) == Verdict::Breaking);
            Ok(Ended { data: render(&findings), code })
        }
        other => Err(Error::invalid(format!("{other:?} is not show, export or check"))),
    }
}

fn export(catalog: &Catalog, format: Format, out: Option<PathBuf>) -> Result<String> {
    let files = format.export(catalog);
    match out {
        Some(out) => save(&files, format, &out).map(|_| String::new()),
        None if format.is_folder() => {
            Err(Error::invalid(format!("the format {format} is a folder of files: name it with --out FOLDER")))
        }
        None => Ok(files.into_iter().map(|file| file.text).collect()),
    }
}

fn missing(what: &str) -> Error {
    Error::invalid(format!("{what} is missing; `catalog --help` shows the whole command"))
}

/// A command line: options with values, and the words between them.
#[derive(Debug, Default)]
struct Words {
    words: std::collections::VecDeque<String>,
    options: Vec<(String, String)>,
    help: bool,
}

impl Words {
    fn read(arguments: &[OsString]) -> Result<Self> {
        let mut read = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let argument = text(argument)?;
            if matches!(argument, "-h" | "--help" | "help") {
                read.help = true;
            } else if let Some((name, value)) = argument.split_once('=').filter(|(name, _)| name.starts_with("--")) {
                read.options.push((name.to_owned(), value.to_owned()));
            } else if argument.starts_with('-') {
                let value = arguments.next().ok_or_else(|| missing(&format!("the value of {argument}")))?;
                read.options.push((argument.to_owned(), text(value)?.to_owned()));
            } else {
                read.words.push_back(argument.to_owned());
            }
        }
        Ok(read)
    }

    fn next(&mut self, what: &str) -> Result<String> {
        self.words.pop_front().ok_or_else(|| missing(what))
    }

    fn option(&self, name: &str) -> Option<String> {
        self.options.iter().find(|(option, _)| option == name).map(|(_, value)| value.clone())
    }

    /// Checks that nothing is left over, and that only these options were given.
    fn end(&self, options: &[&str]) -> Result<()> {
        let unknown = self.options.iter().map(|(name, _)| name).find(|name| !options.contains(&name.as_str()));
        match unknown.or(self.words.front()) {
            Some(word) => Err(Error::invalid(format!("{word:?} is not known here; see `catalog --help`"))),
            None => Ok(()),
        }
    }
}

fn text(argument: &OsString) -> Result<&str> {
    argument.to_str().ok_or_else(|| Error::invalid(format!("{argument:?} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Ended> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        super::run(&arguments, &Catalog::default())
    }

    #[test]
    fn it_prints_and_exports() {
        assert_eq!(run("show").unwrap().data, super::super::format::text(&Catalog::default()));
        assert_eq!(run("export --format json").unwrap().data, Catalog::default().to_json());
        assert_eq!(run("export --format=json").unwrap().data, Catalog::default().to_json());
        assert_eq!(run("--help").unwrap(), Ended { data: USAGE.to_owned(), code: 0 });
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("pages");
        let ended = run(&format!("export --format markdown --out {}", out.display())).unwrap();
        assert_eq!(ended.data, "");
        assert!(out.join("index.md").exists());
    }

    #[test]
    fn mistakes_are_named() {
        for (line, said) in [
            ("", "show, export or check is missing"),
            ("sow", "\"sow\" is not show, export or check"),
            ("show me", "\"me\" is not known here"),
            ("export", "--format is missing"),
            ("export --format", "the value of --format is missing"),
            ("export --format pdf", "\"pdf\" is no format of a catalog; these are: text, mermaid"),
            ("export --format markdown", "name it with --out FOLDER"),
            ("export --form json", "\"--form\" is not known here"),
            ("check", "the catalog.json to compare with is missing"),
            ("check no.json", "can't read no.json: "),
            ("check no.json --mode none", "\"none\" is not a mode"),
        ] {
            let error = run(line).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn a_change_that_breaks_somebody_is_named_and_exits_with_1() {
        let (folder, old) = (tempfile::tempdir().unwrap(), "old.json");
        let old = folder.path().join(old);
        let mut catalog = Catalog::default();
        catalog.events.push(crate::catalog::CatalogEvent {
            kind: "ec2.start".to_owned(),
            declared: true,
            ..Default::default()
        });
        std::fs::write(&old, catalog.to_json()).unwrap();
        let line = format!("check {} --mode backward", old.display());
        let ended = run(&line).unwrap();
        assert!(ended.data.contains("event ec2.start: it is gone"), "{ended:?}");
        assert_eq!(ended.code, 1);
        std::fs::write(&old, Catalog::default().to_json()).unwrap();
        assert_eq!(run(&line).unwrap(), Ended { data: "nothing changed\n".to_owned(), code: 0 });
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(other.path().join("index.md"), folder.path().join("index.md")).unwrap();
        let error = run(&format!("export --format markdown --out {}", folder.path().display())).unwrap_err();
        assert!(error.to_string().contains("leads out of"), "{error}");
        assert!(!other.path().join("index.md").exists());
    }
}
