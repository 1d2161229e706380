//! Where nodes and arrows go: layers from left to right, ordered so that few arrows cross.

use std::collections::{BTreeSet, HashMap};

use crate::catalog::format::graph::Graph;

/// Passes over the layers that look for an order with fewer crossings; more change nothing that one sees.
const SWEEPS: usize = 12;

/// A place in a layer: a node, or a bend of an arrow that goes past the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// A node, by its position.
    Node(usize),
    /// A bend of an arrow, by its position.
    Bend(usize),
}

/// Where everything goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    /// The layers from left to right, each from top to bottom.
    pub(super) layers: Vec<Vec<Slot>>,
    /// The layer of each node.
    pub(super) layer_of: Vec<usize>,
    /// Whether an arrow goes back, from right to left.
    pub(super) is_back: Vec<bool>,
}

/// Lays out a graph. The same graph gives the same layout.
pub(super) fn layout(graph: &Graph) -> Layout {
    let is_back = back_arrows(graph);
    let layer_of = layers(graph, &is_back);
    let count = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut layout = Layout { layers: vec![Vec::new(); count], layer_of, is_back };
    for (node, layer) in layout.layer_of.iter().enumerate() {
        layout.layers[*layer].push(Slot::Node(node));
    }
    // Arrows that go back run below everything and pass no layer.
    for (at, arrow) in graph.arrows.iter().enumerate().filter(|(at, _)| !layout.is_back[*at]) {
        for layer in layout.layer_of[arrow.from] + 1..layout.layer_of[arrow.to] {
            layout.layers[layer].push(Slot::Bend(at));
        }
    }
    let mut touching: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (at, arrow) in graph.arrows.iter().enumerate() {
        touching[arrow.from].push(at);
        touching[arrow.to].push(at);
    }
    for sweep in 0..SWEEPS {
        layout.sweep(graph, &touching, sweep % 2 == 0);
    }
    layout
}

impl Layout {
    /// Orders each layer by where its neighbors stand in the one before it.
    fn sweep(&mut self, graph: &Graph, touching: &[Vec<usize>], forward: bool) {
        let count = self.layers.len();
        let order: Vec<usize> =
            if forward { (1..count).collect() } else { (0..count.saturating_sub(1)).rev().collect() };
        for layer in order {
            let fixed = if forward { layer - 1 } else { layer + 1 };
            let places = Places::of(&self.layers[fixed]);
            let slots = std::mem::take(&mut self.layers[layer]);
            let mut weighted: Vec<(f64, usize, Slot)> = Vec::new();
            for (at, slot) in slots.into_iter().enumerate() {
                let neighbors = places.neighbors(graph, touching, slot);
                let sum: usize = neighbors.iter().sum();
                let center = if neighbors.is_empty() { at as f64 } else { sum as f64 / neighbors.len() as f64 };
                weighted.push((center, at, slot));
            }
            weighted.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
            self.layers[layer] = weighted.into_iter().map(|(_, _, slot)| slot).collect();
        }
    }
}

/// The places of one layer's nodes and bends.
#[derive(Debug, Default)]
struct Places {
    nodes: HashMap<usize, usize>,
    bends: HashMap<usize, usize>,
}

impl Places {
    fn of(layer: &[Slot]) -> Self {
        let mut places = Self::default();
        for (at, slot) in layer.iter().enumerate() {
            match slot {
                Slot::Node(node) => places.nodes.insert(*node, at),
                Slot::Bend(arrow) => places.bends.insert(*arrow, at),
            };
        }
        places
    }

    /// Where the neighbors of a slot stand in this layer. `touching` has the arrows of each node.
    fn neighbors(&self, graph: &Graph, touching: &[Vec<usize>], slot: Slot) -> Vec<usize> {
        let ends = |at: &usize| {
            let arrow = &graph.arrows[*at];
            let ends = [self.bends.get(at), self.nodes.get(&arrow.from), self.nodes.get(&arrow.to)];
            ends.into_iter().flatten().copied().collect::<Vec<_>>()
        };
        match slot {
            Slot::Bend(at) => ends(&at),
            Slot::Node(node) => touching[node].iter().flat_map(ends).collect(),
        }
    }
}

/// The arrows that close a loop, found by walking from every node in order, the sources first.
fn back_arrows(graph: &Graph) -> Vec<bool> {
    let mut is_back = vec![false; graph.arrows.len()];
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (at, arrow) in graph.arrows.iter().enumerate() {
        leaving[arrow.from].push(at);
    }
    let (mut ended, mut open) = (BTreeSet::new(), BTreeSet::new());
    for start in 0..graph.nodes.len() {
        let mut way = vec![(start, 0)];
        while let Some((node, next)) = way.pop() {
            if next == 0 && (ended.contains(&node) || !open.insert(node)) {
                continue;
            }
            let Some(at) = leaving[node].get(next).copied() else {
                open.remove(&node);
                ended.insert(node);
                continue;
            };
            way.push((node, next + 1));
            let to = graph.arrows[at].to;
            if open.contains(&to) {
                is_back[at] = true;
            } else if !ended.contains(&to) {
                way.push((to, 0));
            }
        }
    }
    is_back
}

/// The layer of each node: as far right as the longest way to it is long.
fn layers(graph: &Graph, is_back: &[bool]) -> Vec<usize> {
    let count = graph.nodes.len();
    let mut layer = vec![0; count];
    let mut waits_for = vec![0; count];
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (arrow, _) in graph.arrows.iter().zip(is_back).filter(|(_, is_back)| !**is_back) {
        waits_for[arrow.to] += 1;
        leaving[arrow.from].push(arrow.to);
    }
    let mut ready: Vec<usize> = (0..count).filter(|node| waits_for[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for to in &leaving[node] {
            layer[*to] = layer[*to].max(layer[node] + 1);
            waits_for[*to] -= 1;
            if waits_for[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    layer
}
