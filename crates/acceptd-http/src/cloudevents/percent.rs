//! Percent-encoding of header values, as the HTTP binding of CloudEvents asks: space, `"`, `%` and everything outside
//! U+0021–U+007E is written as `%XX`. Reading decodes once, after unquoting.

use std::borrow::Cow;

use acceptd::{Error, Result};

/// Writes text as a header value.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(hex(byte >> 4));
            encoded.push(hex(byte & 15));
        }
    }
    Cow::Owned(encoded)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && byte != b'"' && byte != b'%'
}

fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase()
}

/// Reads a header value: unquotes it when it is quoted, then decodes it once.
pub(super) fn decode(value: &[u8]) -> Result<String> {
    let unquoted = unquote(value)?;
    decode_once(&unquoted)
}

/// Decodes `%XX`; a `%` that starts no such triple stands for itself.
pub(crate) fn decode_once(text: &[u8]) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("it is not UTF-8 after percent-decoding"))
}

fn digit(byte: u8) -> u8 {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default()
}

fn unquote(value: &[u8]) -> Result<Cow<'_, [u8]>> {
    let Some(inner) = value.strip_prefix(b"\"") else { return Ok(Cow::Borrowed(value)) };
    let open = || Error::invalid("its quoted text has no end");
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    loop {
        match rest.next().ok_or_else(open)? {
            b'"' if rest.as_slice().is_empty() => return Ok(Cow::Owned(bytes)),
            b'"' => return Err(Error::invalid("something follows its quoted text")),
            b'\\' => bytes.push(*rest.next().ok_or_else(open)?),
            byte => bytes.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["plain", "Euro € 😀", "a \"b\" 100%", "", "\u{1}\u{7f}", "%41"] {
            let encoded = encode(text);
            assert!(encoded.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{encoded}");
            assert_eq!(decode(encoded.as_bytes()).unwrap(), text);
        }
        assert_eq!(encode("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
    }

    #[test]
    fn quoted_values_are_unquoted_and_decoded_once() {
        assert_eq!(decode(br#""a \"b\" %41%2541""#).unwrap(), "a \"b\" A%41");
        assert_eq!(decode(b"50%").unwrap(), "50%");
        assert!(decode(br#""open"#).is_err() && decode(br#""a"b"#).is_err());
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        assert!(decode(b"%C0%A0").is_err() && decode(b"\xff").is_err());
        assert_eq!(decode("ü".as_bytes()).unwrap(), "ü");
    }
}
