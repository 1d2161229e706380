//! Reading one section of the configuration: every key that is asked for is known, every other one is a mistake.
//!
//! Whatever is asked for is also noted with its value and origin, so that `config print` shows all options there are.

use std::cell::RefCell;

use super::setting::Setting;
use super::tree::{Node, Origin, Table, Value};
use super::{Problem, Reading};

/// What reading found out, over all sections.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) problems: RefCell<Vec<Problem>>,
    pub(crate) readings: RefCell<Vec<Reading>>,
}

impl Findings {
    /// Notes a mistake.
    pub(crate) fn problem(&self, origin: Option<&Origin>, message: String) {
        self.problems.borrow_mut().push(Problem { origin: origin.cloned(), message });
    }
}

/// A section that is being read.
pub(crate) struct Section<'a> {
    path: Vec<String>,
    table: Option<&'a Table>,
    origin: Option<&'a Origin>,
    asked: Vec<&'static str>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(crate) fn root(table: &'a Table, findings: &'a Findings) -> Self {
        Self { path: Vec::new(), table: Some(table), origin: None, asked: Vec::new(), findings }
    }

    /// A section below this one; empty when it is not written anywhere.
    pub(crate) fn section(&mut self, key: &'static str) -> Section<'a> {
        let node = self.ask(key);
        self.below(key, node)
    }

    /// The sections below one whose names the operator chooses.
    pub(crate) fn named(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let outer = self.section(key);
        let Some(table) = outer.table else { return Vec::new() };
        table.iter().map(|(name, node)| (name.clone(), outer.below(name, Some(node)))).collect()
    }

    /// An option with a default.
    pub(crate) fn get<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        let (value, origin) = self.read(key);
        let value = value.unwrap_or(default);
        self.note(key, Some(value.show()), origin);
        value
    }

    /// An option that need not be there.
    pub(crate) fn optional<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        let (value, origin) = self.read::<T>(key);
        self.note(key, value.as_ref().map(Setting::show), origin);
        value
    }

    /// Whether a key is written.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Says what is wrong with a key, or with the section when the key is not written.
    pub(crate) fn wrong(&self, key: &str, message: impl std::fmt::Display) {
        let node = self.table.and_then(|table| table.get(key));
        let place = if node.is_some() { self.dotted(key) } else { self.path.join(".") };
        let origin = node.map(|node| &node.origin).or(self.origin);
        self.findings.problem(origin, format!("{place}: {message}"));
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        for (key, node) in self.table.into_iter().flatten() {
            if self.asked.contains(&key.as_str()) {
                continue;
            }
            let place = if self.path.is_empty() { String::new() } else { format!(" in {}", self.path.join(".")) };
            let hint = acceptd::engine::nearest(key, self.asked.iter().copied());
            let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            self.findings.problem(Some(&node.origin), format!("unknown key `{key}`{place}{hint}"));
        }
    }

    fn below(&self, key: &str, node: Option<&'a Node>) -> Section<'a> {
        let table = match node.map(|node| &node.value) {
            Some(Value::Table(table)) => Some(table),
            Some(_) => {
                self.wrong(key, "this is a section, not a value");
                None
            }
            None => None,
        };
        let path = self.path.iter().cloned().chain([key.to_owned()]).collect();
        let origin = node.map(|node| &node.origin);
        Section { path, table, origin, asked: Vec::new(), findings: self.findings }
    }

    fn ask(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.table?.get(key)
    }

    fn read<T: Setting>(&mut self, key: &'static str) -> (Option<T>, Option<Origin>) {
        let Some(node) = self.ask(key) else { return (None, None) };
        match T::read(node) {
            Ok(value) => (Some(value), Some(node.origin.clone())),
            Err(message) => {
                self.wrong(key, message);
                (None, None)
            }
        }
    }

    fn note(&self, key: &'static str, value: Option<String>, origin: Option<Origin>) {
        let reading = Reading { section: self.path.clone(), key, value, origin };
        self.findings.readings.borrow_mut().push(reading);
    }

    fn dotted(&self, key: &str) -> String {
        self.path.iter().map(String::as_str).chain([key]).collect::<Vec<_>>().join(".")
    }
}
