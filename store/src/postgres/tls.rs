//! TLS to Postgres, with rustls.
//!
//! Certificate files are read each time a connection is opened, so a renewed certificate needs no restart.

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

use super::url::{SYSTEM_STORE, TlsOptions, Verification};
use crate::error::StoreError;

/// A TLS connector with the current contents of the certificate files.
pub(super) fn connector(options: &TlsOptions) -> Result<MakeRustlsConnect, StoreError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(options, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Corrupt(format!("TLS cannot be configured: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &options.client_certificate {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates("sslcert", cert)?;
            let unusable =
                |error| StoreError::Corrupt(format!("sslcert {} does not match sslkey: {error}", cert.display()));
            builder
                .with_client_auth_cert(chain, private_key(key)?)
                .map_err(unusable)?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Paths of the system's trust store in common distributions.
const SYSTEM_STORE_FILES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The file with the trusted authorities.
fn root_file(root: &Path) -> Result<PathBuf, StoreError> {
    if root.as_os_str() != SYSTEM_STORE {
        return Ok(root.to_owned());
    }
    let found = SYSTEM_STORE_FILES.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        let text = "sslrootcert=system, but the trust store of this system was not found: set sslrootcert to a file";
        StoreError::Corrupt(text.to_owned())
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
    // As in libpq: a key owned by root may be readable by its group.
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(unusable(format!(
            "is accessible to other users; run: chmod 600 {}",
            path.display()
        )));
    }
    // The parser's message is left out: it might quote the key.
    PrivateKeyDer::from_pem_file(path).map_err(|_| unusable("holds no private key in PEM".to_owned()))
}

fn verifier(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, StoreError> {
    let required = options.verification != Verification::None;
    let Some(root) = options.root.as_ref().filter(|_| required) else {
        return Ok(Arc::new(Lenient {
            inner: None,
            provider: Arc::clone(provider),
        }));
    };
    let unusable = |error: &dyn std::fmt::Display| {
        StoreError::Corrupt(format!("sslrootcert {} cannot be used: {error}", root.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("sslrootcert", &root_file(root)?)? {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| unusable(&error))?;
    if options.verification == Verification::HostName {
        return Ok(strict);
    }
    Ok(Arc::new(Lenient {
        inner: Some(strict),
        provider: Arc::clone(provider),
    }))
}

/// Verifies a certificate without its host name (`Some`), or not at all (`None`).
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
            // The host name is verified last, so everything else is valid.
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

/// Describes a TLS failure of a connection attempt; `None`: the failure has another cause.
pub(super) fn describe_error(error: &tokio_postgres::Error, options: &TlsOptions, address: &str) -> Option<String> {
    let mut source = error.source();
    let mut unsupported = false;
    while let Some(cause) = source {
        let io = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = io.map_or(cause, |inner| inner);
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(describe_tls_error(tls, options, address));
        }
        unsupported |= cause.to_string().contains("does not support TLS");
        source = cause.source();
    }
    (unsupported || error.to_string().contains("does not support TLS")).then(|| {
        format!(
            "{address} does not support TLS, but sslmode={} requires it: nothing was sent",
            options.mode
        )
    })
}

fn describe_tls_error(error: &rustls::Error, options: &TlsOptions, address: &str) -> String {
    let root = options
        .root
        .as_ref()
        .map_or_else(String::new, |root| format!(" {}", root.display()));
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!("the certificate of {address} is not issued by an authority in sslrootcert{root}")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the certificate of {address} is issued for another host name")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of {address} has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate of {address} is not valid yet, or the clock of this machine is wrong")
            }
            other => format!("the certificate of {address} is invalid: {other:?}"),
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::DecryptError,
        ) => format!("{address} rejects the client certificate: check sslcert and sslkey"),
        other => format!("TLS with {address} failed: {other}"),
    }
}
