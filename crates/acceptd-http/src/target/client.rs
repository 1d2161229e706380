//! The HTTP client that all pushes share: one pool of connections, no redirects, no proxies, no decompression.

use std::sync::Arc;
use std::time::Duration;

use acceptd::{Error, ErrorKind, Result};
use reqwest::{Client, ClientBuilder, redirect};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};

/// How long opening a connection may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may rest. Shorter than the 5 s after which common servers close it: a request that meets
/// a closing connection can't know whether it arrived.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Connections to one host that may rest, more than its consumers will ever use at once.
const IDLE_MAX: usize = 4_096;
/// The largest result.
const BODY_MAX: usize = 1024 * 1024;

/// A shared HTTP client for [`Push`](super::Push) targets. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct PushClient {
    client: Client,
    /// Why `https` can't be used, when it can't.
    without_tls: Option<Arc<str>>,
    body_max: usize,
}

impl PushClient {
    /// A client. For `https` it takes the process-wide TLS provider, which the application installs before; without
    /// one, or without root certificates on this machine, it is a client for plain `http`.
    ///
    /// # Errors
    /// `Unavailable` when no client can be built.
    pub fn new() -> Result<Self> {
        let (client, without_tls) = match with_tls() {
            Ok(client) => (client, None),
            Err(reason) => (plain()?, Some(reason.into())),
        };
        Ok(Self { client, without_tls, body_max: BODY_MAX })
    }

    /// The largest answer that is taken as a result, 1 MiB where nothing else is said. A larger one makes the
    /// delivery a dead letter: the work was done, and doing it again would not make its result smaller.
    #[must_use]
    pub fn body_max(mut self, bytes: usize) -> Self {
        self.body_max = bytes;
        self
    }

    /// The client for URLs of this scheme.
    pub(crate) fn for_scheme(&self, scheme: &str) -> Result<&Client> {
        match (scheme, &self.without_tls) {
            ("http", _) | ("https", None) => Ok(&self.client),
            ("https", Some(reason)) => Err(Error::invalid(format!("https can't be used: {reason}"))),
            _ => Err(Error::invalid(format!("a target's URL starts with http or https, not {scheme}"))),
        }
    }

    pub(crate) fn largest_body(&self) -> usize {
        self.body_max
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("acceptd/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_MAX)
}

/// Asks for the provider first: the builder panics where there is none, also for plain `http`.
fn with_tls() -> Result<Client, String> {
    if CryptoProvider::get_default().is_none() {
        return Err("no TLS provider is installed; call rustls::crypto::ring::default_provider().install_default() \
                    at the start of the program"
            .to_owned());
    }
    builder().build().map_err(|error| super::answer::deepest(&error))
}

/// A client whose TLS trusts nobody: the builder wants some TLS configuration, and `https` is refused before.
fn plain() -> Result<Client> {
    let failed = |error: String| Error::new(ErrorKind::Unavailable, format!("no HTTP client can be built: {error}"));
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    builder().tls_backend_preconfigured(tls).build().map_err(|error| failed(super::answer::deepest(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests of this crate install no TLS provider, like an application that only speaks to plain `http`.
    #[test]
    fn without_a_provider_plain_http_works_and_https_says_what_to_do() {
        let client = PushClient::new().unwrap();
        assert!(client.for_scheme("http").is_ok());
        let error = client.for_scheme("https").unwrap_err();
        assert!(error.message().contains("install_default"), "{error}");
        assert!(client.for_scheme("ftp").unwrap_err().message().contains("not ftp"));
    }
}
