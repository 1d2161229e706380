//! The schemas of event types: what is accepted and what is emitted is checked by them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::catalog::schema::Schema;
use crate::engine::Engine;
use crate::{Draft, Error, ErrorKind, EventDeclaration, Place, Result};

/// The schemas of all event types that have one, compiled.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    types: BTreeMap<String, Versions>,
    /// Where schemas are served, without a slash at its end; None names no address in events.
    public_url: Option<String>,
}

/// The schemas of one event type.
#[derive(Debug)]
struct Versions {
    current: u32,
    all: BTreeMap<u32, Schema>,
}

impl Schemas {
    /// Compiles what is declared.
    ///
    /// # Errors
    /// `InvalidArgument` that names the event type and the version.
    pub(crate) fn compile(declared: &BTreeMap<String, EventDeclaration>, public_url: Option<&str>) -> Result<Self> {
        let mut types = BTreeMap::new();
        for (kind, event) in declared {
            let wrong = |what: String| Error::invalid(format!("event type {kind}: {what}"));
            let Some(current) = &event.schema else {
                match event.older.is_empty() {
                    true => continue,
                    false => return Err(wrong("it has older schemas and no current one".into())),
                }
            };
            if event.version == 0 {
                return Err(wrong("versions begin at 1".into()));
            }
            let mut all = BTreeMap::new();
            for (version, document) in event.older.iter().chain([(&event.version, current)]) {
                let schema = Schema::compile(document);
                let schema = schema.map_err(|error| wrong(format!("schema of version {version}: {error}")))?;
                if *version == 0 || *version > event.version || all.insert(*version, schema).is_some() {
                    let current = event.version;
                    return Err(wrong(format!("version {version} is not older than the current one, {current}")));
                }
            }
            types.insert(kind.clone(), Versions { current: event.version, all });
        }
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        Ok(Self { types, public_url })
    }

    /// An event whose data fits its schema: that of the version that its `dataschema` names, or else the current one.
    /// Says in it where that schema is, when that is known and the event says nothing else.
    ///
    /// # Errors
    /// `InvalidData`.
    pub(crate) fn checked(&self, draft: Draft) -> Result<Draft> {
        let Some(versions) = self.types.get(draft.kind.as_ref()) else { return Ok(draft) };
        let version = match draft.dataschema.as_deref().and_then(|address| named_version(address, &draft.kind)) {
            Some(named) => versions.known(&draft.kind, named)?,
            None => versions.current,
        };
        if let Some(schema) = versions.all.get(&version) {
            schema.check(draft.data.as_ref())?;
        }
        let address = |url: &String| format!("{url}{}", path(&draft.kind, version));
        let dataschema = draft.dataschema.or_else(|| self.public_url.as_ref().map(address));
        Ok(Draft { dataschema, ..draft })
    }
}

impl Versions {
    fn known(&self, kind: &str, named: &str) -> Result<u32> {
        let version = named.parse().ok().filter(|version| self.all.contains_key(version));
        version.ok_or_else(|| {
            let known: Vec<_> = self.all.keys().map(ToString::to_string).collect();
            let known = known.join(", ");
            let message = format!("dataschema names version {named:?} of {kind}, and there is only {known}");
            let place = Place { event: 0, pointer: String::new(), message: message.clone() };
            Error::new(ErrorKind::InvalidData, message).with_places(vec![place])
        })
    }
}

/// The version that an address of a schema names, when it is one of this event type: `…/schemas/<type>/<version>`.
fn named_version<'a>(address: &'a str, kind: &str) -> Option<&'a str> {
    let (_, rest) = address.rsplit_once("/schemas/")?;
    let (name, version) = rest.rsplit_once('/')?;
    (name == kind || name == encoded(kind)).then_some(version)
}

/// The path of a schema.
fn path(kind: &str, version: u32) -> String {
    format!("/schemas/{}/{version}", encoded(kind))
}

/// An event type as one step of a path.
fn encoded(kind: &str) -> String {
    let mut text = String::with_capacity(kind.len());
    for byte in kind.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => text.push(char::from(byte)),
            byte => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

impl Engine {
    /// The JSON Schema of an event type's data; of the current version when none is named.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn schema(&self, kind: &str, version: Option<u32>) -> Result<&Value> {
        let declared = self.0.declared.get(kind);
        let found = declared.and_then(|event| match version {
            Some(version) if version != event.version => event.older.get(&version),
            _ => event.schema.as_ref(),
        });
        found.ok_or_else(|| match version {
            Some(version) => Error::not_found("schema of", format!("{kind} in version {version}")),
            None => Error::not_found("schema of", kind),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Data;

    fn schemas(older: &[(u32, Value)]) -> Result<Schemas> {
        let schema = |kind: &str| json!({"type": "object", "properties": {"id": {"type": kind}}, "required": ["id"]});
        let event = EventDeclaration {
            version: 2,
            schema: Some(schema("integer")),
            older: [(1, schema("string"))].into_iter().chain(older.to_vec()).collect(),
            ..EventDeclaration::default()
        };
        Schemas::compile(&[("a b/ü".to_owned(), event)].into(), Some("https://x.example/y/"))
    }

    fn draft(data: Value, dataschema: Option<&str>) -> Draft {
        let draft = Draft::new("a b/ü").data(Data::json(&data).unwrap());
        Draft { dataschema: dataschema.map(str::to_owned), ..draft }
    }

    #[test]
    fn the_named_version_checks_and_the_current_one_where_none_is_named() {
        let schemas = schemas(&[]).unwrap();
        let (number, text) = (json!({"id": 1}), json!({"id": "1"}));
        let current = schemas.checked(draft(number.clone(), None)).unwrap();
        let address = current.dataschema.unwrap();
        assert_eq!(address, "https://x.example/y/schemas/a%20b%2F%C3%BC/2");
        assert!(schemas.checked(draft(text.clone(), Some(&address))).is_err());
        let older = "http://other/schemas/a%20b%2F%C3%BC/1";
        let checked = schemas.checked(draft(text.clone(), Some(older))).unwrap();
        assert_eq!(checked.dataschema.as_deref(), Some(older), "what the producer said stays");
        assert!(schemas.checked(draft(number.clone(), Some(older))).is_err());
        for foreign in ["https://example.com/1", "https://example.com/schemas/other/1", "urn:x"] {
            assert!(schemas.checked(draft(number.clone(), Some(foreign))).is_ok(), "{foreign}");
            assert!(schemas.checked(draft(text.clone(), Some(foreign))).is_err(), "{foreign}");
        }
        for unknown in ["/schemas/a b/ü/3", "/schemas/a b/ü/x", "/schemas/a b/ü/"] {
            let error = schemas.checked(draft(number.clone(), Some(unknown))).unwrap_err();
            assert!(error.message().ends_with("there is only 1, 2"), "{error}");
        }
    }

    #[test]
    fn bad_schemas_are_named() {
        let wrong = |older: &[(u32, Value)]| schemas(older).unwrap_err().message().to_owned();
        let said = wrong(&[(1, json!({"type": "text"}))]);
        assert!(
            said.starts_with("event type a b/ü: schema of version 1: this is no JSON Schema: at /type: "),
            "{said}"
        );
        assert!(wrong(&[(2, json!(true))]).ends_with("version 2 is not older than the current one, 2"));
        assert!(wrong(&[(3, json!(true))]).ends_with("version 3 is not older than the current one, 2"));
    }
}
