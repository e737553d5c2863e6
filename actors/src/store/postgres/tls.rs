//! TLS to Postgres, by rustls.
//!
//! Certificates are read whenever a connection is opened: one that was renewed is used from then on.

use std::error::Error as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{Check, Protection, SYSTEM};
use crate::error::StoreError;

/// What makes a connection of a socket, by what the files hold now.
pub(super) fn connector(protection: &Protection) -> Result<MakeRustlsConnect, StoreError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(protection, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Corrupt(format!("TLS cannot be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &protection.own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates("sslcert", cert)?;
            let unusable = |error| {
                StoreError::Corrupt(format!(
                    "sslcert {} and sslkey do not belong together: {error}",
                    cert.display()
                ))
            };
            builder
                .with_client_auth_cert(chain, private_key(key)?)
                .map_err(unusable)?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// A file of authorities that the system trusts, under the names that distributions give it.
const SYSTEMS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Where the authorities stand.
fn authorities(root: &Path) -> Result<PathBuf, StoreError> {
    if root.as_os_str() != SYSTEM {
        return Ok(root.to_owned());
    }
    let found = SYSTEMS.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        StoreError::Corrupt("sslrootcert=system, and this machine has no file of authorities: name one".to_owned())
    })
}

fn certificates(parameter: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let unusable = |why: String| StoreError::Corrupt(format!("{parameter} {} {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| unusable(format!("is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, StoreError> {
    let unusable = |why: String| StoreError::Corrupt(format!("sslkey {} {why}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    // As libpq: a key of root's may be read by a group.
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(unusable(format!(
            "can be read by others; run: chmod 600 {}",
            path.display()
        )));
    }
    // The parser's words are left out: they might quote the key.
    PrivateKeyDer::from_pem_file(path).map_err(|_| unusable("holds no private key in PEM".to_owned()))
}

fn verifier(
    protection: &Protection,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, StoreError> {
    let Some(root) = protection.root.as_ref().filter(|_| protection.check != Check::Nothing) else {
        return Ok(Arc::new(Lenient {
            inner: None,
            provider: Arc::clone(provider),
        }));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("sslrootcert", &authorities(root)?)? {
        roots
            .add(certificate)
            .map_err(|error| StoreError::Corrupt(format!("sslrootcert {} is of no use: {error}", root.display())))?;
    }
    let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| StoreError::Corrupt(format!("sslrootcert {} is of no use: {error}", root.display())))?;
    if protection.check == Check::Host {
        return Ok(strict);
    }
    Ok(Arc::new(Lenient {
        inner: Some(strict),
        provider: Arc::clone(provider),
    }))
}

/// Takes the word of an authority for any host, or, without one, anybody's.
#[derive(Debug)]
struct Lenient {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        match inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is what is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What TLS has against a connection, as a sentence; `None`: it is something else.
pub(super) fn objection(error: &tokio_postgres::Error, protection: &Protection, place: &str) -> Option<String> {
    let mut source = error.source();
    let mut refused_plaintext = false;
    while let Some(cause) = source {
        let io = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = io.map_or(cause, |inner| inner);
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(sentence(tls, protection, place));
        }
        refused_plaintext |= cause.to_string().contains("does not support TLS");
        source = cause.source();
    }
    (refused_plaintext || error.to_string().contains("does not support TLS")).then(|| {
        format!(
            "{place} speaks no TLS, and sslmode={} demands it: nothing was sent in the clear",
            protection.mode
        )
    })
}

fn sentence(error: &rustls::Error, protection: &Protection, place: &str) -> String {
    let root = protection
        .root
        .as_ref()
        .map_or_else(String::new, |root| format!(" {}", root.display()));
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!("the certificate of {place} is not from an authority in sslrootcert{root}")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the certificate of {place} is for another host name")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of {place} has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate of {place} is not valid yet, or this machine's clock is wrong")
            }
            other => format!("the certificate of {place} is of no use: {other:?}"),
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::DecryptError,
        ) => format!("{place} does not accept our certificate: see to sslcert and sslkey"),
        other => format!("TLS with {place} failed: {other}"),
    }
}
