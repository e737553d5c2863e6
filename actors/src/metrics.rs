//! The metrics actor.
//!
//! - Owns: the registry, the slow gauges and the text of `/metrics` ([`Scrape`]).
//! - Published: [`Instruments`], which handlers add to without a mailbox.
//! - On restart: nothing is lost. The registry and the instruments belong to the actor's factory, so counters never go back.
//! - When full: the scrape is refused.

use std::fmt;
use std::sync::{Arc, Mutex};

use actix::prelude::*;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::runtime::mailbox::{Envelope, Request};

mod instruments;
mod process;

pub use instruments::{Instruments, Proof, Watched, watch_mailboxes};

/// Prefix of every name.
const NAMESPACE: &str = "oauth2_server";

/// The text of `/metrics`, in the Prometheus exposition format 0.0.4.
#[derive(Debug)]
pub struct Scrape;

impl Request for Scrape {
    type Reply = String;
}

/// What all lives of the actor share.
#[derive(Clone)]
pub struct Exporter {
    registry: Registry,
    provider: SdkMeterProvider,
    /// What the last scrape came to, in case a callback fails now.
    last: Arc<Mutex<String>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// A registry that OpenTelemetry instruments are exported through.
    pub fn new() -> Result<Self, String> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .with_namespace(NAMESPACE)
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| error.to_string())?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let exporter = Self {
            registry,
            provider,
            last: Arc::default(),
        };
        process::register(&exporter.meter());
        Ok(exporter)
    }

    /// What instruments are made with.
    pub fn meter(&self) -> opentelemetry::metrics::Meter {
        self.provider.meter("oauth2_server")
    }

    /// A gauge whose value is asked for at each scrape.
    pub fn gauge(&self, name: &'static str, help: &'static str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        let _ = self
            .meter()
            .f64_observable_gauge(name)
            .with_description(help)
            .with_callback(move |observer| observer.observe(value(), &[]))
            .build();
    }

    /// A counter whose value is asked for at each scrape.
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
            tracing::warn!(%error, "metrics could not be printed");
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
    /// An actor over what earlier ones counted.
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
        envelope.answer(|Scrape| self.exporter.scrape());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn exported() -> (Exporter, Instruments) {
        let exporter = Exporter::new().unwrap();
        let endpoints = &[("POST", "/oauth/token")];
        let instruments = Instruments::new(&exporter.meter(), endpoints, &["invalid_client"], &["full"], "sqlite");
        (exporter, instruments)
    }

    #[test]
    fn every_series_is_there_at_zero_from_the_start() {
        let (exporter, _instruments) = exported();
        let text = exporter.scrape();
        let wanted = [
            r#"http_requests_total{method="POST",route="/oauth/token",status="2xx"} 0"#,
            r#"http_request_duration_seconds_bucket{method="POST",route="/oauth/token",le="0.0005"} 0"#,
            r#"oauth_token_issued_total{format="paseto",grant_type="client_credentials"} 0"#,
            r#"oauth_token_revoked_total{kind="issuer"} 0"#,
            r#"oauth_introspections_total{active="true"} 0"#,
            r#"verified_token_cache_total{result="hit"} 0"#,
            r#"reject_total{endpoint="/oauth/token",reason="invalid_client"} 0"#,
            r#"shed_total{endpoint="/oauth/token",reason="full"} 0"#,
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
    fn what_is_counted_is_exported() {
        let (exporter, instruments) = exported();
        instruments.record_http(0, 2, Duration::from_millis(3));
        instruments.auth_failure(true);
        instruments.reject(0, "invalid_client");
        instruments.reject(0, "no such reason makes no series");
        let text = exporter.scrape();
        assert!(
            text.contains(r#"oauth2_server_http_requests_total{method="POST",route="/oauth/token",status="2xx"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"oauth2_server_auth_failures_total{decision="over"} 1"#),
            "{text}"
        );
        assert!(!text.contains("no such reason"));
    }
}
