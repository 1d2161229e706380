//! What a limit counts apart: a value in the data, the owner, or the subject.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{Draft, Error, ErrorKind, Result};

/// The longest value of a key, in bytes.
const VALUE_MAX: usize = 256;

/// Where the key of an event stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySpec {
    /// A JSON Pointer (RFC 6901) into the data.
    Pointer(String),
    /// The operation's owner; nobody's events share one key.
    Owner,
    /// The event's subject; events without one share one key.
    Subject,
}

impl KeySpec {
    /// The key of an event. `data` parses the event's data, once for all keys.
    ///
    /// # Errors
    /// `InvalidData` that names the pointer when it finds nothing that can be a key.
    pub fn of(&self, draft: &Draft, owner: Option<&str>, data: &mut Parsed) -> Result<String> {
        let value = match self {
            Self::Owner => owner.unwrap_or_default().to_owned(),
            Self::Subject => draft.subject.clone().unwrap_or_default(),
            Self::Pointer(pointer) => found(data.of(draft).pointer(pointer), pointer)?,
        };
        if value.len() > VALUE_MAX {
            let message = format!("{self} finds more than {VALUE_MAX} bytes, which is too long for a key");
            return Err(Error::new(ErrorKind::InvalidData, message).at(self.pointer()));
        }
        // Control characters part the keys of a lane from each other.
        Ok(if value.contains(char::is_control) { value.replace(char::is_control, "\u{fffd}") } else { value })
    }
}

impl KeySpec {
    /// Where it points in the data; the owner and the subject stand elsewhere.
    fn pointer(&self) -> &str {
        if let Self::Pointer(pointer) = self { pointer } else { "" }
    }
}

fn found(value: Option<&Value>, pointer: &str) -> Result<String> {
    let kind = match value {
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(number @ Value::Number(_)) => return Ok(number.to_string()),
        Some(flag @ Value::Bool(_)) => return Ok(flag.to_string()),
        None => return Err(wrong(pointer, "finds nothing in the data")),
        Some(Value::Null) => "null",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    };
    Err(wrong(pointer, &format!("finds {kind}, and a key is a text, a number or a boolean")))
}

fn wrong(pointer: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{pointer} {what}")).at(pointer)
}

/// An event's data, parsed when a pointer first asks for it.
#[derive(Debug, Default)]
pub struct Parsed(Option<Value>);

impl Parsed {
    fn of(&mut self, draft: &Draft) -> &Value {
        let parse = || draft.data.as_ref().and_then(|data| serde_json::from_slice(&data.bytes).ok());
        self.0.get_or_insert_with(|| parse().unwrap_or(Value::Null))
    }
}

impl FromStr for KeySpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "owner" => Ok(Self::Owner),
            "subject" => Ok(Self::Subject),
            pointer if pointer.starts_with('/') && is_escaped(pointer) => Ok(Self::Pointer(pointer.to_owned())),
            _ => Err(Error::invalid(format!(
                "{text:?} is not a key: write a JSON Pointer such as \"/account\", or \"owner\" or \"subject\""
            ))),
        }
    }
}

/// In a JSON Pointer `~` stands only before 0 or 1.
fn is_escaped(pointer: &str) -> bool {
    pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pointer(pointer) => pointer,
            Self::Owner => "owner",
            Self::Subject => "subject",
        })
    }
}

impl Serialize for KeySpec {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeySpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Data, JSON};

    fn key(spec: &str, data: &str) -> Result<String> {
        let draft = Draft { subject: Some("s".into()), ..Draft::new("a") }.data(Data::new(JSON, data.to_owned()));
        spec.parse::<KeySpec>()?.of(&draft, Some("o"), &mut Parsed::default())
    }

    #[test]
    fn a_key_is_a_text_a_number_or_a_boolean() {
        assert_eq!(key("/a/0", r#"{"a":["x"]}"#).unwrap(), "x");
        assert_eq!(key("/a", r#"{"a":7}"#).unwrap(), "7");
        assert_eq!(key("/a~1b", r#"{"a/b":true}"#).unwrap(), "true");
        assert_eq!(key("owner", "{}").unwrap(), "o");
        assert_eq!(key("subject", "{}").unwrap(), "s");
        assert_eq!(key("/a", "{\"a\":\"x\\u001fy\"}").unwrap(), "x\u{fffd}y");
    }

    #[test]
    fn the_rest_is_refused_and_the_pointer_named() {
        for (data, what) in [("{}", "nothing"), (r#"{"a":null}"#, "null"), (r#"{"a":[]}"#, "array"), ("7", "nothing")] {
            let error = key("/a", data).unwrap_err();
            assert!(error.message().starts_with("/a finds") && error.message().contains(what), "{error}");
        }
        assert!(key("/a", &format!(r#"{{"a":"{}"}}"#, "x".repeat(257))).is_err());
        for bad in ["", "a", "/a~2", "/a~", "Owner"] {
            assert!(bad.parse::<KeySpec>().is_err(), "{bad:?}");
        }
    }
}
