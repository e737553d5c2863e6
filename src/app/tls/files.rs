//! Reads the files of a listener that serves TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use crate::config::TlsFiles;
use crate::tokens::secret;

/// Protocols that a listener offers, the preferred one first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The contents of the files at one time.
pub struct Contents {
    certificate: Vec<u8>,
    private_key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

/// Distinguishes contents without keeping them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    pair: [u8; 32],
    /// Of the authorities of client certificates.
    pub client_ca: Option<[u8; 32]>,
}

// It holds a private key.
impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

/// A certificate that a listener can serve.
#[derive(Debug)]
pub struct Usable {
    /// The configuration of connections.
    pub config: Arc<ServerConfig>,
    /// When the certificate expires, Unix seconds.
    pub not_after: i64,
}

impl Usable {
    /// Whether the certificate has expired.
    pub fn is_expired(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.is_ok_and(|now| now.as_secs() as i64 > self.not_after)
    }

    /// Fails if the certificate has expired: there is a better one then.
    pub fn unexpired(self) -> Result<Self, String> {
        if self.is_expired() {
            return Err("the certificate in the TLS files has expired".to_owned());
        }
        Ok(self)
    }
}

impl Contents {
    /// Reads the files. An error is a sentence that names the file.
    pub fn read(files: &TlsFiles) -> Result<Self, String> {
        Ok(Self {
            certificate: bytes(&files.certificate)?,
            private_key: bytes(&files.private_key)?.into(),
            client_ca: files.client_ca.as_deref().map(bytes).transpose()?,
        })
    }

    /// Distinguishes these contents from others.
    pub fn fingerprint(&self) -> Fingerprint {
        let both = [secret::hash(&self.certificate), secret::hash(&*self.private_key)];
        Fingerprint {
            pair: secret::hash(both.concat()),
            client_ca: self.client_ca.as_ref().map(secret::hash),
        }
    }

    /// Checks the contents. An error is a sentence that names the file and repeats nothing of a private key.
    pub fn check(&self, files: &TlsFiles) -> Result<Usable, String> {
        let chain = certificates(&self.certificate, &files.certificate)?;
        let not_after =
            not_after(&chain[0]).ok_or_else(|| unusable(&files.certificate, "holds no valid X.509 certificate"))?;
        let private_key = PrivateKeyDer::from_pem_slice(&self.private_key)
            .map_err(|_| unusable(&files.private_key, "holds no unencrypted private key in PEM"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be configured: {error}"))?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(pem), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| unusable(path, &format!("cannot be used: {error}")))?;
                }
                // Requests that need a certificate are rejected above: probes have none.
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| unusable(path, &format!("cannot be used: {error}")))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, private_key).map_err(|error| {
            let key = files.private_key.display();
            unusable(
                &files.certificate,
                &format!("cannot be used with the private key {key}: {error}"),
            )
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        if files.client_ca.is_some() {
            // A resumed session repeats the certificate of the first one without verifying it.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer =
                aws_lc_rs::Ticketer::new().map_err(|error| format!("TLS cannot be configured: {error}"))?;
        }
        Ok(Usable {
            config: Arc::new(config),
            not_after,
        })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| unusable(path, &format!("cannot be read: {error}")))
}

fn unusable(path: &Path, why: &str) -> String {
    format!("the TLS file {} {why}", path.display())
}

/// The certificates of a PEM file; at least one.
fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| unusable(path, &format!("is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(unusable(path, "holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let not_after = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    i64::try_from(not_after.as_secs()).ok()
}
