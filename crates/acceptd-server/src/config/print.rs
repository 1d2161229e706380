//! `acceptd config print`: the effective configuration as TOML, with where each value comes from.

use super::{Origin, Reading};

/// The options as TOML. Everything that is not a default says where it was written; options that are not set are
/// comments.
pub(crate) fn print(readings: &[Reading]) -> String {
    let mut sections: Vec<&[String]> = Vec::new();
    for reading in readings {
        if !sections.contains(&reading.section.as_slice()) {
            sections.push(&reading.section);
        }
    }
    let mut blocks = Vec::new();
    for section in sections {
        let path: Vec<_> = section.iter().map(|name| key(name)).collect();
        let lines = readings.iter().filter(|reading| reading.section == section).map(line);
        blocks.push(format!("[{}]\n{}", path.join("."), lines.collect::<String>()));
    }
    blocks.join("\n")
}

fn line(reading: &Reading) -> String {
    let Reading { key, value, origin, .. } = reading;
    match (value, origin) {
        (None, _) => format!("# {key} is not set\n"),
        (Some(value), None) => format!("{key} = {value}\n"),
        (Some(value), Some(Origin::File(file, line))) => format!("{key} = {value}  # {file}:{line}\n"),
        (Some(value), Some(origin)) => format!("{key} = {value}  # from {origin}\n"),
    }
}

/// A name as a TOML key: bare where that is allowed.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if bare { name.to_owned() } else { super::setting::quoted(name) }
}
