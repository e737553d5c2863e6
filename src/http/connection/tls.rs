//! The TLS handshake of a listener.

use std::io;
use std::sync::Arc;

use actix_web::rt::net::TcpStream;
use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::socket::Socket;

/// What new connections of a listener are accepted with. It is replaced when the files behind it change.
pub type ServerTls = Arc<ArcSwap<ServerConfig>>;

/// Marks the requests of a client that presented a certificate, which was verified.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate;

/// Completes the handshake, if the listener has TLS.
pub async fn accept(socket: TcpStream, tls: Option<&ServerTls>) -> io::Result<Socket> {
    match tls {
        None => Ok(Socket::Plain(socket)),
        Some(tls) => {
            let stream = TlsAcceptor::from(tls.load_full()).accept(socket).await?;
            Ok(Socket::Tls(Box::new(stream)))
        }
    }
}
