//! The registry, and how it becomes text.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use prometheus::{Encoder, Registry, TextEncoder};

use super::catalogue::NAMESPACE;
use super::process;
use super::recent::{History, Increases};

/// The registry, shared by all incarnations of the actor.
#[derive(Clone)]
pub struct Exporter {
    registry: Registry,
    provider: SdkMeterProvider,
    /// The text of the last scrape, in case the next one fails.
    last: Arc<Mutex<String>>,
    history: Arc<Mutex<History>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// A registry that exports OpenTelemetry instruments. Fails if the exporter cannot be built.
    pub fn new() -> Result<Self, String> {
        Self::with(true, |provider| provider)
    }

    /// As [`Self::new`], after `extend` has added further readers of the same instruments. `is_scraped`: without it the text is empty,
    /// and instruments that no other reader reads count nothing.
    pub fn with(
        is_scraped: bool,
        extend: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder,
    ) -> Result<Self, String> {
        let registry = Registry::new();
        let mut builder = SdkMeterProvider::builder();
        if is_scraped {
            let exporter = opentelemetry_prometheus::exporter()
                .with_registry(registry.clone())
                .with_namespace(NAMESPACE)
                .scope_info_enabled(false)
                .without_target_info()
                .build()
                .map_err(|error| error.to_string())?;
            builder = builder.with_reader(exporter);
        }
        let provider = extend(builder).build();
        let exporter = Self {
            registry,
            provider,
            last: Arc::default(),
            history: Arc::new(Mutex::new(History::new())),
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

    pub(super) fn scrape(&self) -> String {
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

    /// Remembers the counters as they are now.
    pub(super) fn remember(&self) {
        let families = self.registry.gather();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.remember(&families, Instant::now());
    }

    /// By how much each counter increased in the last minutes.
    pub(super) fn look_back(&self) -> Increases {
        let families = self.registry.gather();
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.increases(&families, Instant::now())
    }
}
