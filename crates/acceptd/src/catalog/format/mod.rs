//! The catalog in the formats of others: for people, for pages, for tools that draw, and for tools that keep catalogs.
//!
//! Every format is a pure function of the catalog, sorted and byte-stable: equal catalogs give equal text, so that the
//! result can be kept in a repository and compared. Names and descriptions are escaped as each format asks.

use std::fmt;
use std::str::FromStr;

use super::Catalog;
use crate::{Error, Result};

mod asyncapi;
mod backstage;
mod dot;
mod draft07;
mod escape;
mod eventcatalog;
mod graph;
mod markdown;
mod mermaid;
mod slug;
mod svg;
mod text;
mod words;

pub use asyncapi::asyncapi;
pub use backstage::backstage;
pub use dot::dot;
pub use eventcatalog::eventcatalog;
pub use markdown::markdown;
pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

/// What a catalog can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A tree for people.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz graph.
    Dot,
    /// A drawing.
    Svg,
    /// The whole catalog as one document.
    Json,
    /// Markdown pages with links between them.
    Markdown,
    /// An AsyncAPI 3.0 document.
    AsyncApi,
    /// The files of an EventCatalog.
    EventCatalog,
    /// A Backstage catalog-info.yaml with its AsyncAPI document.
    Backstage,
}

/// A file of an exported catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Where it belongs in the folder of the export: names of letters, digits and `._-`, with `/` between them.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl Exported {
    fn new(path: impl Into<String>, text: String) -> Self {
        Self { path: path.into(), text }
    }
}

impl Format {
    /// Every format, in the order in which help lists them.
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::Mermaid,
        Self::Dot,
        Self::Svg,
        Self::Json,
        Self::Markdown,
        Self::AsyncApi,
        Self::EventCatalog,
        Self::Backstage,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Mermaid => "mermaid",
            Self::Dot => "dot",
            Self::Svg => "svg",
            Self::Json => "json",
            Self::Markdown => "markdown",
            Self::AsyncApi => "asyncapi",
            Self::EventCatalog => "eventcatalog",
            Self::Backstage => "backstage",
        }
    }

    /// Whether it is a folder of files, not one text.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::Markdown | Self::EventCatalog | Self::Backstage)
    }

    /// The catalog in this format: one file, or those of a folder, by path.
    pub fn export(self, catalog: &Catalog) -> Vec<Exported> {
        let one = |path: &str, text: String| vec![Exported::new(path, text)];
        match self {
            Self::Text => one("catalog.txt", text(catalog)),
            Self::Mermaid => one("catalog.mmd", mermaid(catalog)),
            Self::Dot => one("catalog.dot", dot(catalog)),
            Self::Svg => one("catalog.svg", svg(catalog)),
            Self::Json => one("catalog.json", catalog.to_json()),
            Self::AsyncApi => one("asyncapi.json", asyncapi(catalog)),
            Self::Markdown => markdown(catalog),
            Self::EventCatalog => eventcatalog(catalog),
            Self::Backstage => backstage(catalog),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("{text:?} is no format of a catalog; these are: {names}"))
        })
    }
}

#[cfg(test)]
mod tests;
