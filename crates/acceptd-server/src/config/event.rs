//! The sections `[events.TYPE]`, and the files with schemas that they name.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use acceptd::EventDeclaration;
use acceptd::catalog::schema::Schema;
use serde_json::Value;

use super::section::Section;

/// Reads one section. Relative paths begin at the folder `base`.
pub(super) fn read(name: String, mut section: Section<'_>, base: &Path) -> (String, EventDeclaration) {
    let description = section.optional("description");
    let team = section.optional("team");
    let version = section.get("version", NonZeroU32::MIN).get();
    let file: Option<String> = section.optional("schema");
    let older: BTreeMap<u32, String> = section.get("older_schemas", BTreeMap::new());
    let schema = file.and_then(|file| read_schema("schema", &file, &section, base));
    if let Some(newer) = older.keys().find(|older| **older >= version) {
        section.wrong("older_schemas", format!("version {newer} is not older than the current one, {version}"));
    }
    if !older.is_empty() && !section.has("schema") {
        section.wrong("older_schemas", "older versions need `schema`, that of the current one");
    }
    let read_older = |(version, file): (u32, String)| {
        read_schema("older_schemas", &file, &section, base).map(|schema| (version, schema))
    };
    let older = older.into_iter().filter_map(read_older).collect();
    let owner_required = section.get("owner_required", false);
    let batch = section.get("batch", true);
    if let Err(error) = acceptd::event::check_type(&name) {
        section.wrong("", error);
    }
    section.finish();
    let said = EventDeclaration::default();
    (name, EventDeclaration { description, version, schema, older, team, owner_required, batch, ..said })
}

fn read_schema(key: &str, file: &str, section: &Section<'_>, base: &Path) -> Option<Value> {
    let read = || {
        let text = std::fs::read_to_string(base.join(file)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no file {file}"),
            _ => format!("can't read {file}: {error}"),
        })?;
        let document = serde_json::from_str(&text).map_err(|error| format!("{file} is not JSON: {error}"))?;
        Schema::compile(&document).map_err(|error| format!("{file}: {error}"))?;
        Ok::<_, String>(document)
    };
    read().map_err(|why| section.wrong(key, why)).ok()
}
