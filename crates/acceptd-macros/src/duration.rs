//! Durations in attributes, checked where they stand.

use syn::{Error, LitStr};

/// Checks text such as `"250ms"`, `"30s"` or `"1h30m"`. How long that is, is decided where it is read.
pub(crate) fn check(text: &LitStr) -> syn::Result<()> {
    let value = text.value();
    if !value.is_empty() && rest_is_fine(&value) {
        return Ok(());
    }
    Err(Error::new(text.span(), "a duration is written as \"250ms\", \"30s\", \"5m\", \"1h30m\" or \"7d\""))
}

fn rest_is_fine(text: &str) -> bool {
    let tail = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = tail.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &tail[..tail.len() - rest.len()];
    let is_part = tail.len() < text.len() && ["ms", "s", "m", "h", "d"].contains(&unit);
    text.is_empty() || (is_part && rest_is_fine(rest))
}
