//! `acceptd story`: everything that is known of one operation, as a tree, as JSON, or as a picture to paste.

use acceptd::Story;
use acceptd::story::{TextOptions, lines, mermaid};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Deserialize as _;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::output::{Console, Format};
use crate::cli::paint::Paint;
use crate::exit::{Exit, Failure, Result};

/// Which operation, and how it is told.
#[derive(Debug, Args)]
pub(crate) struct StoryOf {
    /// The operation
    id: String,
    /// Show the ids of events and deliveries, too
    #[arg(long)]
    ids: bool,
    /// How it is written to standard output
    // It takes the place of the global option of this name, which knows other formats.
    #[arg(short, long, value_parser = formats(), default_value = "tree", value_name = "FORMAT")]
    output: Format,
}

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["tree", "json", "jsonl", "mermaid"]).map(|word| match word.as_str() {
        "json" => Format::Json,
        "jsonl" => Format::Jsonl,
        "mermaid" => Format::Mermaid,
        _ => Format::Table,
    })
}

impl StoryOf {
    pub(crate) async fn run(&self, client: &Client, console: &Console) -> Result {
        let document = document(client, &self.id).await?;
        let console = Console { format: self.output, ..*console };
        let told = match self.output {
            Format::Json | Format::Jsonl => String::new(),
            Format::Mermaid => mermaid(&parse(&document)?).trim_end().to_owned(),
            Format::Table => self.tree(&parse(&document)?),
        };
        console.document(&document, || told)?;
        Ok(Exit::Ok)
    }

    fn tree(&self, story: &Story) -> String {
        let (paint, options) = (Paint::of(false), TextOptions { ids: self.ids, ..TextOptions::default() });
        let lines = lines(story, &options);
        lines.iter().map(|line| paint.line(line)).collect::<Vec<_>>().join("\n")
    }
}

/// Reads the story of an operation.
pub(crate) async fn read(client: &Client, id: &str) -> Result<Story> {
    parse(&document(client, id).await?)
}

async fn document(client: &Client, id: &str) -> Result<Value> {
    client.get(&["v1", "operations", id, "chain"]).await
}

fn parse(document: &Value) -> Result<Story> {
    let other = |error| Failure::error(format!("the server tells the story in another way than this version: {error}"));
    Story::deserialize(document).map_err(other)
}
