//! Pages of lists: `pageSize`, `pageToken`, `nextPageToken`.

use acceptd::store::Page;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::call::Parameters;
use crate::problem::{BAD_PAGE_TOKEN, INVALID_REQUEST, Problem};

const SIZE_DEFAULT: usize = 50;
const SIZE_MAX: usize = 200;

/// A list's answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
    pub(super) next_page_token: Option<String>,
}

/// One list with its filters: page tokens of another one are refused.
pub(super) struct Pages {
    of: [u8; 8],
    pub(super) page: Page,
}

impl Pages {
    /// The page that a query asks for, of the list of this name with these filters.
    pub(super) fn of(list: &str, filters: &[Option<&str>], query: &Parameters) -> Result<Self, Problem> {
        let mut digest = Sha256::new();
        for part in [Some(list)].iter().chain(filters) {
            // Lengths keep ("a", "bc") and ("ab", "c") apart, and no filter from an empty one.
            digest.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            digest.update(part.unwrap_or_default());
        }
        let mut of = [0; 8];
        of.copy_from_slice(&digest.finalize()[..8]);
        let before = query.get("pageToken").map(|token| read_token(token, of)).transpose()?;
        Ok(Self { of, page: Page { before, size: read_size(query)? } })
    }

    /// The answer with these items; `next` is where to go on.
    pub(super) fn items<T>(&self, items: Vec<T>, next: Option<i64>) -> Items<T> {
        Items { items, next_page_token: next.map(|ordinal| self.token(ordinal)) }
    }

    fn token(&self, ordinal: i64) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&ordinal.to_be_bytes());
        bytes[8..].copy_from_slice(&seal(ordinal, self.of));
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn read_token(token: &str, of: [u8; 8]) -> Result<i64, Problem> {
    let wrong = || BAD_PAGE_TOKEN.because("the page token is not one of this list with these filters");
    let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(token).ok().and_then(|b| b.try_into().ok()).ok_or_else(wrong)?;
    let mut ordinal = [0; 8];
    ordinal.copy_from_slice(&bytes[..8]);
    let ordinal = i64::from_be_bytes(ordinal);
    if bytes[8..] == seal(ordinal, of) { Ok(ordinal) } else { Err(wrong()) }
}

/// Ties a place to its list. It is a check against mistakes, not a secret.
fn seal(ordinal: i64, of: [u8; 8]) -> [u8; 8] {
    let mut digest = Sha256::new();
    digest.update(of);
    digest.update(ordinal.to_be_bytes());
    let mut seal = [0; 8];
    seal.copy_from_slice(&digest.finalize()[..8]);
    seal
}

fn read_size(query: &Parameters) -> Result<usize, Problem> {
    let Some(text) = query.get("pageSize") else { return Ok(SIZE_DEFAULT) };
    match text.parse::<usize>() {
        Ok(0) => Ok(SIZE_DEFAULT),
        Ok(size) => Ok(size.min(SIZE_MAX)),
        Err(_) => Err(INVALID_REQUEST.because("pageSize must be a whole number; pages have at most 200 rows")),
    }
}
