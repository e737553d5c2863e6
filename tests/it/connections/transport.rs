//! A connection with TLS or without, as bytes.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use oauth2_testkit::authority::Authority;
use oauth2_testkit::{Kind, Setup};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::setup;
use crate::tls::http2::trusting;

/// How a test connects to a server.
#[derive(Clone)]
pub enum Transport {
    Plain,
    Tls(Arc<ClientConfig>),
}

impl Transport {
    /// A server's setup, and the transport to its listeners.
    pub async fn plain() -> (Setup, Transport) {
        (setup(Kind::Sqlite).await, Transport::Plain)
    }

    /// Like [`Self::plain`], with TLS and HTTP/1.1 on both listeners.
    pub async fn tls() -> (Setup, Transport) {
        let authority = Authority::new("connection tests");
        let mut setup = setup(Kind::Sqlite).await;
        setup.serve_tls(&authority);
        setup.client_tls.http1_only = true;
        let mut config = trusting(&authority);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        (setup, Transport::Tls(Arc::new(config)))
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    /// A connection whose handshake begins with the first read or write.
    pub fn connect(&self, port: u16) -> Stream {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        match self {
            Transport::Plain => Stream::Plain(socket),
            Transport::Tls(config) => {
                let name = ServerName::try_from("127.0.0.1").unwrap();
                let session = ClientConnection::new(Arc::clone(config), name).unwrap();
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        }
    }
}

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => match stream.read(buffer) {
                // Closed without the alert of TLS, as a server does that cuts a connection.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
