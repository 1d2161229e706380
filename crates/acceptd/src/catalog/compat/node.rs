//! A schema at its place in a document.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::same::is_telling;

static ANY: Value = Value::Bool(true);

/// A schema with its document and its JSON Pointer.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    document: &'a Value,
    pub(super) value: &'a Value,
    pub(super) place: String,
}

impl<'a> Node<'a> {
    /// The schema that is the whole document.
    pub(super) fn of(document: &'a Value) -> Self {
        Self { document, value: document, place: String::new() }
    }

    /// The schema of any value, where nothing is said.
    pub(super) fn open(place: &str) -> Self {
        Self { document: &ANY, value: &ANY, place: place.to_owned() }
    }

    /// What it is known by: its place, or that it is any value.
    pub(super) fn key(&self) -> String {
        if std::ptr::eq(self.document, &ANY) { "any".to_owned() } else { self.place.clone() }
    }

    /// The value of a keyword.
    pub(super) fn get(&self, keyword: &str) -> Option<&'a Value> {
        self.value.get(keyword)
    }

    /// The schema that a keyword has; None when it has something else.
    pub(super) fn schema(&self, keyword: &str) -> Option<Self> {
        let value = self.get(keyword).filter(|value| value.is_object() || value.is_boolean())?;
        Some(Self { value, place: join(&self.place, keyword), ..*self })
    }

    /// The schemas that a keyword lists.
    pub(super) fn list(&self, keyword: &str) -> Vec<Self> {
        let place = join(&self.place, keyword);
        let items = self.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate();
        items.map(|(at, value)| Self { value, place: format!("{place}/{at}"), ..*self }).collect()
    }

    /// The schemas that a keyword has by name.
    pub(super) fn map(&self, keyword: &str) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let (document, place) = (self.document, join(&self.place, keyword));
        let items = self.get(keyword).and_then(Value::as_object).into_iter().flatten();
        items.map(move |(name, value)| (name.as_str(), Self { document, value, place: join(&place, name) }))
    }

    /// The schema that a keyword has by this name.
    pub(super) fn named(&self, keyword: &str, name: &str) -> Option<Self> {
        let value = self.get(keyword)?.get(name)?;
        Some(Self { value, place: join(&join(&self.place, keyword), name), ..*self })
    }

    /// What it refers to, when it says nothing else itself.
    pub(super) fn settled(&self) -> Self {
        let mut node = self.clone();
        let mut seen = Vec::new();
        while let Some(Ok(target)) = node.target().filter(|_| node.only_refers() && !seen.contains(&node.place)) {
            seen.push(std::mem::replace(&mut node, target).place);
        }
        node
    }

    fn only_refers(&self) -> bool {
        let mut telling = self.value.as_object().into_iter().flatten().filter(|(key, _)| is_telling(key));
        telling.all(|(key, _)| key == "$ref")
    }

    /// Everything that stands in it, schema or not.
    pub(super) fn parts(&self) -> Vec<Self> {
        let part = |step: &str, value: &'a Value| Self { value, place: join(&self.place, step), ..*self };
        match self.value {
            Value::Object(members) => members.iter().map(|(key, value)| part(key, value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(at, value)| part(&at.to_string(), value)).collect(),
            _ => Vec::new(),
        }
    }

    /// What its `$ref` leads to. `Err` has the reference when it can't be followed: it leaves the document, or names
    /// nothing in it.
    pub(super) fn target(&self) -> Option<Result<Self, &'a str>> {
        let reference = self.get("$ref")?.as_str()?;
        let found = || {
            let place = decode(reference.strip_prefix('#')?)?;
            let value = self.document.pointer(&place)?;
            Some(Self { document: self.document, value, place })
        };
        Some(found().ok_or(reference))
    }
}

/// The same schemas, each once.
pub(super) fn distinct<'a>(nodes: impl IntoIterator<Item = Node<'a>>) -> Vec<Node<'a>> {
    let mut known = BTreeSet::new();
    nodes.into_iter().filter(|node| known.insert(node.key())).collect()
}

/// A JSON Pointer one step deeper.
pub(super) fn join(place: &str, step: &str) -> String {
    let step: Cow<'_, str> = match step.contains(['~', '/']) {
        true => step.replace('~', "~0").replace('/', "~1").into(),
        false => step.into(),
    };
    format!("{place}/{step}")
}

/// A pointer as a reference writes it: percent-encoded.
fn decode(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(rest.next()?)? * 16 + digit(rest.next()?)?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_pointers_into_the_document() {
        let document = json!({"$defs": {"A<B>": {"type": "string"}, "a/b": true}});
        let target = |reference: &str| {
            let value = json!({ "$ref": reference });
            let node = Node { document: &document, value: &value, place: "/x".into() };
            node.target().unwrap().map(|node| node.place).map_err(str::to_owned)
        };
        assert_eq!(target("#/$defs/A%3CB%3E").unwrap(), "/$defs/A<B>");
        assert_eq!(target("#/$defs/a~1b").unwrap(), "/$defs/a~1b");
        assert_eq!(target("#").unwrap(), "");
        for lost in ["#/$defs/C", "other.json", "#anchor", "#/%", "#/%zz"] {
            assert_eq!(target(lost).unwrap_err(), lost);
        }
    }
}
