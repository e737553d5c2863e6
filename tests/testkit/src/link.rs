//! The network between a server and what it depends on: a TCP proxy on loopback that delays, holds back or cuts what passes through it.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// Chunks that are on their way in one direction at most.
const IN_FLIGHT: usize = 1024;

/// How a link treats the connections through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Data arrives this much later, in each direction.
    Delayed(Duration),
    /// Connections are accepted and stay open, but nothing arrives.
    Silent,
    /// Requests arrive, and replies do not.
    Unanswered,
    /// Connections are closed, and so are new ones.
    Cut,
}

/// A link to a port of this machine. It ends with the value.
#[derive(Debug)]
pub struct Link {
    port: u16,
    condition: watch::Sender<Condition>,
    accepting: AbortHandle,
}

impl Link {
    /// A link without delay to a port.
    pub async fn to(upstream: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the address").port();
        let (condition, watched) = watch::channel(Condition::Delayed(Duration::ZERO));
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, upstream, watched.clone()));
            }
        });
        Link {
            port,
            condition,
            accepting: accepting.abort_handle(),
        }
    }

    /// The port that leads to the other end.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the condition of all connections, including open ones.
    pub fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Condition::Cut);
    }
}

async fn pass(near: TcpStream, upstream: u16, condition: watch::Receiver<Condition>) {
    let mut until_cut = condition.clone();
    let passing = async {
        let Ok(far) = TcpStream::connect(("127.0.0.1", upstream)).await else {
            return;
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        // When either side closes, both do.
        tokio::select! {
            () = pump(from_near, to_far, condition.clone(), &[Condition::Silent]) => {}
            () = pump(from_far, to_near, condition, &[Condition::Silent, Condition::Unanswered]) => {}
        }
    };
    tokio::select! {
        () = passing => {}
        _ = until_cut.wait_for(|condition| *condition == Condition::Cut) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut condition: watch::Receiver<Condition>,
    held_back: &[Condition],
) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    let arriving = condition.clone();
    let reading = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length) = from.read(&mut buffer).await {
            let delay = match *arriving.borrow() {
                Condition::Delayed(delay) => delay,
                _ => Duration::ZERO,
            };
            let chunk = (Instant::now() + delay, buffer[..length].to_vec());
            if length == 0 || sender.send(chunk).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            let passes = condition.wait_for(|condition| !held_back.contains(condition));
            let is_over = passes.await.is_err();
            if is_over || to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
