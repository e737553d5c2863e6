//! The TLS handshake of a listener.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::rt::net::TcpStream;
use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::socket::{ClientCertificate, Raw, Socket};
use super::watch::Watch;

/// The configuration that new connections of a listener are accepted with.
#[derive(Debug)]
pub struct ServerTls {
    config: ArcSwap<ServerConfig>,
    /// How often the authorities of client certificates were replaced.
    authorities: AtomicU64,
}

impl ServerTls {
    /// The configuration of the start.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self {
            config: ArcSwap::new(config),
            authorities: AtomicU64::new(0),
        }
    }

    /// Replaces the configuration, for connections from now on.
    pub fn replace(&self, config: Arc<ServerConfig>, are_authorities_changed: bool) {
        self.config.store(config);
        if are_authorities_changed {
            self.authorities.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether a certificate is still valid: a connection may outlive it, or the authorities that verified it.
    pub fn accepts(&self, certificate: ClientCertificate, now: i64) -> bool {
        certificate.not_after >= now && certificate.authorities == self.authorities.load(Ordering::Acquire)
    }

    async fn accept(&self, socket: TcpStream, watch: &Rc<Watch>) -> io::Result<Socket> {
        // Before the configuration: authorities that are replaced meanwhile count as the earlier ones.
        let authorities = self.authorities.load(Ordering::Acquire);
        let raw = Raw::new(socket, Rc::clone(watch));
        let stream = TlsAcceptor::from(self.config.load_full()).accept(raw).await?;
        let mut accepted = Socket::tls(stream);
        if let Some(not_after) = accepted.client_certificate_expiry() {
            accepted.set_client_certificate(ClientCertificate { not_after, authorities });
        }
        Ok(accepted)
    }
}

/// Completes the handshake, if the listener has TLS.
pub async fn accept(socket: TcpStream, tls: Option<&Arc<ServerTls>>, watch: &Rc<Watch>) -> io::Result<Socket> {
    match tls {
        None => Ok(Socket::plain(socket)),
        Some(tls) => {
            watch.shakes_hands();
            let socket = tls.accept(socket, watch).await?;
            watch.is_connected(socket.is_http2());
            Ok(socket)
        }
    }
}
