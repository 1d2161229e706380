//! Standard Webhooks signatures: proof for a receiver that a request is ours and unchanged.
//!
//! The signed bytes are `id.timestamp.body`; the scheme is `v1`, HMAC-SHA256. During a rotation there are several
//! secrets, and each request carries one signature for each of them.

use std::fmt;
use std::sync::Arc;

use acceptd::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// How many bytes a secret may have.
const SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets that requests to one receiver are signed with. Cheap to clone; never printed.
#[derive(Clone)]
pub struct Secret(Arc<[Hmac<Sha256>]>);

impl Secret {
    /// Reads `whsec_` + base64 of 24 to 64 bytes; several, separated by spaces, while a secret is being replaced.
    ///
    /// # Errors
    /// `InvalidArgument` that says what is wrong without repeating the secret.
    pub fn parse(text: &str) -> Result<Self> {
        let keys = text.split_ascii_whitespace().map(key).collect::<Result<Arc<[_]>>>()?;
        if keys.is_empty() {
            return Err(Error::invalid("the secret is empty"));
        }
        Ok(Self(keys))
    }

    /// The value of `webhook-signature` for a message: `v1,` + base64, once for each secret.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut signatures = String::with_capacity(self.0.len() * 48);
        for key in self.0.iter() {
            if !signatures.is_empty() {
                signatures.push(' ');
            }
            signatures.push_str("v1,");
            STANDARD.encode_string(digest(key, id, timestamp, body).finalize().into_bytes(), &mut signatures);
        }
        signatures
    }

    /// Whether one of the signatures in `webhook-signature` is right for one of the secrets; compares in constant
    /// time. The receiver must look at the timestamp's age itself.
    pub fn verify(&self, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
        let given =
            signatures.split_ascii_whitespace().filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
        given
            .into_iter()
            .any(|given| self.0.iter().any(|key| digest(key, id, timestamp, body).verify_slice(&given).is_ok()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} keys)", self.0.len())
    }
}

impl std::str::FromStr for Secret {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

fn key(text: &str) -> Result<Hmac<Sha256>> {
    let wrong = |what: &str| Error::invalid(format!("the secret {what}; write {PREFIX} and base64 of 24 to 64 bytes"));
    let encoded = text.strip_prefix(PREFIX).ok_or_else(|| wrong("does not start with whsec_"))?;
    let bytes = STANDARD.decode(encoded).map_err(|_| wrong("is not base64"))?;
    if !SIZES.contains(&bytes.len()) {
        return Err(wrong(&format!("has {} bytes", bytes.len())));
    }
    Hmac::new_from_slice(&bytes).map_err(|_| wrong("can't be used"))
}

fn digest(key: &Hmac<Sha256>, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    key.clone().chain_update(id).chain_update(".").chain_update(timestamp).chain_update(".").chain_update(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const TWO: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    // Computed apart from this code:
    // key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    // base64.b64encode(hmac.new(key, b'msg_1.1614265330.{"test": 2432232314}', hashlib.sha256).digest())
    const SIGNED: &str = "v1,9o7UeFkn1GjVbcY4emAJruJCYqgH2EIf8u/slvVRBZI=";
    const SIGNED_TWO: &str = "v1,GWvjEzx3AphU7wha3hNZPXJnymF9Fg+ZdvPQqWPOjZ0=";

    #[test]
    fn a_known_vector() {
        let secret = Secret::parse(ONE).unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(secret.sign("msg_1", "1614265330", body), SIGNED);
        let rotating = Secret::parse(&format!("{ONE} {TWO}")).unwrap();
        assert_eq!(rotating.sign("msg_1", "1614265330", body), format!("{SIGNED} {SIGNED_TWO}"));
    }

    #[test]
    fn verifying_takes_any_of_the_secrets_and_nothing_else() {
        let (one, two) = (Secret::parse(ONE).unwrap(), Secret::parse(TWO).unwrap());
        let rotating = Secret::parse(&format!("{TWO} {ONE}")).unwrap();
        let signed = one.sign("a", "1", b"body");
        assert!(one.verify("a", "1", b"body", &signed) && rotating.verify("a", "1", b"body", &signed));
        assert!(one.verify("a", "1", b"body", &rotating.sign("a", "1", b"body")));
        assert!(!two.verify("a", "1", b"body", &signed) && !one.verify("a", "2", b"body", &signed));
        assert!(!one.verify("a", "1", b"body!", &signed) && !one.verify("a", "1", b"body", "v1a,x v1, garbage"));
    }

    #[test]
    fn bad_secrets_are_refused_without_being_repeated() {
        let short = format!("{PREFIX}{}", STANDARD.encode([7; 23]));
        let long = format!("{PREFIX}{}", STANDARD.encode([7; 65]));
        for bad in ["", " ", "whsec_", "whsec_%%%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &short, &long] {
            let error = Secret::parse(bad).unwrap_err();
            assert!(bad.len() < 10 || !error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Secret::parse(ONE).unwrap()), "Secret(1 keys)");
    }
}
