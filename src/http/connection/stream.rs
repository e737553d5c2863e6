//! The byte stream beneath HTTP/1.1 or HTTP/2.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use super::pipeline::{LONGEST_READ, Pipeline};
use super::socket::{ClientCertificate, Socket};
use super::watch::Watch;

/// A socket that reports writes to the watch of its connection and, of HTTP/1.1, reads; there it hides offers to upgrade.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// `None`: HTTP/2, whose requests are followed above the stream.
    framing: Option<Framing>,
    /// The beginning of a line of a head that is given to the reader when more of it is known.
    held: Vec<u8>,
    pipeline: Rc<Pipeline>,
    watch: Rc<Watch>,
}

impl Stream {
    /// The stream of a connection.
    pub fn new(socket: Socket, watch: Rc<Watch>) -> Self {
        Self {
            framing: (!socket.is_http2()).then(Framing::default),
            socket,
            held: Vec::new(),
            pipeline: Pipeline::new(Rc::clone(&watch)),
            watch,
        }
    }

    /// The certificate of the client.
    pub fn client_certificate(&self) -> Option<ClientCertificate> {
        self.socket.client_certificate()
    }

    /// How far requests are read ahead.
    pub fn pipeline(&self) -> Rc<Pipeline> {
        Rc::clone(&self.pipeline)
    }

    /// Follows the bytes of `buffer` from `begin` on. Returns whether any remain for the reader.
    fn follow(
        (framing, held, pipeline, watch): (&mut Framing, &mut Vec<u8>, &Pipeline, &Watch),
        buffer: &mut ReadBuf<'_>,
        begin: usize,
    ) -> bool {
        let heads = framing.heads();
        let bytes = &mut buffer.filled_mut()[begin..];
        let passing = bytes.len() - framing.follow(bytes);
        held.clear();
        held.extend_from_slice(&bytes[passing..]);
        buffer.set_filled(begin + passing);
        pipeline.gave(passing, framing.heads().wrapping_sub(heads));
        watch.read(framing.reading(), framing.passed());
        passing > 0
    }
}

/// Reads at most [`LONGEST_READ`] bytes.
fn read_some(socket: &mut Socket, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    if buffer.remaining() <= LONGEST_READ {
        return Pin::new(socket).poll_read(context, buffer);
    }
    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(LONGEST_READ));
    ready!(Pin::new(socket).poll_read(context, &mut part))?;
    let read = part.filled().len();
    buffer.advance(read);
    Poll::Ready(Ok(()))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(framing) = &mut this.framing else {
            return Pin::new(&mut this.socket).poll_read(context, buffer);
        };
        // The responses to more requests would pile up in memory. The task is woken when the socket takes bytes again.
        if this.watch.is_blocked() || this.pipeline.must_wait(framing.is_known()) {
            return Poll::Pending;
        }
        let begin = buffer.filled().len();
        if buffer.remaining() <= this.held.len() {
            // Far smaller than any buffer of the reader.
            framing.give_up();
            let some = this.held.drain(..buffer.remaining());
            buffer.put_slice(some.as_slice());
            return Poll::Ready(Ok(()));
        }
        loop {
            buffer.put_slice(&this.held);
            let already = buffer.filled().len();
            let read = read_some(&mut this.socket, context, buffer);
            if !matches!(read, Poll::Ready(Ok(()))) || buffer.filled().len() == already {
                // The end of the stream within a head: the held bytes are discarded.
                buffer.set_filled(begin);
                return read;
            }
            let followed = (&mut *framing, &mut this.held, &*this.pipeline, &*this.watch);
            if Self::follow(followed, buffer, begin) {
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
        let flushed = Pin::new(&mut this.socket).poll_flush(context);
        if flushed.is_pending() {
            // TLS has a buffer of its own, which takes what the socket does not.
            this.watch.blocked();
        }
        ready!(flushed)?;
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
