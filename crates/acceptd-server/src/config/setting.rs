//! The kinds of values that options have: how each is read, and how it is shown as TOML.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use acceptd::duration::{format_duration, parse_duration};
use acceptd::limit::{KeySpec, Rate};

use super::tree::{Node, Origin, Value};

/// A kind of value.
pub(crate) trait Setting: Sized {
    /// Reads it. The error says what was expected.
    fn read(node: &Node) -> Result<Self, String>;

    /// Shows it as TOML, without secrets.
    fn show(&self) -> String;
}

/// Shows text as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn text(node: &Node) -> Result<&str, String> {
    match &node.value {
        Value::Text(text) => Ok(text),
        _ => Err("this must be text in quotes".to_owned()),
    }
}

/// Text from the environment or a flag, which has no types of its own.
fn untyped(node: &Node) -> Option<&str> {
    match (&node.value, &node.origin) {
        (Value::Text(text), Origin::Environment(_) | Origin::Flag(_)) => Some(text.trim()),
        _ => None,
    }
}

impl Setting for String {
    fn read(node: &Node) -> Result<Self, String> {
        text(node).map(str::to_owned)
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for bool {
    fn read(node: &Node) -> Result<Self, String> {
        match (&node.value, untyped(node)) {
            (Value::Boolean(yes), _) => Ok(*yes),
            (_, Some("true" | "1" | "yes")) => Ok(true),
            (_, Some("false" | "0" | "no")) => Ok(false),
            _ => Err("this must be true or false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! counts {
    ($($kind:ty),*) => { $(
        impl Setting for $kind {
            fn read(node: &Node) -> Result<Self, String> {
                let wrong = || format!("this must be a whole number from 1 to {}", <$kind>::MAX);
                let number = match (&node.value, untyped(node)) {
                    (Value::Integer(number), _) => *number,
                    (_, Some(text)) => text.replace('_', "").parse().map_err(|_| wrong())?,
                    _ => return Err(wrong()),
                };
                u64::try_from(number).ok().and_then(|n| n.try_into().ok()).and_then(Self::new).ok_or_else(wrong)
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

counts!(NonZeroU32, NonZeroU64, NonZeroUsize);

impl Setting for Duration {
    fn read(node: &Node) -> Result<Self, String> {
        let text = text(node).map_err(|_| "this must be a duration such as \"250ms\", \"30s\" or \"1h30m\"")?;
        parse_duration(text.trim()).map_err(|error| error.to_string())
    }

    fn show(&self) -> String {
        quoted(&exact(*self))
    }
}

/// A duration in its own words when two units say all of it, otherwise in milliseconds.
fn exact(duration: Duration) -> String {
    let words = format_duration(duration);
    let same = parse_duration(&words).is_ok_and(|read| read == duration);
    if same { words } else { format!("{}ms", duration.as_millis()) }
}

impl Setting for Vec<String> {
    /// A list, or one text; in the environment commas separate.
    fn read(node: &Node) -> Result<Self, String> {
        if let Some(text) = untyped(node) {
            return Ok(text.split(',').map(|item| item.trim().to_owned()).collect());
        }
        match &node.value {
            Value::Text(text) => Ok(vec![text.clone()]),
            Value::List(items) => items.iter().map(|item| text(item).map(str::to_owned)).collect(),
            _ => Err("this must be text in quotes, or a list of them".to_owned()),
        }
    }

    fn show(&self) -> String {
        format!("[{}]", self.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
    }
}

impl Setting for Rate {
    fn read(node: &Node) -> Result<Self, String> {
        text(node)?.parse().map_err(|error: acceptd::Error| error.message().to_owned())
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for KeySpec {
    fn read(node: &Node) -> Result<Self, String> {
        text(node)?.parse().map_err(|error: acceptd::Error| error.message().to_owned())
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// Numbers by name, such as `{ big = 3 }`.
impl Setting for BTreeMap<String, u32> {
    fn read(node: &Node) -> Result<Self, String> {
        let wrong = || "this must be a table of whole numbers from 1 to 1000, such as { big = 3 }".to_owned();
        let Value::Table(table) = &node.value else { return Err(wrong()) };
        let number = |node: &Node| match NonZeroU32::read(node) {
            Ok(number) if number.get() <= 1_000 => Ok(number.get()),
            _ => Err(wrong()),
        };
        table.iter().map(|(name, node)| Ok((name.clone(), number(node)?))).collect()
    }

    fn show(&self) -> String {
        let parts: Vec<_> = self.iter().map(|(name, number)| format!("{} = {number}", quoted(name))).collect();
        format!("{{ {} }}", parts.join(", "))
    }
}

/// Files by version, such as `{ 1 = "schemas/ec2.start.v1.json" }`.
impl Setting for BTreeMap<u32, String> {
    fn read(node: &Node) -> Result<Self, String> {
        let wrong = || "this must be a table of files by version, such as { 1 = \"schemas/a.v1.json\" }".to_owned();
        let Value::Table(table) = &node.value else { return Err(wrong()) };
        let version = |version: &str| version.parse::<NonZeroU32>().map(NonZeroU32::get).map_err(|_| wrong());
        let file = |(name, node): (&String, &Node)| Ok((version(name)?, text(node).map_err(|_| wrong())?.to_owned()));
        table.iter().map(file).collect()
    }

    fn show(&self) -> String {
        let parts: Vec<_> = self.iter().map(|(version, file)| format!("{version} = {}", quoted(file))).collect();
        format!("{{ {} }}", parts.join(", "))
    }
}

impl Setting for SocketAddr {
    fn read(node: &Node) -> Result<Self, String> {
        let written = text(node)?;
        let port = written.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let local = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let wrong = || format!("{written:?} is not an address such as 127.0.0.1:8202");
        local.or_else(|| written.parse().ok()).ok_or_else(wrong)
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A number of bytes: `1MiB`, `512KiB`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) usize);

const BYTE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Setting for Bytes {
    fn read(node: &Node) -> Result<Self, String> {
        let written = match &node.value {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text.trim().to_owned(),
            _ => return Err("this must be a size such as \"1MiB\" or \"512KiB\"".to_owned()),
        };
        let wrong = || format!("{written:?} is not a size above 0 such as 1MiB, 512KiB or 4096");
        let unit = BYTE_UNITS.iter().find_map(|(unit, factor)| Some((written.strip_suffix(unit)?, *factor)));
        let (number, factor) = unit.unwrap_or((&written, 1));
        let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        bytes.and_then(|bytes| bytes.try_into().ok()).filter(|bytes| *bytes > 0).map(Self).ok_or_else(wrong)
    }

    fn show(&self) -> String {
        let bytes = self.0 as u64;
        let unit = BYTE_UNITS.iter().find(|(_, factor)| bytes.is_multiple_of(*factor));
        unit.map_or_else(|| bytes.to_string(), |(unit, factor)| quoted(&format!("{}{unit}", bytes / factor)))
    }
}

/// An `http` or `https` URL. A password in it is shown as `***`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WebUrl(pub(crate) reqwest::Url);

impl Setting for WebUrl {
    fn read(node: &Node) -> Result<Self, String> {
        let written = text(node)?;
        let url = reqwest::Url::parse(written).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.map(Self).ok_or_else(|| format!("{:?} is not an http or https URL", masked(written)))
    }

    fn show(&self) -> String {
        quoted(&masked(self.0.as_str()))
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

/// The URL of a store. A password in it is shown as `***`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreUrl(pub(crate) String);

impl Setting for StoreUrl {
    fn read(node: &Node) -> Result<Self, String> {
        let written = text(node)?;
        match written.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self(written.to_owned())),
            Some(("postgres" | "postgresql", _)) => {
                acceptd::store::postgres::check(written).map_err(|error| error.message().to_owned())?;
                Ok(Self(written.to_owned()))
            }
            _ => Err(format!("{:?} names no store; write sqlite:FILE or postgres://…", masked(written))),
        }
    }

    fn show(&self) -> String {
        quoted(&masked(&self.0))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

/// Hides the password of a URL. Text that is no URL stays as it is, up to where a password could stand.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    match authority.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
        Some((Some((user, _)), host)) => format!("{scheme}://{user}:***@{host}{tail}"),
        _ => url.to_owned(),
    }
}

/// A choice between words.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// Each word with what it means.
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Choice> Setting for T {
    fn read(node: &Node) -> Result<Self, String> {
        let written = text(node)?;
        let found = T::WORDS.iter().find(|(word, _)| *word == written);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = T::WORDS.iter().map(|(word, _)| quoted(word)).collect();
            format!("{written:?} must be {}", words.join(" or "))
        })
    }

    fn show(&self) -> String {
        let word = T::WORDS.iter().find(|(_, choice)| choice == self).map_or("", |(word, _)| *word);
        quoted(word)
    }
}
