//! A bounded queue of spans or log records, and its export in batches.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::Notify;

use crate::config::telemetry::Batching;

/// Time between log lines about a collector that accepts nothing.
const REPORT_EVERY: Duration = Duration::from_mins(1);

/// Items that wait for their export.
pub(super) struct Queue<T> {
    what: &'static str,
    items: Mutex<Vec<T>>,
    batching: Batching,
    /// A batch is full, or the queue stops.
    wake: Notify,
    stopping: AtomicBool,
    stopped: Notify,
    dropped: AtomicU64,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Queue<T> {
    /// An empty queue.
    pub(super) fn new(what: &'static str, batching: Batching) -> Arc<Self> {
        Arc::new(Self {
            what,
            items: Mutex::default(),
            batching,
            wake: Notify::new(),
            stopping: AtomicBool::new(false),
            stopped: Notify::new(),
            dropped: AtomicU64::new(0),
        })
    }

    /// Appends an item, or drops it if the queue is full. Never waits for an export.
    pub(super) fn push(&self, item: T) {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if items.len() >= self.batching.queue {
            drop(items);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        items.push(item);
        // Once per batch: the export takes all that is there.
        if items.len() == self.batching.batch {
            self.wake.notify_one();
        }
    }

    /// Items that were not exported.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn take(&self) -> Vec<T> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let count = items.len().min(self.batching.batch);
        items.drain(..count).collect()
    }

    /// Exports batches until the queue stops.
    pub(super) async fn run<F: Future<Output = OTelSdkResult>>(self: Arc<Self>, export: impl Fn(Vec<T>) -> F) {
        let mut reported: Option<Instant> = None;
        loop {
            let _ = tokio::time::timeout(self.batching.delay, self.wake.notified()).await;
            let is_last = self.stopping.load(Ordering::SeqCst);
            loop {
                let batch = self.take();
                if batch.is_empty() {
                    break;
                }
                let count = batch.len();
                let exported = tokio::time::timeout(self.batching.timeout, export(batch)).await;
                let why = match exported {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "it did not answer in time".to_owned(),
                };
                self.dropped.fetch_add(count as u64, Ordering::Relaxed);
                if reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                    reported = Some(Instant::now());
                    tracing::warn!(
                        what = self.what,
                        count,
                        why,
                        "the collector did not accept telemetry; it is dropped"
                    );
                }
            }
            if is_last {
                self.stopped.notify_one();
                return;
            }
        }
    }

    /// Exports what waits, then stops.
    pub(super) async fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake.notify_one();
        self.stopped.notified().await;
    }
}

/// Queues spans as they end.
#[derive(Debug)]
pub(super) struct Spans(pub(super) Arc<Queue<SpanData>>);

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A log record in the queue.
pub(super) type Queued = Box<(SdkLogRecord, InstrumentationScope)>;

/// Queues log records.
#[derive(Debug)]
pub(super) struct Logs(pub(super) Arc<Queue<Queued>>);

impl LogProcessor for Logs {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.0.push(Box::new((record.clone(), scope.clone())));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Exports log records.
pub(super) async fn export_logs(exporter: &impl LogExporter, batch: &[Queued]) -> OTelSdkResult {
    let borrowed: Vec<_> = batch.iter().map(|queued| (&queued.0, &queued.1)).collect();
    exporter.export(LogBatch::new(&borrowed)).await
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;

    const BATCHING: Batching = Batching {
        queue: 10,
        batch: 4,
        delay: Duration::from_hours(1),
        timeout: Duration::from_millis(20),
    };

    #[test]
    fn a_full_queue_drops_and_counts() {
        let queue = Queue::new("numbers", BATCHING);
        (0..25).for_each(|number| queue.push(number));
        assert_eq!((queue.dropped(), queue.take()), (15, vec![0, 1, 2, 3]));
    }

    #[tokio::test]
    async fn what_waits_is_exported_before_the_stop() {
        let queue = Queue::new("numbers", BATCHING);
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        let running = tokio::spawn(Arc::clone(&queue).run(move |batch| {
            let _ = sender.send(batch);
            async { Ok(()) }
        }));
        (0..6).for_each(|number| queue.push(number));
        queue.stop().await;
        running.await.unwrap();
        let mut all = Vec::new();
        received.recv_many(&mut all, 10).await;
        assert_eq!(all.concat(), [0, 1, 2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn failed_exports_are_counted() {
        let queue = Queue::new("numbers", BATCHING);
        let stalls = |batch: Vec<i32>| async move {
            if batch.contains(&0) {
                return Err(OTelSdkError::AlreadyShutdown);
            }
            std::future::pending().await
        };
        let running = tokio::spawn(Arc::clone(&queue).run(stalls));
        (0..6).for_each(|number| queue.push(number));
        queue.stop().await;
        running.await.unwrap();
        assert_eq!(queue.dropped(), 6);
    }
}
