//! Connections to other servers, with TLS for `https`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::codegen::http::Uri;

use crate::failure::Failure;

/// Paths of the system's trust store in common distributions.
const SYSTEM_STORE: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// A connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How servers are reached.
#[derive(Clone)]
pub(super) struct Connector {
    /// `None`: none is reached by `https`.
    tls: Option<TlsConnector>,
}

impl Connector {
    /// A connector. `is_tls`: whether any server is reached by `https`; `certificate`: the authorities that verify it, if not the
    /// authorities of the system, and `variable` that names the file. `protocol`: the name for the TLS handshake.
    pub(super) fn new(
        is_tls: bool,
        certificate: Option<&Path>,
        variable: &str,
        protocol: &[u8],
    ) -> Result<Self, Failure> {
        if !is_tls {
            return Ok(Self { tls: None });
        }
        let roots = roots(certificate, variable).map_err(Failure::Environment)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Failure::environment)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self {
            tls: Some(TlsConnector::from(Arc::new(config))),
        })
    }

    /// Connects to the host of a URL.
    pub(super) async fn connect(&self, url: &Uri) -> io::Result<TokioIo<Box<dyn Stream>>> {
        let is_tls = url.scheme_str() == Some("https");
        let host = url.host().ok_or(io::ErrorKind::InvalidInput)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(tls) if is_tls => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                Box::new(tls.connect(name, stream).await?)
            }
            None if is_tls => return Err(io::Error::other("no authorities for TLS were loaded")),
            _ => Box::new(stream),
        };
        Ok(TokioIo::new(stream))
    }
}

/// The authorities in a PEM file, or those of the system.
pub(super) fn roots(certificate: Option<&Path>, variable: &str) -> Result<RootCertStore, String> {
    let system = || SYSTEM_STORE.iter().map(Path::new).find(|path| path.exists());
    let path = certificate
        .or_else(system)
        .ok_or_else(|| format!("the trust store of this system was not found: set {variable} to a PEM file"))?;
    let unusable = |why: &dyn std::fmt::Display| format!("{variable}: {} {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| unusable(&format_args!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(&format_args!("is not PEM: {error}")))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(&format_args!("cannot be used: {error}")))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"holds no certificate"));
    }
    Ok(roots)
}
