//! The catalog as a Graphviz graph.

use std::fmt::Write as _;

use super::graph::{Arrow, Graph, Node, NodeKind};
use crate::catalog::{Catalog, EdgeState};
use crate::safe::plain;

/// The catalog as a Graphviz graph, from left to right. Arrows are solid when they were seen, dashed when they never
/// were, and bold and named so when they are undeclared.
pub fn dot(catalog: &Catalog) -> String {
    let graph = Graph::of(catalog);
    let mut out = "digraph catalog {\n".to_owned();
    out.push_str("    graph [rankdir=LR, charset=\"UTF-8\", fontname=\"sans-serif\"];\n");
    out.push_str("    node [fontname=\"sans-serif\", fontsize=11];\n");
    out.push_str("    edge [fontname=\"sans-serif\", fontsize=9];\n");
    for (at, node) in graph.nodes.iter().enumerate() {
        let _ = writeln!(out, "    n{at} [label={}, {}];", label(&node.lines.join("\n")), shape(node));
    }
    for arrow in &graph.arrows {
        let text = arrow.label.as_ref().map(|text| format!("label={}, ", label(text))).unwrap_or_default();
        let _ = writeln!(out, "    n{} -> n{} [{text}{}];", arrow.from, arrow.to, line(arrow));
    }
    out.push_str("}\n");
    out
}

fn shape(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::Source => "shape=circle, style=dashed",
        NodeKind::Event => "shape=box, style=\"rounded,filled\", fillcolor=\"#dbeafe\"",
        NodeKind::Consumer => "shape=box, style=filled, fillcolor=\"#dcfce7\"",
        NodeKind::Target => "shape=cylinder, style=filled, fillcolor=\"#f3f4f6\"",
    }
}

fn line(arrow: &Arrow) -> &'static str {
    match arrow.state {
        EdgeState::Declared | EdgeState::Seen => "style=solid",
        EdgeState::NeverSeen => "style=dashed",
        EdgeState::Undeclared => "style=bold, penwidth=3, color=\"#b45309\"",
    }
}

/// A label in quotes. Graphviz reads backslashes and the entities of HTML in it.
fn label(text: &str) -> String {
    let lines = text.split('\n').map(plain);
    let lines = lines.map(|line| line.replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;"));
    format!("\"{}\"", lines.collect::<Vec<_>>().join("\\n"))
}
