//! The socket of a connection.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use super::watch::Watch;

/// A socket that reports reads and writes to the watch of its connection, and hides offers to upgrade.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    framing: Framing,
    /// The beginning of a line of a head that is given to the reader when more of it is known.
    held: Vec<u8>,
    watch: Rc<Watch>,
}

impl Stream {
    /// The stream of a connection.
    pub fn new(socket: TcpStream, watch: Rc<Watch>) -> Self {
        Self {
            socket,
            framing: Framing::default(),
            held: Vec::new(),
            watch,
        }
    }

    /// Follows the bytes of `buffer` from `begin` on. Returns whether any remain for the reader.
    fn follow(&mut self, buffer: &mut ReadBuf<'_>, begin: usize) -> bool {
        let bytes = &mut buffer.filled_mut()[begin..];
        let passing = bytes.len() - self.framing.follow(bytes);
        self.held.clear();
        self.held.extend_from_slice(&bytes[passing..]);
        buffer.set_filled(begin + passing);
        self.watch.read(self.framing.reading(), self.framing.passed());
        passing > 0
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The responses to more requests would pile up in memory. The task is woken when the socket takes bytes again.
        if this.watch.is_blocked() {
            return Poll::Pending;
        }
        let begin = buffer.filled().len();
        if buffer.remaining() <= this.held.len() {
            // Far smaller than any buffer of the reader.
            this.framing.give_up();
            let some = this.held.drain(..buffer.remaining());
            buffer.put_slice(some.as_slice());
            return Poll::Ready(Ok(()));
        }
        loop {
            buffer.put_slice(&this.held);
            let already = buffer.filled().len();
            let read = Pin::new(&mut this.socket).poll_read(context, buffer);
            if !matches!(read, Poll::Ready(Ok(()))) || buffer.filled().len() == already {
                // The end of the stream within a head: the held bytes are discarded.
                buffer.set_filled(begin);
                return read;
            }
            if this.follow(buffer, begin) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        match written {
            Poll::Ready(_) => this.watch.wrote(),
            Poll::Pending => this.watch.blocked(),
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.socket).poll_flush(context))?;
        if this.watch.is_blocked() {
            // Reading goes on.
            context.waker().wake_by_ref();
        }
        this.watch.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.watch.is_blocked() {
            // The system need not keep the bytes that the client does not take.
            let _ = self.socket.set_zero_linger();
        }
    }
}
