//! The catalog as a drawing, made without programs from outside.

use std::fmt::Write as _;

use super::escape::xml;
use super::graph::{Arrow, Graph, Node, NodeKind};
use crate::catalog::{Catalog, EdgeState};
use layout::{Layout, Slot, layout};

mod layout;

/// The width of a character, and the height of a line, in pixels of the drawing.
const CHARACTER: f64 = 7.2;
const LINE: f64 = 17.0;
/// Around a node's text, between nodes, between layers, and around everything.
const PADDING: f64 = 12.0;
const GAP: f64 = 22.0;
const LAYER_GAP: f64 = 56.0;
const MARGIN: f64 = 20.0;
/// How many characters of a line are drawn; the whole of it is shown when it is pointed at.
const LINE_MAX: usize = 48;

const STYLE: &str = "
svg { --text: #111827; --quiet: #4b5563; --paper: #ffffff; --line: #6b7280; --warn: #b45309;
  --event: #dbeafe; --consumer: #dcfce7; --target: #f3f4f6; background: var(--paper); }
@media (prefers-color-scheme: dark) { svg { --text: #f3f4f6; --quiet: #cbd5e1; --paper: #0f172a; --line: #94a3b8;
  --warn: #fbbf24; --event: #1e3a8a; --consumer: #14532d; --target: #374151; } }
text { font: 12px ui-monospace, monospace; fill: var(--text); user-select: text; }
.small { font-size: 10px; fill: var(--quiet); }
.label { font-size: 10px; text-anchor: middle; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.node { stroke: var(--line); fill: var(--target); }
.event { fill: var(--event); } .consumer { fill: var(--consumer); } .source { fill: none; stroke-dasharray: 2 3; }
.arrow { fill: none; stroke: var(--line); stroke-width: 1.4; }
.never { stroke-dasharray: 6 4; } .undeclared { stroke: var(--warn); stroke-width: 3.5; }
.undeclared-label { fill: var(--warn); font-weight: bold; }
.head { fill: var(--line); } .undeclared-head { fill: var(--warn); }
";

/// A node's box.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Place {
    fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// Where everything was put.
struct Drawing<'a> {
    graph: &'a Graph,
    layout: Layout,
    nodes: Vec<Place>,
    /// For each arrow the points of its bends, from left to right: the left and the right edge of a layer.
    bends: Vec<Vec<(f64, f64, f64)>>,
    width: f64,
    height: f64,
}

/// The catalog as an SVG drawing: text that can be selected, for light and dark. What an arrow's stroke says, its label
/// says in words.
pub fn svg(catalog: &Catalog) -> String {
    let graph = Graph::of(catalog);
    let drawing = Drawing::of(&graph);
    let (width, height) = (drawing.width, drawing.height);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-labelledby=\"title desc\">\n"
    );
    let _ =
        writeln!(out, "<title id=\"title\">Catalog of events</title>\n<desc id=\"desc\">{}</desc>", describe(catalog));
    let _ = writeln!(out, "<style>{STYLE}</style>\n<defs>{}{}</defs>", head("head"), head("undeclared-head"));
    for (at, arrow) in graph.arrows.iter().enumerate() {
        out.push_str(&drawing.arrow(at, arrow));
    }
    for (node, place) in graph.nodes.iter().zip(&drawing.nodes) {
        out.push_str(&draw(node, place));
    }
    for (at, arrow) in graph.arrows.iter().enumerate() {
        out.push_str(&drawing.label(at, arrow));
    }
    out.push_str("</svg>\n");
    out
}

fn describe(catalog: &Catalog) -> String {
    let count = |state: EdgeState| catalog.edges.iter().filter(|edge| edge.state == state).count();
    let counts = [(EdgeState::NeverSeen, "never seen"), (EdgeState::Undeclared, "undeclared")];
    let counts = counts.map(|(state, word)| (count(state), word)).into_iter().filter(|(count, _)| *count > 0);
    let counts: String = counts.map(|(count, word)| format!(", {count} of them {word}")).collect();
    let (events, consumers, edges) = (catalog.events.len(), catalog.consumers.len(), catalog.edges.len());
    format!("{events} event types, {consumers} consumers and {edges} edges between them{counts}.")
}

fn head(name: &str) -> String {
    format!(
        "<marker id=\"{name}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"{name}\" d=\"M0 0 8 4 0 8z\"/></marker>"
    )
}

fn shown(line: &str) -> String {
    if line.chars().count() <= LINE_MAX {
        return line.to_owned();
    }
    line.chars().take(LINE_MAX - 1).chain(['…']).collect()
}

fn width_of(text: &str) -> f64 {
    // Characters beyond Latin may be twice as wide.
    text.chars().map(|c| if u32::from(c) < 0x1100 { CHARACTER } else { 2.0 * CHARACTER }).sum()
}

fn size(node: &Node) -> (f64, f64) {
    let widest = node.lines.iter().map(|line| width_of(&shown(line))).fold(0.0, f64::max);
    (widest + 2.0 * PADDING, node.lines.len() as f64 * LINE + PADDING)
}

fn draw(node: &Node, place: &Place) -> String {
    let (class, radius) = match node.kind {
        NodeKind::Source => ("node source", place.height / 2.0),
        NodeKind::Event => ("node event", place.height / 2.0),
        NodeKind::Consumer => ("node consumer", 3.0),
        NodeKind::Target => ("node", 0.0),
    };
    let Place { x, y, width, height } = place;
    let title = node.lines.iter().map(|line| xml(line)).collect::<Vec<_>>().join("\n");
    let mut out = format!(
        "<g><title>{title}</title><rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" rx=\"{radius:.1}\"/>"
    );
    for (at, line) in node.lines.iter().enumerate() {
        let class = if at == 0 { "" } else { " class=\"small\"" };
        let (x, y) = (x + PADDING, y + PADDING / 2.0 + 12.5 + at as f64 * LINE);
        let _ = write!(out, "<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", xml(&shown(line)));
    }
    out.push_str("</g>\n");
    out
}

impl<'a> Drawing<'a> {
    fn of(graph: &'a Graph) -> Self {
        let layout = layout(graph);
        let (nodes, bends) = (vec![Place::default(); graph.nodes.len()], vec![Vec::new(); graph.arrows.len()]);
        let mut drawing = Self { graph, layout, nodes, bends, width: MARGIN, height: 0.0 };
        drawing.place();
        drawing
    }

    /// Puts the layers side by side, each of them in the middle of the height.
    fn place(&mut self) {
        let sizes: Vec<(f64, f64)> = self.graph.nodes.iter().map(size).collect();
        let height_of = |slot: &Slot| if let Slot::Node(node) = slot { sizes[*node].1 } else { LINE };
        let tall = |layer: &Vec<Slot>| layer.iter().map(|slot| height_of(slot) + GAP).sum::<f64>();
        let tallest = self.layout.layers.iter().map(tall).fold(0.0, f64::max);
        let rooms = self.label_rooms();
        for (at, layer) in self.layout.layers.clone().iter().enumerate() {
            let wide = |slot: &Slot| if let Slot::Node(node) = slot { sizes[*node].0 } else { 0.0 };
            let width = layer.iter().map(wide).fold(0.0, f64::max);
            let mut y = MARGIN + (tallest - tall(layer)) / 2.0;
            for slot in layer {
                match slot {
                    Slot::Node(node) => {
                        let (width, height) = sizes[*node];
                        self.nodes[*node] = Place { x: self.width, y, width, height };
                    }
                    Slot::Bend(arrow) => {
                        self.bends[*arrow].push((self.width, self.width + width, y + LINE / 2.0));
                    }
                }
                y += height_of(slot) + GAP;
            }
            self.width += width + if at + 1 < self.layout.layers.len() { rooms[at] } else { MARGIN };
        }
        // Arrows that go back run below everything.
        let back = self.layout.is_back.iter().filter(|is_back| **is_back).count();
        self.height = tallest + 2.0 * MARGIN + back as f64 * GAP;
    }

    /// How much room the labels of the arrows that leave each layer need.
    fn label_rooms(&self) -> Vec<f64> {
        let mut rooms = vec![LAYER_GAP; self.layout.layers.len()];
        for arrow in &self.graph.arrows {
            let label = arrow.label.as_deref().map_or(0.0, |label| width_of(label) * 0.85);
            let room = &mut rooms[self.layout.layer_of[arrow.from]];
            *room = room.max(LAYER_GAP + label);
        }
        rooms
    }

    /// The points of an arrow: pairs between which it is straight or curved.
    fn arrow(&self, at: usize, arrow: &Arrow) -> String {
        let (from, to) = (&self.nodes[arrow.from], &self.nodes[arrow.to]);
        let (mut x, mut y) = (from.x + from.width, from.middle());
        let mut path = format!("M{x:.1} {y:.1}");
        if self.layout.is_back[at] {
            let low = self.low_line(at);
            let _ = write!(path, "C{0:.1} {y:.1} {0:.1} {low:.1} {x:.1} {low:.1}", x + LAYER_GAP / 2.0);
            let (end, middle) = (to.x - 2.0, to.middle());
            let _ =
                write!(path, "L{end:.1} {low:.1}C{0:.1} {low:.1} {0:.1} {middle:.1} {end:.1} {middle:.1}", end - 18.0);
        } else {
            for (left, right, height) in self.bends[at].iter().copied().chain([(to.x - 2.0, 0.0, to.middle())]) {
                let bow = (left - x) / 2.0;
                let _ = write!(path, "C{:.1} {y:.1} {:.1} {height:.1} {left:.1} {height:.1}", x + bow, left - bow);
                (x, y) = (right, height);
                if right > left {
                    let _ = write!(path, "L{x:.1} {y:.1}");
                }
            }
        }
        let (class, head) = match arrow.state {
            EdgeState::Declared | EdgeState::Seen => ("arrow", "head"),
            EdgeState::NeverSeen => ("arrow never", "head"),
            EdgeState::Undeclared => ("arrow undeclared", "undeclared-head"),
        };
        format!("<path class=\"{class}\" d=\"{path}\" marker-end=\"url(#{head})\"/>\n")
    }

    /// The line below everything on which an arrow goes back.
    fn low_line(&self, at: usize) -> f64 {
        let before = self.layout.is_back[..at].iter().filter(|is_back| **is_back).count();
        let back = self.layout.is_back.iter().filter(|is_back| **is_back).count();
        self.height - MARGIN - (back - before - 1) as f64 * GAP
    }

    /// An arrow's label, where it leaves for the next layer.
    fn label(&self, at: usize, arrow: &Arrow) -> String {
        let Some(label) = &arrow.label else { return String::new() };
        let (from, to) = (&self.nodes[arrow.from], &self.nodes[arrow.to]);
        let (x, y) = if self.layout.is_back[at] {
            ((from.x + from.width + to.x) / 2.0, self.low_line(at))
        } else {
            let (left, _, height) = self.bends[at].first().copied().unwrap_or((to.x, 0.0, to.middle()));
            // The layer may be wider than this node: the label stands near the end of the first bow.
            let start = from.x + from.width;
            let near = 0.7;
            (start + (left - start) * near, from.middle() + (height - from.middle()) * ease(near))
        };
        let class = if arrow.state == EdgeState::Undeclared { "label undeclared-label" } else { "label" };
        format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>\n", y - 4.0, xml(label))
    }
}

/// How high a bow is at a part of its way.
fn ease(part: f64) -> f64 {
    part * part * (3.0 - 2.0 * part)
}
