//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): asking twice accepts once.
//!
//! The key is a quoted string; a bare word is taken, too. It counts for its caller, and for one request only: the
//! fingerprint is made of method, target, media type, body, and a CloudEvent's attributes in headers.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use crate::problem::{INVALID_HEADER, Problem};

/// The longest key.
const KEY_MAX: usize = 255;

/// Reads the header's value.
pub(crate) fn parse_key(value: &str) -> Result<String, Problem> {
    let wrong = || INVALID_HEADER.because("Idempotency-Key must be a quoted string of 1 to 255 ASCII characters");
    let value = value.trim();
    let key = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted).ok_or_else(wrong)?,
        None if value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)) => value.to_owned(),
        None => return Err(wrong()),
    };
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(wrong());
    }
    Ok(key)
}

/// A String of Structured Fields (RFC 9651) after its first quote; parameters may follow.
fn unquote(text: &str) -> Option<String> {
    let mut key = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    loop {
        match bytes.next()? {
            b'"' => break,
            b'\\' => match bytes.next()? {
                byte @ (b'"' | b'\\') => key.push(char::from(byte)),
                _ => return None,
            },
            byte @ 0x20..=0x7e => key.push(char::from(byte)),
            _ => return None,
        }
    }
    matches!(bytes.next(), None | Some(b';')).then_some(key)
}

/// A digest of all that makes two requests the same.
pub(crate) fn fingerprint(parts: &Parts, body: &Bytes) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    part(parts.method.as_str().as_bytes());
    part(parts.uri.path_and_query().map_or("", |target| target.as_str()).as_bytes());
    part(parts.headers.get(CONTENT_TYPE).map_or(b"", |value| value.as_bytes()));
    part(body);
    let is_attribute = |name: &str| name.starts_with("ce-");
    let mut attributes: Vec<_> = parts.headers.iter().filter(|(name, _)| is_attribute(name.as_str())).collect();
    attributes.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in attributes {
        part(name.as_str().as_bytes());
        part(value.as_bytes());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let long = "k".repeat(255);
        for (value, key) in [
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            (" \"a \\\"b\\\\\";x=1", "a \"b\\"),
            ("8e03978e-40d5", "8e03978e-40d5"),
            (long.as_str(), long.as_str()),
        ] {
            assert_eq!(parse_key(value).unwrap(), key);
        }
        let too_long = "k".repeat(256);
        for wrong in ["", "\"\"", "\"open", "\"a\"b", "\"a\\x\"", "a b", "a,b", "\"ü\"", "ü", too_long.as_str()] {
            assert!(parse_key(wrong).is_err(), "{wrong:?}");
        }
    }
}
