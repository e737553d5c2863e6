//! The HTTP client of a test, and its side of TLS.

use std::time::Duration;

use reqwest::{Certificate, Client, Identity};

use crate::authority::IssuedCertificate;

/// Generous: reached only if something is broken.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The certificates that the HTTP client trusts and presents.
#[derive(Debug, Clone, Default)]
pub struct ClientTls {
    /// The authority that it trusts, PEM.
    pub authority: Option<String>,
    /// Its certificate and key, PEM.
    pub identity: Option<String>,
    /// Whether it offers no HTTP/2.
    pub http1_only: bool,
}

impl ClientTls {
    /// An HTTP client.
    pub fn client(&self) -> Client {
        let pem = |text: &String| Certificate::from_pem(text.as_bytes()).expect("a certificate");
        let mut builder = Client::builder().timeout(TIMEOUT).no_proxy();
        builder = builder.tls_certs_only(self.authority.iter().map(pem));
        if let Some(identity) = &self.identity {
            builder = builder.identity(Identity::from_pem(identity.as_bytes()).expect("an identity"));
        }
        if self.http1_only {
            builder = builder.http1_only();
        }
        builder.build().expect("an HTTP client")
    }

    /// Presents a certificate.
    pub fn present(&mut self, issued: &IssuedCertificate) {
        self.identity = Some(format!("{}{}", issued.certificate, issued.key));
    }
}
