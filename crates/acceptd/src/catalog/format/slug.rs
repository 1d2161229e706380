//! Names as parts of paths and as identifiers, for names that hold any printable character.

use std::collections::{BTreeMap, BTreeSet};

/// How long a slug may be: a Backstage name has at most 63 characters.
const LENGTH_MAX: usize = 63;

/// The slugs of a set of names: each its own, also where upper and lower case are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Slugs(BTreeMap<String, String>);

impl Slugs {
    /// Slugs for these names.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let mut uses: BTreeMap<String, u32> = BTreeMap::new();
        for name in &names {
            *uses.entry(name.to_lowercase()).or_default() += 1;
        }
        let slug = |name: &&str| {
            let is_shared = uses.get(&name.to_lowercase()).is_some_and(|uses| *uses > 1);
            ((*name).to_owned(), slug(name, is_shared))
        };
        Self(names.iter().map(slug).collect())
    }

    /// The slug of a name.
    pub(super) fn get(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| slug(name, false))
    }
}

/// Letters, digits and single `.`, `_`, `-` within: a name of that kind is its own slug. Any other gets a hash, so that
/// names that look alike then stay apart.
fn slug(name: &str, hashed: bool) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let is_separator = |c: char| !c.is_ascii_alphanumeric();
        if !(is_separator(c) && slug.chars().last().is_none_or(is_separator)) {
            slug.push(c);
        }
    }
    let slug = slug.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    if slug == name && slug.len() <= LENGTH_MAX && !hashed && !ends_like_hash(slug) {
        return slug.to_owned();
    }
    let head: String = slug.chars().take(LENGTH_MAX - 9).collect();
    let head = head.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let hash = format!("{:08x}", fnv(name.as_bytes()) as u32);
    if head.is_empty() { hash } else { format!("{head}-{hash}") }
}

/// Whether a plain name could be taken for one with a hash.
fn ends_like_hash(name: &str) -> bool {
    let tail = name.rsplit_once('-').map_or(name, |(_, tail)| tail);
    tail.len() == 8 && tail.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// FNV-1a: the standard library's hash may change with its version.
fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_their_own_slugs() {
        let slugs = Slugs::of(["ec2.start", "start_ec2", "Order.Placed"]);
        for name in ["ec2.start", "start_ec2", "Order.Placed"] {
            assert_eq!(slugs.get(name), name);
        }
    }

    #[test]
    fn others_stay_apart_and_leave_no_folder() {
        let long = "x".repeat(255);
        let names =
            ["../../etc/passwd", "a/b", "a\\b", "a|b", "..", "ä", "order.placed", "Order.Placed", "a--b", &long];
        let slugs = Slugs::of(names);
        let mut all: Vec<_> = names.iter().map(|name| slugs.get(name).to_lowercase()).collect();
        for slug in &all {
            assert!(slug.len() <= 63 && !slug.contains("..") && !slug.contains("--"), "{slug}");
            assert!(slug.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{slug}");
            assert!(slug.starts_with(|c: char| c.is_ascii_alphanumeric()), "{slug}");
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), names.len());
        assert_ne!(slugs.get("a-0badcafe"), "a-0badcafe");
    }
}
