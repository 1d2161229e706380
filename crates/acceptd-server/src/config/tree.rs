//! Configuration before anyone understands it: a tree of values, each of which knows where it was written.
//!
//! A file gives the tree, environment variables and flags are laid over it. What a key means is decided in `section`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::Problem;

/// The prefix of environment variables that set options; `__` separates levels behind it.
const PREFIX: &str = "ACCEPTD_";

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of a file.
    File(Arc<str>, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line) => write!(f, "{file}:{line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value with where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// What was written. Numbers and booleans of the environment and of flags are text.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// Something that no option takes: a fraction, a date.
    Other,
}

/// Keys with their values.
pub(crate) type Table = BTreeMap<String, Node>;

/// Reads a TOML document.
pub(crate) fn parse(file: &str, text: &str) -> Result<Table, Problem> {
    let lines = Lines { file: file.into(), text };
    match DeTable::parse(text) {
        Ok(document) => Ok(lines.table(document.get_ref())),
        Err(error) => {
            let origin = lines.origin(error.span().map_or(0, |span| span.start));
            Err(Problem { origin: Some(origin), message: error.message().trim().replace('\n', ", ") })
        }
    }
}

struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Lines<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(offset);
        Origin::File(Arc::clone(&self.file), 1 + before.filter(|byte| **byte == b'\n').count())
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let node = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let key: &toml::Spanned<std::borrow::Cow<'_, str>> = key;
            let origin = self.origin(key.span().start);
            (key.get_ref().to_string(), Node { value: self.value(value.get_ref()), origin })
        };
        table.iter().map(node).collect()
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                parsed.map_or(Value::Other, Value::Integer)
            }
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Array(items) => {
                let item = |item: &toml::Spanned<DeValue<'_>>| Node {
                    value: self.value(item.get_ref()),
                    origin: self.origin(item.span().start),
                };
                Value::List(items.iter().map(item).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
            DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
        }
    }
}

/// Lays the variables `ACCEPTD_SECTION__KEY` over the tree. Others, and empty ones, set nothing.
pub(crate) fn lay_environment(tree: &mut Table, variables: &[(String, String)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(PREFIX).filter(|path| path.contains("__")) else { continue };
        if text.is_empty() {
            continue;
        }
        let origin = Origin::Environment(name.clone());
        let levels: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        if let Err(message) = put(tree, &levels, None, text, &origin) {
            problems.push(Problem { origin: Some(origin), message });
        }
    }
    problems
}

/// Lays a flag over the tree.
pub(crate) fn lay_flag(tree: &mut Table, section: &str, key: &str, flag: &'static str, text: &str) {
    let origin = Origin::Flag(flag);
    let entry = tree.entry(section.to_owned());
    let node = entry.or_insert_with(|| Node { value: Value::Table(Table::new()), origin: origin.clone() });
    // A section that is no table stays as it is, and is reported where it was written.
    if let Value::Table(table) = &mut node.value {
        table.insert(key.to_owned(), Node { value: Value::Text(text.to_owned()), origin });
    }
}

fn put(table: &mut Table, levels: &[String], parent: Option<&str>, text: &str, origin: &Origin) -> Result<(), String> {
    let Some((level, deeper)) = levels.split_first() else { return Ok(()) };
    let key = existing_key(table, level)?.unwrap_or_else(|| new_key(parent, level));
    if deeper.is_empty() {
        table.insert(key, Node { value: Value::Text(text.to_owned()), origin: origin.clone() });
        return Ok(());
    }
    let entry = table.entry(key.clone());
    let node = entry.or_insert_with(|| Node { value: Value::Table(Table::new()), origin: origin.clone() });
    match &mut node.value {
        Value::Table(table) => put(table, deeper, Some(&key), text, origin),
        _ => Err(format!("`{key}` is no table at {}, so nothing below it can be set", node.origin)),
    }
}

/// The key that is there already and differs only in what a variable's name can't say: case, `-` and `.`.
fn existing_key(table: &Table, level: &str) -> Result<Option<String>, String> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    let mut found = table.keys().filter(|key| plain(key) == plain(level));
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(Some(key.clone())),
        (Some(one), Some(other)) => Err(format!("the name fits both `{one}` and `{other}`")),
        (None, _) => Ok(None),
    }
}

/// What a variable calls into being: a consumer has dashes in its name, an event type has dots.
fn new_key(parent: Option<&str>, level: &str) -> String {
    match parent {
        Some("consumers") => level.replace('_', "-"),
        Some("events") => level.replace('_', "."),
        _ => level.to_owned(),
    }
}
