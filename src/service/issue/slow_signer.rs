//! A bounded pool for signatures that would hold up a worker: one RSA signature takes as long as thirty requests.

use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::error::AskError;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

/// Signatures that wait or run, per thread: about a tenth of a second of 2048-bit signatures.
const QUEUE: usize = 256;

/// The pool. Threads come from tokio's blocking pool.
#[derive(Debug)]
pub struct SlowSigner {
    queued: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl SlowSigner {
    /// A pool of `threads` threads, at least one.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            queued: Arc::new(Semaphore::new(threads * QUEUE)),
            running: Arc::new(Semaphore::new(threads)),
        }
    }

    /// Runs `work` on a thread of the pool. [`AskError::Full`] at once when the queue is full, [`AskError::Deadline`] when the
    /// work did not end in time, [`AskError::Crashed`] when it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        deadline: Instant,
    ) -> Result<T, AskError> {
        let queued = Arc::clone(&self.queued)
            .try_acquire_owned()
            .map_err(|_| AskError::Full)?;
        let done = async {
            let running = Arc::clone(&self.running)
                .acquire_owned()
                .await
                .map_err(|_| AskError::Stopped)?;
            let work = move || {
                // Held until the work ends, also when its caller has given up.
                let _held = (queued, running);
                work()
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| AskError::Crashed)
        };
        timeout_at(deadline.into(), done)
            .await
            .unwrap_or(Err(AskError::Deadline))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_rejects_and_a_deadline_is_kept() {
        let signer = SlowSigner::new(1);
        let (release, blocked) = mpsc::channel::<()>();
        let soon = Instant::now() + Duration::from_millis(20);
        let stuck = signer.run(move || blocked.recv().is_ok(), soon);
        assert_eq!(stuck.await, Err(AskError::Deadline));
        // The work still runs, so the next caller waits for the thread.
        assert_eq!(signer.run(|| 1, soon).await, Err(AskError::Deadline));
        let all = signer.queued.available_permits() as u32;
        let held = signer.queued.acquire_many(all).await;
        let later = Instant::now() + Duration::from_mins(1);
        assert_eq!(signer.run(|| 1, later).await, Err(AskError::Full));
        drop((held, release));
        assert_eq!(signer.run(|| 1, later).await, Ok(1));
    }

    #[tokio::test]
    async fn a_panic_costs_its_caller_only() {
        let signer = SlowSigner::new(1);
        let later = Instant::now() + Duration::from_mins(1);
        let crashed = signer.run(|| panic!("on purpose"), later);
        assert_eq!(crashed.await, Err(AskError::Crashed));
        assert_eq!(signer.run(|| 2, later).await, Ok(2));
    }
}
