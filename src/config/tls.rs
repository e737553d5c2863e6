//! TLS of the two listeners, for a server without a proxy in front of it.

use std::path::{Path, PathBuf};

use super::key::Fallback::Derived;
use super::key::{Key, key};
use super::parse::file_path;
use super::values::Values;

const CERTIFICATE: Key = key(
    "OAUTH2_SERVER_TLS_CERTIFICATE_FILE",
    "server.tls_certificate_file",
    Derived("none"),
    "PEM file with the certificate of the public listener, then its issuers' certificates. With it the listener serves only TLS 1.2 and 1.3, with \
     HTTP/1.1 and HTTP/2. The files of this section are read again when they change; no restart is needed.",
);
const PRIVATE_KEY: Key = key(
    "OAUTH2_SERVER_TLS_KEY_FILE",
    "server.tls_key_file",
    Derived("none"),
    "PEM file with the private key of that certificate.",
);
const MANAGEMENT_CERTIFICATE: Key = key(
    "OAUTH2_MANAGEMENT_TLS_CERTIFICATE_FILE",
    "management.tls_certificate_file",
    Derived("none"),
    "The same for the management listener.",
);
const MANAGEMENT_PRIVATE_KEY: Key = key(
    "OAUTH2_MANAGEMENT_TLS_KEY_FILE",
    "management.tls_key_file",
    Derived("none"),
    "PEM file with the private key of that certificate.",
);
const MANAGEMENT_CLIENT_CA: Key = key(
    "OAUTH2_MANAGEMENT_TLS_CLIENT_CA_FILE",
    "management.tls_client_ca_file",
    Derived("none"),
    "PEM file with the authorities whose client certificates the management listener accepts. With it, every request except to \
     `/ready` and `/health` needs such a certificate.",
);

pub(super) const KEYS: &[Key] = &[
    CERTIFICATE,
    PRIVATE_KEY,
    MANAGEMENT_CERTIFICATE,
    MANAGEMENT_PRIVATE_KEY,
    MANAGEMENT_CLIENT_CA,
];

/// The files of a listener that serves TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its issuers' certificates.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// Authorities of client certificates.
    pub client_ca: Option<PathBuf>,
}

/// TLS of both listeners; `None` where a listener serves plain HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Of the public listener.
    pub public: Option<TlsFiles>,
    /// Of the management listener.
    pub management: Option<TlsFiles>,
}

impl Tls {
    /// Whether the management listener asks for client certificates.
    pub fn asks_for_client_certificates(&self) -> bool {
        self.management.as_ref().is_some_and(|files| files.client_ca.is_some())
    }

    pub(super) fn read(values: &mut Values, directory: &Path) -> Option<Self> {
        let public = pair(values, &CERTIFICATE, &PRIVATE_KEY, directory);
        let mut management = pair(values, &MANAGEMENT_CERTIFICATE, &MANAGEMENT_PRIVATE_KEY, directory);
        let client_ca = values.optional(&MANAGEMENT_CLIENT_CA, |text| file_path(text, directory))?;
        match &mut management {
            Some(files) => files.client_ca = client_ca,
            None if client_ca.is_some() => {
                let problem = format!(
                    "needs {}: only a listener with TLS asks for certificates",
                    MANAGEMENT_CERTIFICATE.env
                );
                values.fail(&MANAGEMENT_CLIENT_CA, &problem);
            }
            None => {}
        }
        Some(Self { public, management })
    }
}

/// A certificate and its key: both or neither. `None` as well if either is invalid, which is recorded.
fn pair(
    values: &mut Values,
    certificate: &'static Key,
    private_key: &'static Key,
    directory: &Path,
) -> Option<TlsFiles> {
    let read_certificate = values.optional(certificate, |text| file_path(text, directory));
    let read_key = values.optional(private_key, |text| file_path(text, directory));
    match (read_certificate?, read_key?) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            values.add_secret_file(private_key, None, key.clone());
            Some(TlsFiles {
                certificate,
                private_key: key,
                client_ca: None,
            })
        }
        (Some(_), None) => {
            values.fail(certificate, &format!("needs {}", private_key.env));
            None
        }
        (None, Some(_)) => {
            values.fail(private_key, &format!("needs {}", certificate.env));
            None
        }
    }
}
