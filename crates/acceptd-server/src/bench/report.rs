//! How figures are printed: as rows of Markdown, so that they can stand in the docs as they are.

use std::sync::atomic::{AtomicBool, Ordering};

static HEADED: AtomicBool = AtomicBool::new(false);

/// Says what machine this is.
pub(crate) fn machine() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name));
    println!("{} cores,{}; acceptd {}", cores, model.unwrap_or(" unknown"), env!("CARGO_PKG_VERSION"));
}

/// Begins a table.
pub(crate) fn title(title: &str) {
    println!("\n{title}\n");
    HEADED.store(false, Ordering::Relaxed);
}

/// Prints a row; the first one after a title is the head.
pub(crate) fn row(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
    if !HEADED.swap(true, Ordering::Relaxed) {
        println!("|{}", "---|".repeat(cells.len()));
    }
}

/// A rate with its thousands apart.
pub(crate) fn rate(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([rate(1.0), rate(1_234.4), rate(1_234_567.0)], ["1", "1,234", "1,234,567"]);
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
