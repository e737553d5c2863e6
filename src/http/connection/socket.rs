//! The socket of a connection, with or without TLS.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use x509_cert::der::Decode;

use super::watch::Watch;

/// The protocol name of HTTP/2 in a TLS handshake (RFC 9113 section 3.2).
const HTTP_2: &[u8] = b"h2";

/// The certificate of a client, on each request of its connection. The handshake has verified it.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate {
    /// When it expires, Unix seconds.
    pub not_after: i64,
    /// How often the authorities had been replaced when they verified it.
    pub authorities: u64,
}

/// A socket whose handshake, if it has one, is complete.
#[derive(Debug)]
pub struct Socket {
    transport: Transport,
    client_certificate: Option<ClientCertificate>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<Raw>>),
}

impl Socket {
    /// Without TLS.
    pub fn plain(socket: TcpStream) -> Self {
        Self {
            transport: Transport::Plain(socket),
            client_certificate: None,
        }
    }

    /// With TLS.
    pub fn tls(stream: TlsStream<Raw>) -> Self {
        Self {
            transport: Transport::Tls(Box::new(stream)),
            client_certificate: None,
        }
    }

    /// Whether the client chose HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(&self.transport, Transport::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(HTTP_2))
    }

    /// When the certificate of the client expires, Unix seconds; `None` if it presented none.
    pub fn client_certificate_expiry(&self) -> Option<i64> {
        let Transport::Tls(stream) = &self.transport else {
            return None;
        };
        let leaf = stream.get_ref().1.peer_certificates()?.first()?;
        let certificate = x509_cert::Certificate::from_der(leaf).ok()?;
        let not_after = certificate.tbs_certificate.validity.not_after.to_unix_duration();
        i64::try_from(not_after.as_secs()).ok()
    }

    /// Remembers the certificate of the client.
    pub fn set_client_certificate(&mut self, certificate: ClientCertificate) {
        self.client_certificate = Some(certificate);
    }

    /// The certificate of the client.
    pub fn client_certificate(&self) -> Option<ClientCertificate> {
        self.client_certificate
    }

    /// Discards unsent bytes when the socket is closed.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        match &self.transport {
            Transport::Plain(socket) => socket.set_zero_linger(),
            Transport::Tls(stream) => stream.get_ref().0.socket.set_zero_linger(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(socket) => Pin::new(socket).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// The socket beneath TLS. It reports progress while TLS writes what it has buffered.
#[derive(Debug)]
pub struct Raw {
    socket: TcpStream,
    watch: Rc<Watch>,
}

impl Raw {
    /// The socket of a watched connection.
    pub fn new(socket: TcpStream, watch: Rc<Watch>) -> Self {
        Self { socket, watch }
    }
}

impl AsyncRead for Raw {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Raw {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        if written.is_ready() {
            this.watch.progressed();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
