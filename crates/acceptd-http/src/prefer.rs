//! The header `Prefer` (RFC 7240): how long a caller would wait, and how much it wants to hear.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The request's header.
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The answer's header.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a request prefers. What we don't know, or can't read, counts as not said: preferences are never an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// Answer at once.
    pub(crate) respond_async: bool,
    /// Wait for the end, so many seconds at most.
    pub(crate) wait: Option<u64>,
    /// Leave the body out.
    pub(crate) minimal: bool,
}

impl Preferences {
    pub(crate) fn of(headers: &HeaderMap, wait_max: Duration) -> Self {
        let (mut preferences, mut returns) = (Self::default(), Vec::new());
        let mut waits = false;
        let fields = headers.get_all(PREFER);
        for (name, value) in fields.iter().flat_map(|field| Members(field.as_bytes())) {
            match name.to_ascii_lowercase().as_slice() {
                b"respond-async" => preferences.respond_async = true,
                // The first one counts, even when it can't be read.
                b"wait" if !waits => {
                    waits = true;
                    preferences.wait = parse_seconds(&value).map(|seconds| seconds.min(wait_max.as_secs()));
                }
                b"return" => returns.push(value),
                _ => {}
            }
        }
        // Asking for both forms is asking for neither.
        let minimal = returns.iter().any(|value| value == b"minimal");
        preferences.minimal = minimal && !returns.iter().any(|value| value == b"representation");
        preferences.wait = preferences.wait.filter(|seconds| *seconds > 0);
        preferences
    }

    /// How long to wait.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }

    /// The value of `Preference-Applied`; `waited` says whether the answer is what was waited for.
    pub(crate) fn applied(&self, waited: bool) -> Option<HeaderValue> {
        let mut applied = Vec::with_capacity(2);
        match self.wait {
            Some(seconds) if waited => applied.push(format!("wait={seconds}")),
            _ if self.respond_async => applied.push("respond-async".to_owned()),
            _ => {}
        }
        if self.minimal {
            applied.push("return=minimal".to_owned());
        }
        if applied.is_empty() { None } else { HeaderValue::try_from(applied.join(", ")).ok() }
    }
}

fn parse_seconds(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    // More digits than fit are a long time.
    is_number.then(|| std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
}

/// The preferences of one field: names with their values, parameters left out.
struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (member, rest) = split_at_comma(self.0)?;
            self.0 = rest;
            let end = member.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(member.len());
            let name = member[..end].trim_ascii();
            if name.is_empty() {
                continue;
            }
            let value = member.get(end).filter(|byte| **byte == b'=').map(|_| word(member[end + 1..].trim_ascii()));
            return Some((name, value.unwrap_or_default()));
        }
    }
}

/// The first member of a list, and what follows its comma; commas in quoted text don't count.
fn split_at_comma(list: &[u8]) -> Option<(&[u8], &[u8])> {
    if list.is_empty() {
        return None;
    }
    let (mut in_quotes, mut escaped) = (false, false);
    for (at, byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' => in_quotes = !in_quotes,
            b',' if !in_quotes => return Some((&list[..at], &list[at + 1..])),
            _ => {}
        }
    }
    Some((list, &[]))
}

/// A token or a quoted string, up to the parameters.
fn word(text: &[u8]) -> Vec<u8> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let token = text.split(|byte| *byte == b';').next().unwrap_or_default();
        return token.trim_ascii().to_vec();
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => value.extend(bytes.next()),
            byte => value.push(*byte),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&'static str]) -> Preferences {
        let headers = fields.iter().map(|field| (PREFER, HeaderValue::from_static(field))).collect();
        Preferences::of(&headers, Duration::from_secs(60))
    }

    #[test]
    fn lists_parameters_and_quotes() {
        let both = Preferences { respond_async: true, wait: Some(10), minimal: false };
        assert_eq!(read(&["respond-async, wait=10"]), both);
        assert_eq!(read(&["Respond-Async; x=\"a,b\"", "WAIT = \"10\"; foo"]), both);
        assert_eq!(read(&["foo=\"bar, wait=3\", respond-async;wait=4, wait=10, wait=2"]), both);
    }

    #[test]
    fn what_is_not_known_is_ignored() {
        for nothing in ["", ",,,", "wait", "wait=", "wait=-1", "wait=1.5", "handling=lenient", "=", "\"", "wait=0", ";"]
        {
            assert_eq!(read(&[nothing]), Preferences::default(), "{nothing:?}");
        }
        assert_eq!(read(&["wait=x, wait=5"]).wait, None, "the first one counts");
    }

    #[test]
    fn waiting_is_capped_and_said() {
        let capped = read(&["wait=99999999999999999999, return=minimal"]);
        assert_eq!(capped.wait, Some(60));
        assert_eq!(capped.applied(true).unwrap(), "wait=60, return=minimal");
        assert_eq!(capped.applied(false).unwrap(), "return=minimal");
        assert_eq!(read(&["return=minimal, return=representation"]), Preferences::default());
    }
}
