//! The catalog as a Mermaid flowchart.

use std::fmt::Write as _;

use super::graph::{Graph, Node, NodeKind};
use crate::catalog::{Catalog, EdgeState};

const CLASSES: &str = "    classDef source fill:none,stroke-dasharray:2 3
    classDef event fill:#dbeafe,stroke:#2563eb,color:#172554
    classDef consumer fill:#dcfce7,stroke:#16a34a,color:#052e16
    classDef target fill:#f3f4f6,stroke:#6b7280,color:#111827
";

/// The catalog as a Mermaid flowchart, from left to right. Arrows are solid when they were seen, dashed when they never
/// were, and thick and named so when they are undeclared.
pub fn mermaid(catalog: &Catalog) -> String {
    let graph = Graph::of(catalog);
    let mut out = "flowchart LR\n    accTitle: Catalog of events\n".to_owned();
    out.push_str("    accDescr: Event types, the consumers that take them, and what these emit\n");
    for (at, node) in graph.nodes.iter().enumerate() {
        let _ = writeln!(out, "    n{at}{}", shape(node));
    }
    let mut undeclared = Vec::new();
    for (at, arrow) in graph.arrows.iter().enumerate() {
        let line = match arrow.state {
            EdgeState::Declared | EdgeState::Seen => "-->",
            EdgeState::NeverSeen => "-.->",
            EdgeState::Undeclared => {
                undeclared.push(at.to_string());
                "==>"
            }
        };
        let label = arrow.label.as_ref().map(|label| format!("|\"{}\"|", escape(label))).unwrap_or_default();
        let _ = writeln!(out, "    n{} {line}{label} n{}", arrow.from, arrow.to);
    }
    out.push_str(CLASSES);
    if !undeclared.is_empty() {
        let _ = writeln!(out, "    linkStyle {} stroke:#b45309,stroke-width:4px", undeclared.join(","));
    }
    out
}

fn shape(node: &Node) -> String {
    let lines: Vec<_> = node.lines.iter().map(|line| escape(line)).collect();
    let text = lines.join("<br/>");
    match node.kind {
        NodeKind::Source => format!("((\"{text}\")):::source"),
        NodeKind::Event => format!("([\"{text}\"]):::event"),
        NodeKind::Consumer => format!("[\"{text}\"]:::consumer"),
        NodeKind::Target => format!("[(\"{text}\")]:::target"),
    }
}

/// Text of a label: what could mean something to Mermaid, to Markdown in its labels or to HTML is written by number.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        // A number or a dash begins a list only where the label begins; `www.` would become a link.
        let before = &text[..at];
        let is_inside = before.chars().any(|c| !c.is_ascii_digit()) && !before.to_lowercase().ends_with("www");
        if c.is_alphanumeric() || " /,%()·".contains(c) || ".-".contains(c) && is_inside {
            out.push(c);
        } else if c.is_control() {
            out.push(' ');
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_anything_and_stay_readable() {
        assert_eq!(escape("ec2.start-now 4.2 %"), "ec2.start-now 4.2 %");
        assert_eq!(escape("1. a\"<b>`"), "1#46; a#34;#60;b#62;#96;");
        assert_eq!(escape("style:x#;"), "style#58;x#35;#59;");
        assert_eq!(escape("-www.example.com"), "#45;www#46;example.com");
    }
}
