//! Where words go: data to standard output in the format that was asked for, talk to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

pub(crate) use acceptd::story::plain;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use crate::exit::Result;

/// How data is written. It never depends on whether standard output is a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences for people
    Table,
    /// One JSON document; lists are arrays
    Json,
    /// One JSON document a line
    Jsonl,
    /// A picture in Mermaid's language; only where a command says that it has one
    #[value(skip)]
    Mermaid,
}

/// A column of a table: its heading, and what it shows of an item.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// Standard output and standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
}

impl Console {
    /// The process's own.
    pub(crate) fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// Whether people look at standard error as it is written, and want to.
    pub(crate) fn is_live(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// A line of data.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// A line of talk.
    pub(crate) fn say(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            // Nobody may be listening; that is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// One document; `human` writes it for people.
    pub(crate) fn document(&self, value: &Value, human: impl FnOnce() -> String) -> Result<()> {
        match self.format {
            Format::Table | Format::Mermaid => self.line(&human()),
            Format::Json => self.line(&serde_json::to_string_pretty(value).unwrap_or_default()),
            Format::Jsonl => self.line(&value.to_string()),
        }
    }

    /// A list; an empty one says so to people and is `[]` in JSON.
    pub(crate) fn list(&self, what: &str, items: &[Value], columns: &[Column]) -> Result<()> {
        match self.format {
            Format::Table | Format::Mermaid if items.is_empty() => self.say(format_args!("no {what}")),
            Format::Table | Format::Mermaid => self.line(&table(items, columns))?,
            Format::Json => self.line(&serde_json::to_string_pretty(items).unwrap_or_default())?,
            Format::Jsonl => {
                for item in items {
                    self.line(&item.to_string())?;
                }
            }
        }
        Ok(())
    }
}

/// Items as the lines of a table.
pub(crate) fn table(items: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(columns.iter().map(|(_, show)| plain(&show(item))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Text as one argument of a shell's command line, for commands that are suggested.
pub(crate) fn argument(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    let text = plain(text);
    let is_bare = !text.is_empty() && text.chars().all(is_plain);
    if is_bare { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Text of at most so many characters; the last one of those says that there was more.
pub(crate) fn cut(text: String, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text,
        Some(_) => text.chars().take(max - 1).chain(['…']).collect(),
    }
}

/// An error, on standard error.
pub(crate) fn complain(message: &str) {
    let lines = message.lines().map(|line| format!("acceptd: {line}\n"));
    let _ = std::io::stderr().write_all(lines.collect::<String>().as_bytes());
}

/// A field of a document as text; nothing when it is not there. `path` is a JSON Pointer.
pub(crate) fn field(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A time of a document as its age, such as `3m ago`.
pub(crate) fn age(value: &Value, path: &str) -> String {
    let Ok(then) = field(value, path).parse::<acceptd::Timestamp>() else { return String::new() };
    let now = acceptd::Clock::now(&acceptd::SystemClock);
    if then > now { format!("in {}", span(then.since(now))) } else { format!("{} ago", span(now.since(then))) }
}

/// How long something takes, without fractions of a second once there is a whole one.
pub(crate) fn span(duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_secs());
    acceptd::duration::format_duration(if whole.is_zero() { duration } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_a_shell_needs_it() {
        assert_eq!(argument("cloud-api"), "cloud-api");
        assert_eq!(argument("eu west"), "'eu west'");
        assert_eq!(argument("it's"), r"'it'\''s'");
        assert_eq!(argument(""), "''");
        assert_eq!(argument("a\nb"), "'a b'");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut("12345".to_owned(), 5), "12345");
        assert_eq!(cut("äöüßé!".to_owned(), 5), "äöüß…");
    }
}
