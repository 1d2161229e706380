//! A story as a Mermaid flowchart, for a ticket or a page that draws it.

use super::Story;
use super::tree::{DeliveryNode, EventNode, tree};
use super::words::{self, span};
use crate::delivery::State;
use crate::safe::{mermaid as mermaid_label, plain};

/// More siblings that are alike are one box.
const FOLD: usize = 8;

/// Boxes of a picture; Mermaid itself draws at most 500 arrows unless it is told otherwise.
const BOXES_MAX: usize = 300;

/// Characters of an error that fit into a box.
const ERROR_MAX: usize = 80;

/// Colors by state: fill, line, text.
const CLASSES: &str = "  classDef done fill:#e6f5f0,stroke:#2ba086,color:#1b1f24
  classDef running fill:#e8eef8,stroke:#335fae,color:#1b1f24
  classDef waiting fill:#ffffff,stroke:#868e99,color:#1b1f24,stroke-dasharray:4 3
  classDef dead fill:#f8e8ea,stroke:#7d0718,color:#1b1f24
  classDef canceled fill:#f6f7f9,stroke:#868e99,color:#57606a
";

/// What a box looks like: an operation, an event, or a delivery.
type Shape = (&'static str, &'static str);
const OPERATION: Shape = ("[[", "]]");
const EVENT: Shape = ("([", "])");
const DELIVERY: Shape = ("[", "]");

/// A story as a flowchart in Mermaid's language: round boxes are events, square ones are deliveries by consumer, with
/// states and durations. More than 8 siblings of one type are one box. Ends with a line feed.
pub fn mermaid(story: &Story) -> String {
    let mut drawing = Drawing { story, boxes: 0, left_out: 0, text: "flowchart LR\n".to_owned() };
    let headline = words::headline(story);
    let (stands, times) = headline.split_once(" = ").unwrap_or((&headline, ""));
    let lines = [stands.to_owned(), times.to_owned()];
    drawing.draw("", OPERATION, "", &lines);
    for node in tree(story, FOLD) {
        drawing.event(&node, "n0");
    }
    if drawing.left_out > 0 {
        let more = format!("and {} more", drawing.left_out);
        drawing.text.push_str(&format!("  n0 --> more[\"{more}\"]\n"));
    }
    drawing.text + CLASSES
}

struct Drawing<'a> {
    story: &'a Story,
    boxes: usize,
    /// Boxes that were not drawn because there are too many.
    left_out: usize,
    text: String,
}

impl Drawing<'_> {
    /// Draws a box that hangs from another, and answers its name.
    fn draw(&mut self, above: &str, (open, close): Shape, class: &str, lines: &[String]) -> Option<String> {
        if self.boxes >= BOXES_MAX {
            self.left_out += 1;
            return None;
        }
        let name = format!("n{}", self.boxes);
        self.boxes += 1;
        let lines = lines.iter().filter(|line| !line.is_empty());
        let label = lines.map(|line| mermaid_label(line)).collect::<Vec<_>>().join("<br/>");
        let arrow = if above.is_empty() { String::new() } else { format!("{above} --> ") };
        let class = if class.is_empty() { String::new() } else { format!(":::{class}") };
        self.text.push_str(&format!("  {arrow}{name}{open}\"{label}\"{close}{class}\n"));
        Some(name)
    }

    fn event(&mut self, node: &EventNode<'_>, above: &str) {
        let (name, mut says) = words::event(node, true);
        if node.deliveries.is_empty() {
            says = format!("{says} nobody takes it").trim_start().to_owned();
        }
        let deeper = if node.deeper > 0 { format!("and {} events below", node.deeper) } else { String::new() };
        let Some(drawn) = self.draw(above, EVENT, "", &[name, says, deeper]) else { return };
        for delivery in &node.deliveries {
            self.delivery(delivery, &drawn);
        }
        for next in &node.next {
            self.event(next, &drawn);
        }
    }

    fn delivery(&mut self, node: &DeliveryNode<'_>, above: &str) {
        let now = self.story.read_time;
        let class = words::worst(&node.deliveries).map_or("", State::as_str);
        let (says, error) = match node.deliveries.as_slice() {
            [delivery] => {
                let error = delivery.error().filter(|_| delivery.state != State::Done).map(words::error);
                (words::sentence(delivery, now, None, false), error.unwrap_or_default())
            }
            several => {
                let mut says = words::counts(several);
                says.extend(words::Waited::of(several).phrases());
                says.push(format!("ran {} in all", span(words::ran(several, now))));
                let errors = several.iter().filter(|one| one.state == State::Dead);
                let error = errors.filter_map(|delivery| delivery.error()).map(words::error).next();
                (says.join(", "), error.unwrap_or_default())
            }
        };
        let lines = [plain(node.consumer), says, words::cut(&error, ERROR_MAX)];
        let Some(drawn) = self.draw(above, DELIVERY, class, &lines) else { return };
        for next in &node.next {
            self.event(next, &drawn);
        }
    }
}
