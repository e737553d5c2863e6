//! Export of traces, metrics and logs over OTLP, as the configuration says.
//!
//! One thread with a runtime of its own (`telemetry`) makes every connection: requests and actors only append to bounded queues
//! ([`queue`]), so that a collector that is down, slow or rejects everything costs them nothing. Metrics are collected by the thread of
//! the SDK's periodic reader. [`connect`]: connections, with TLS; [`exporters`]: both protocols; [`logs`]: log lines as records.
//!
//! Nothing configured: no thread, no queue, no span.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use oauth2_actors::metrics::Exporter;
use oauth2_actors::metrics::catalogue::process;
use oauth2_actors::runtime::spans::{self, Ids, Tracing};
use opentelemetry::KeyValue;
use opentelemetry::logs::LoggerProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogExporter, SdkLoggerProvider};
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanExporter};
use tokio::runtime::Runtime;

pub(super) mod connect;
mod exporters;
pub(super) mod logs;
mod queue;

use exporters::Exporters;
use logs::LogExport;
use queue::{Queue, Queued};

use crate::config::Telemetry as Options;
use crate::config::telemetry::{Root, Sampling};
use crate::failure::Failure;

/// Name of the instrumentation scope.
const SCOPE: &str = "oauth2_server";

/// How long the end of the process waits for the last export.
const FLUSH_LIMIT: Duration = Duration::from_millis(1500);

/// The exporters of a process.
pub(super) struct Telemetry {
    runtime: Option<Runtime>,
    resource: Resource,
    reader: Option<PeriodicReader<MetricExporter>>,
    spans: Option<Arc<Queue<opentelemetry_sdk::trace::SpanData>>>,
    logs: Option<Arc<Queue<Queued>>>,
    /// Keeps its queue reachable for spans that end late.
    traces: Option<SdkTracerProvider>,
    log_export: Option<LogExport>,
}

impl Telemetry {
    /// Connects what is configured; no collector is asked yet.
    pub(super) fn start(options: &Options) -> Result<Self, Failure> {
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("telemetry.sdk.language", "rust"))
            .with_attribute(KeyValue::new("telemetry.sdk.name", "opentelemetry"))
            .with_attributes(
                options
                    .resource
                    .iter()
                    .map(|(name, value)| KeyValue::new(name.clone(), value.clone())),
            )
            .build();
        let mut telemetry = Self {
            runtime: None,
            resource,
            reader: None,
            spans: None,
            logs: None,
            traces: None,
            log_export: None,
        };
        if options.is_on() {
            telemetry.connect(options)?;
        }
        Ok(telemetry)
    }

    fn connect(&mut self, options: &Options) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::Environment(format!("cannot start the thread that exports telemetry: {error}"))
            })?;
        let exporters = Exporters::new(options, runtime.handle().clone())?;
        let batching = options.batching;
        if let Some(url) = &options.traces {
            let mut exporter = exporters.spans(url)?;
            exporter.set_resource(&self.resource);
            let queue = Queue::new("spans", batching);
            let exporter = Arc::new(exporter);
            runtime.spawn(Arc::clone(&queue).run(move |batch| {
                let exporter = Arc::clone(&exporter);
                async move { exporter.export(batch).await }
            }));
            let provider = SdkTracerProvider::builder()
                .with_span_processor(queue::Spans(Arc::clone(&queue)))
                .with_sampler(Sampler::AlwaysOn)
                .with_id_generator(Ids::default())
                .with_max_links_per_span(1024)
                .with_resource(self.resource.clone())
                .build();
            spans::enable(Tracing {
                tracer: provider.tracer(SCOPE),
                sampler: sampler(options.sampling),
            });
            (self.spans, self.traces) = (Some(queue), Some(provider));
        }
        if let Some(url) = &options.logs {
            let mut exporter = exporters.logs(url)?;
            exporter.set_resource(&self.resource);
            let queue = Queue::new("log records", batching);
            let exporter = Arc::new(exporter);
            runtime.spawn(Arc::clone(&queue).run(move |batch: Vec<Queued>| {
                let exporter = Arc::clone(&exporter);
                async move { queue::export_logs(&*exporter, &batch).await }
            }));
            let provider = SdkLoggerProvider::builder()
                .with_log_processor(queue::Logs(Arc::clone(&queue)))
                .with_resource(self.resource.clone())
                .build();
            self.log_export = Some(LogExport::new(provider.logger(SCOPE)));
            self.logs = Some(queue);
        }
        if let Some(url) = &options.metrics {
            let exporter = exporters.metrics(url)?;
            self.reader = Some(
                PeriodicReader::builder(exporter)
                    .with_interval(options.metric_interval)
                    .build(),
            );
        }
        self.runtime = Some(runtime);
        Ok(())
    }

    /// The layer that exports log lines. `None` if they are not exported.
    pub(super) fn log_export(&mut self) -> Option<LogExport> {
        self.log_export.take()
    }

    /// The registry of metrics, which are exported, too, if that is configured.
    pub(super) fn metrics(&self, is_scraped: bool) -> Result<Exporter, Failure> {
        let exporter = Exporter::with(is_scraped, |provider| {
            let provider = provider.with_resource(self.resource.clone());
            match &self.reader {
                Some(reader) => provider.with_reader(reader.clone()),
                None => provider,
            }
        });
        let exporter = exporter.map_err(Failure::environment)?;
        let (spans, logs) = (self.spans.clone(), self.logs.clone());
        process::SPANS_DROPPED.observe(&exporter.meter(), move || {
            spans.as_ref().map_or(0, |queue| queue.dropped()) as f64
        });
        process::LOG_RECORDS_DROPPED.observe(&exporter.meter(), move || {
            logs.as_ref().map_or(0, |queue| queue.dropped()) as f64
        });
        Ok(exporter)
    }

    /// Logs what is exported where.
    pub(super) fn log_start(options: &Options) {
        if options.is_on() {
            let shown = |url: &Option<String>| url.clone().unwrap_or_else(|| "none".to_owned());
            tracing::info!(
                traces = shown(&options.traces),
                metrics = shown(&options.metrics),
                logs = shown(&options.logs),
                protocol = options.protocol.as_str(),
                "exporting telemetry"
            );
        }
    }

    /// Exports what waits, for [`FLUSH_LIMIT`] at most: a collector that does not answer must not delay the end of the process.
    pub(super) fn stop(self, metrics: &Exporter) {
        let Some(runtime) = self.runtime else { return };
        let deadline = Instant::now() + FLUSH_LIMIT;
        let (done, collected) = mpsc::channel();
        if self.reader.is_some() {
            let metrics = metrics.clone();
            // Not joined: it may wait for the collector longer than this process does.
            std::thread::spawn(move || {
                metrics.flush();
                let _ = done.send(());
            });
        } else {
            drop(done);
        }
        runtime.block_on(async {
            let flush = async {
                if let Some(queue) = &self.spans {
                    queue.stop().await;
                }
                if let Some(queue) = &self.logs {
                    queue.stop().await;
                }
            };
            let _ = tokio::time::timeout_at(deadline.into(), flush).await;
        });
        let _ = collected.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        runtime.shutdown_background();
    }
}

fn sampler(sampling: Sampling) -> Sampler {
    let root = match sampling.root {
        Root::AlwaysOn => Sampler::AlwaysOn,
        Root::AlwaysOff => Sampler::AlwaysOff,
        Root::Ratio(ratio) => Sampler::TraceIdRatioBased(ratio),
    };
    if sampling.parent_based {
        Sampler::ParentBased(Box::new(root))
    } else {
        root
    }
}
