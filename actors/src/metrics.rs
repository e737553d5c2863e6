//! The metrics actor.
//!
//! - Owns: the registry, the observable gauges and the text of `/metrics` ([`Scrape`]).
//! - Source of truth: [`Instruments`] and the registry, in this process.
//! - Published: [`Instruments`], to which handlers add without a mailbox.
//! - On restart: nothing is lost. The registry and the instruments belong to the actor's factory, so counters never decrease.
//! - When full: the scrape fails at once.

use std::fmt;
use std::sync::{Arc, Mutex};

use actix::prelude::*;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use prometheus::{Encoder, Registry, TextEncoder};

use crate::runtime::mailbox::{Envelope, Request};

mod instruments;
mod labels;
mod operators;
mod process;

pub use instruments::{Instruments, Proof, SECONDS, watch_mailboxes};
pub use labels::{ByLabel, Label, bind};
pub use operators::OperatorRejection;

/// Prefix of every name.
const NAMESPACE: &str = "oauth2_server";

/// Renders `/metrics`, in the Prometheus exposition format 0.0.4.
#[derive(Debug)]
pub struct Scrape;

impl Request for Scrape {
    type Reply = String;
}

/// The registry, shared by all incarnations of the actor.
#[derive(Clone)]
pub struct Exporter {
    registry: Registry,
    provider: SdkMeterProvider,
    /// The text of the last scrape, in case the next one fails.
    last: Arc<Mutex<String>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// A registry that exports OpenTelemetry instruments. Fails if the exporter cannot be built.
    pub fn new() -> Result<Self, String> {
        Self::with(|provider| provider)
    }

    /// As [`Self::new`], after `extend` has added further readers of the same instruments.
    pub fn with(extend: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder) -> Result<Self, String> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .with_namespace(NAMESPACE)
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| error.to_string())?;
        let provider = extend(SdkMeterProvider::builder().with_reader(exporter)).build();
        let exporter = Self {
            registry,
            provider,
            last: Arc::default(),
        };
        process::register(&exporter.meter());
        Ok(exporter)
    }

    /// Exports to further readers now, and waits for that.
    pub fn flush(&self) {
        // What failed is dropped: the process ends.
        let _ = self.provider.force_flush();
    }

    /// The meter that instruments are created with.
    pub fn meter(&self) -> opentelemetry::metrics::Meter {
        self.provider.meter("oauth2_server")
    }

    /// Registers a gauge whose value is read at each scrape.
    pub fn gauge(&self, name: &'static str, help: &'static str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        let _ = self
            .meter()
            .f64_observable_gauge(name)
            .with_description(help)
            .with_callback(move |observer| observer.observe(value(), &[]))
            .build();
    }

    /// Registers a counter whose value is read at each scrape.
    pub fn counter(&self, name: &'static str, help: &'static str, value: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self
            .meter()
            .u64_observable_counter(name)
            .with_description(help)
            .with_callback(move |observer| observer.observe(value(), &[]))
            .build();
    }

    fn scrape(&self) -> String {
        let mut text = Vec::with_capacity(64 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be rendered; the last scrape is repeated");
            return self.last.lock().map(|last| last.clone()).unwrap_or_default();
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Ok(mut last) = self.last.lock() {
            last.clone_from(&text);
        }
        text
    }
}

/// The actor.
#[derive(Debug)]
pub struct Metrics {
    exporter: Exporter,
}

impl Metrics {
    /// An actor over the registry of earlier incarnations.
    pub fn new(exporter: Exporter) -> Self {
        Self { exporter }
    }
}

impl Actor for Metrics {
    type Context = Context<Self>;
}

impl Handler<Envelope<Scrape>> for Metrics {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Scrape>, _: &mut Context<Self>) {
        envelope.reply_with(|Scrape| self.exporter.scrape());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported() -> (Exporter, Instruments) {
        let exporter = Exporter::new().unwrap();
        let instruments = Instruments::new(&exporter.meter(), "sqlite");
        (exporter, instruments)
    }

    #[test]
    fn every_series_is_exported_at_zero_from_the_start() {
        let (exporter, _instruments) = exported();
        let text = exporter.scrape();
        let wanted = [
            r#"oauth_token_issued_total{format="paseto",grant_type="client_credentials"} 0"#,
            r#"oauth_token_revoked_total{kind="issuer"} 0"#,
            r#"oauth_introspections_total{active="true"} 0"#,
            r#"verified_token_cache_total{result="hit"} 0"#,
            r#"auth_failures_total{decision="over"} 0"#,
            r#"token_commit_batch_size_count{store="sqlite"} 0"#,
            r#"token_commit_duration_seconds_count{store="sqlite"} 0"#,
        ];
        for series in wanted {
            assert!(
                text.contains(&format!("oauth2_server_{series}")),
                "{series} is missing in\n{text}"
            );
        }
        assert!(
            text.lines()
                .any(|line| line.starts_with("oauth2_server_process_resident_memory_bytes ")),
            "{text}"
        );
    }

    #[test]
    fn counts_are_exported() {
        let (exporter, instruments) = exported();
        instruments.auth_failure(true);
        let text = exporter.scrape();
        assert!(
            text.contains(r#"oauth2_server_auth_failures_total{decision="over"} 1"#),
            "{text}"
        );
    }
}
