//! Text from outside, made safe for the places where it is shown.

use std::fmt::Write as _;

/// Text on one line without control and direction characters: what others wrote can't move a terminal's cursor, nor
/// turn the line around.
pub fn plain(text: &str) -> String {
    let is_unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if is_unseen(c) { ' ' } else { c }).collect()
}

/// Text for within a quoted label of Mermaid: what could mean something to Mermaid, to Markdown in its labels or to
/// HTML is written by its number.
pub(crate) fn mermaid(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in plain(text).chars() {
        // A number or a dash begins a list only where the label begins; `www.` would become a link.
        let is_inside = label.chars().any(|c| !c.is_ascii_digit()) && !label.to_ascii_lowercase().ends_with("www");
        if c.is_alphanumeric() || " /,%()·".contains(c) || ".-".contains(c) && is_inside {
            label.push(c);
        } else {
            // Writing to a string does not fail.
            let _ = write!(label, "#{};", u32::from(c));
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        assert_eq!(plain("a\r\nb\x1b[2Jc\u{202e}d\u{2028}é✓"), "a  b [2Jc d é✓");
    }

    #[test]
    fn labels_hold_anything_and_stay_readable() {
        assert_eq!(mermaid("ec2.start-now, 52%"), "ec2.start-now, 52%");
        assert_eq!(mermaid("a\"b\"]|}>"), "a#34;b#34;#93;#124;#125;#62;");
        assert_eq!(mermaid("<b onclick=x>&amp;</b>"), "#60;b onclick#61;x#62;#38;amp#59;#60;/b#62;");
        assert_eq!(mermaid("one\ntwo; end"), "one two#59; end");
        assert_eq!(mermaid("`_x_` **y** #quot; é漢 ✓"), "#96;#95;x#95;#96; #42;#42;y#42;#42; #35;quot#59; é漢 #10003;");
        assert_eq!(mermaid("style:#1; www.example.com"), "style#58;#35;1#59; www#46;example.com");
        assert_eq!(mermaid("1. a"), "1#46; a");
        assert_eq!(mermaid("-www.example.com"), "#45;www#46;example.com");
    }
}
