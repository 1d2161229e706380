//! The catalog as a Mermaid flowchart.

use std::fmt::Write as _;

use super::graph::{Graph, Node, NodeKind};
use crate::catalog::{Catalog, EdgeState};
use crate::safe::mermaid as mermaid_label;

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
        let label = arrow.label.as_ref().map(|label| format!("|\"{}\"|", mermaid_label(label))).unwrap_or_default();
        let _ = writeln!(out, "    n{} {line}{label} n{}", arrow.from, arrow.to);
    }
    out.push_str(CLASSES);
    if !undeclared.is_empty() {
        let _ = writeln!(out, "    linkStyle {} stroke:#b45309,stroke-width:4px", undeclared.join(","));
    }
    out
}

fn shape(node: &Node) -> String {
    let lines: Vec<_> = node.lines.iter().map(|line| mermaid_label(line)).collect();
    let text = lines.join("<br/>");
    match node.kind {
        NodeKind::Source => format!("((\"{text}\")):::source"),
        NodeKind::Event => format!("([\"{text}\"]):::event"),
        NodeKind::Consumer => format!("[\"{text}\"]:::consumer"),
        NodeKind::Target => format!("[(\"{text}\")]:::target"),
    }
}
