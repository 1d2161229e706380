//! Text as the formats want it escaped. Everything that comes from outside goes through one of these.

use crate::safe::plain;

/// Text within XML, in elements and in attributes. Characters that XML 1.0 can't hold become spaces.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text as a double-quoted scalar of YAML, which is also a string of JSON.
pub(super) fn yaml(text: &str) -> String {
    let mut out = String::new();
    for c in serde_json::Value::from(text).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// Text of one line within Markdown and MDX: nothing in it is markup.
pub(super) fn markdown(line: &str) -> String {
    let mut out = String::new();
    for c in plain(line.trim()).chars() {
        match c {
            // An entity is the same in Markdown, MDX and HTML; a backslash before `<` is not.
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '{' => out.push_str("&#123;"),
            '}' => out.push_str("&#125;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    first_character(out)
}

/// What means something only at the start of a line: lists, rules, headings by underlining, and the modules of MDX.
fn first_character(line: String) -> String {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_number = digits.len() < line.len() && digits.starts_with(['.', ')']);
    let is_module = line.starts_with("import") || line.starts_with("export");
    match line.chars().next() {
        Some(first) if is_number || is_module || "-+=:".contains(first) => {
            format!("&#{};{}", u32::from(first), &line[first.len_utf8()..])
        }
        _ => line,
    }
}

/// Text of several lines within Markdown and MDX, its paragraphs kept.
pub(super) fn paragraphs(text: &str) -> String {
    let lines = text.trim().lines().map(markdown);
    lines.collect::<Vec<_>>().join("\n")
}

/// A name as code within Markdown and MDX, also in the cell of a table.
pub(super) fn code(name: &str) -> String {
    let name = plain(name);
    let is_plain = !name.contains(['`', '|', '\\', '{', '}', '<', '&']) && !name.trim().is_empty();
    // What a code span can't hold in a table, or MDX would read, is an element with entities instead.
    if is_plain { format!("`{name}`") } else { format!("<code>{}</code>", markdown(&name)) }
}

/// A document as a fenced block.
pub(super) fn fenced_json(document: &serde_json::Value) -> String {
    // A line of JSON never begins with a fence: strings have quotes before them and no line breaks in them.
    format!("```json\n{}\n```\n", serde_json::to_string_pretty(document).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(xml("a<b>&\"c\"\u{1b}'"), "a&lt;b&gt;&amp;&quot;c&quot; &#39;");
        assert_eq!(yaml("a \"b\": #\n\u{85}\u{2028}"), "\"a \\\"b\\\": #\\n\\u0085\\u2028\"");
        assert_eq!(markdown("<script>{x}|`*_[a](b)"), "&lt;script&gt;&#123;x&#125;\\|\\`\\*\\_\\[a\\](b)");
        assert_eq!(markdown("1. first"), "&#49;. first");
        assert_eq!(markdown("- first"), "&#45; first");
        assert_eq!(paragraphs("export const a = 1\n    code\n\n---"), "&#101;xport const a = 1\ncode\n\n&#45;--");
        assert_eq!(code("ec2.start"), "`ec2.start`");
        assert_eq!(code("a`b|c"), "<code>a\\`b\\|c</code>");
    }
}
