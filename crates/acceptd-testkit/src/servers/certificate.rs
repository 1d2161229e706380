//! A certificate for a server on this machine.

use std::process::{Command, Stdio};

/// A certificate and its key, in PEM. It is signed by itself: who trusts it names it as a root.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Certificate {
    /// A new one for `localhost` and `127.0.0.1`, valid for a day, by the program `openssl`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        command.args(["-days", "1", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "certificate.pem"]);
        command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let output = command.current_dir(folder.path()).stdin(Stdio::null()).output().expect("openssl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |name| std::fs::read_to_string(folder.path().join(name)).expect("openssl wrote it");
        Self { certificate: read("certificate.pem"), key: read("key.pem") }
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::Certificate;

    #[test]
    fn who_trusts_it_takes_it_for_this_machine_and_for_no_other() {
        let certificate = CertificateDer::from_pem_slice(Certificate::new().certificate.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = rustls::crypto::ring::default_provider().into();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let verify = |name| {
            let name = ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now())
        };
        verify("localhost").unwrap();
        verify("127.0.0.1").unwrap();
        assert!(verify("example.org").is_err());
    }
}
