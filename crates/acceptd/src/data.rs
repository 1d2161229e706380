//! Payloads: bytes with a media type, kept exactly as they came.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{Error, Result};

/// The media type of JSON.
pub const JSON: &str = "application/json";

/// How deep a JSON payload may nest.
pub const NESTING_MAX: usize = 128;

/// An event's data or a delivery's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The media type, `application/json` where nothing else was said.
    pub content_type: Cow<'static, str>,
    /// The bytes, untouched.
    pub bytes: Bytes,
}

impl Data {
    /// Bytes of some media type.
    pub fn new(content_type: &str, bytes: impl Into<Bytes>) -> Self {
        let content_type = if content_type == JSON { Cow::Borrowed(JSON) } else { Cow::Owned(content_type.to_owned()) };
        Self { content_type, bytes: bytes.into() }
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// When the value's own `Serialize` fails.
    pub fn json(value: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| Error::invalid("the value can't be written as JSON").caused_by(error))?;
        Ok(Self::new(JSON, bytes))
    }

    /// Whether the media type is JSON or ends in `+json`; parameters don't matter.
    pub fn is_json(&self) -> bool {
        is_json(&self.content_type)
    }

    /// The data read as JSON into a type.
    ///
    /// # Errors
    /// `InvalidArgument` with the position of the first mismatch.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| Error::invalid(format!("the data does not fit: {error}")))
    }

    /// The data as a JSON value to embed in a document: itself when it is JSON, a string when it is text.
    pub fn to_raw_json(&self) -> Option<Box<RawValue>> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        if self.is_json() {
            return RawValue::from_string(text.to_owned()).ok();
        }
        serde_json::value::to_raw_value(text).ok()
    }
}

/// Whether a media type says JSON.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(JSON)
        || essence.len() > 5 && essence.is_ascii() && essence[essence.len() - 5..].eq_ignore_ascii_case("+json")
}

/// Checks that bytes are one JSON document in UTF-8 that nests no deeper than [`NESTING_MAX`].
///
/// # Errors
/// `InvalidArgument` with the position.
pub fn check_json(bytes: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::invalid(format!("the body is not UTF-8 from byte {}", error.valid_up_to())))?;
    check_nesting(bytes)?;
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| Error::invalid(format!("the body is not valid JSON: {error}")))?;
    Ok(())
}

fn check_nesting(bytes: &[u8]) -> Result<()> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(Error::invalid(format!("the JSON nests deeper than {NESTING_MAX} levels")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_is_refused_and_brackets_in_strings_are_not_nesting() {
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        assert!(check_json(deep.as_bytes()).unwrap_err().message().contains("128 levels"));
        let text = format!("\"{}\\\"[\"", "[".repeat(1_000));
        check_json(text.as_bytes()).unwrap();
    }

    #[test]
    fn bad_bytes_name_the_place() {
        assert!(check_json(b"{\"a\":\"\xc0\xa0\"}").unwrap_err().message().contains("byte 6"));
        assert!(check_json(b"{\"a\":}").unwrap_err().message().contains("column 6"));
    }

    #[test]
    fn json_media_types() {
        for yes in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert!(is_json(yes), "{yes}");
        }
        for no in ["", "text/plain", "json", "+json"] {
            assert!(!is_json(no), "{no}");
        }
    }
}
