//! Export of traces, metrics and logs over OTLP: the variables `OTEL_*` of the OpenTelemetry specification.
//!
//! A signal is exported when an endpoint is set for it or for all signals, or when its exporter is set to `otlp`. Nothing set: nothing
//! is exported. Variables of that prefix that are not in the table are ignored: platforms set many, for other programs, too.

use std::path::PathBuf;
use std::time::Duration;

use super::key::Fallback::{Derived, Value};
use super::key::{Fallback, Key, Secrecy, key, secret};
use super::parse::number;
use super::secret::Secret;
use super::values::Values;

mod text;

use text::{endpoint, headers, pairs};

const DISABLED: Key = key(
    "OTEL_SDK_DISABLED",
    "otel.sdk_disabled",
    Value("false"),
    "`true`: no telemetry is exported, whatever else is set.",
);
/// A URL: errors and listings leave out its credentials.
const fn url(env: &'static str, toml: &'static str, fallback: Fallback, help: &'static str) -> Key {
    Key {
        secrecy: Secrecy::Url,
        ..key(env, toml, fallback, help)
    }
}

const ENDPOINT: Key = url(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "otel.exporter_otlp_endpoint",
    Derived("none: nothing is exported"),
    "URL of an OpenTelemetry collector. Traces, metrics and logs are exported to it; with `http/protobuf`, to `/v1/traces`, `/v1/metrics` and `/v1/logs` below it.",
);
const TRACES_ENDPOINT: Key = url(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "otel.exporter_otlp_traces_endpoint",
    Derived("`OTEL_EXPORTER_OTLP_ENDPOINT`"),
    "URL that traces are exported to, as it is.",
);
const METRICS_ENDPOINT: Key = url(
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "otel.exporter_otlp_metrics_endpoint",
    Derived("`OTEL_EXPORTER_OTLP_ENDPOINT`"),
    "URL that metrics are exported to, as it is.",
);
const LOGS_ENDPOINT: Key = url(
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    "otel.exporter_otlp_logs_endpoint",
    Derived("`OTEL_EXPORTER_OTLP_ENDPOINT`"),
    "URL that logs are exported to, as it is.",
);
const TRACES_EXPORTER: Key = key(
    "OTEL_TRACES_EXPORTER",
    "otel.traces_exporter",
    Derived("`otlp` if there is an endpoint, else `none`"),
    "`otlp`: export traces, to a collector on this host if no endpoint is set; `none`: do not.",
);
const METRICS_EXPORTER: Key = key(
    "OTEL_METRICS_EXPORTER",
    "otel.metrics_exporter",
    Derived("as of traces"),
    "`otlp` or `none`, for metrics. `/metrics` is served in any case.",
);
const LOGS_EXPORTER: Key = key(
    "OTEL_LOGS_EXPORTER",
    "otel.logs_exporter",
    Derived("as of traces"),
    "`otlp` or `none`, for logs. They are written to stderr in any case.",
);
const PROTOCOL: Key = key(
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "otel.exporter_otlp_protocol",
    Value("http/protobuf"),
    "`http/protobuf` (port 4318 by convention) or `grpc` (port 4317).",
);
const HEADERS: Key = secret(
    "OTEL_EXPORTER_OTLP_HEADERS",
    "otel.exporter_otlp_headers",
    "none",
    "Headers of every export, such as `authorization=Bearer%20…,tenant=a`; values are percent-encoded.",
);
const TIMEOUT: Key = key(
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "otel.exporter_otlp_timeout",
    Value("10000"),
    "Milliseconds that one export may take, 1 to 60000.",
);
const CERTIFICATE: Key = key(
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "otel.exporter_otlp_certificate",
    Derived("the system's trust store"),
    "PEM file with the authorities that the certificate of an `https` collector is verified with.",
);
const COMPRESSION: Key = key(
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "otel.exporter_otlp_compression",
    Value("none"),
    "`none` or `gzip`.",
);
const SERVICE_NAME: Key = key(
    "OTEL_SERVICE_NAME",
    "otel.service_name",
    Derived("`service.name` of the resource attributes, else `oauth2-server`"),
    "`service.name` of everything that is exported.",
);
const RESOURCE_ATTRIBUTES: Key = key(
    "OTEL_RESOURCE_ATTRIBUTES",
    "otel.resource_attributes",
    Derived("none"),
    "Attributes of everything that is exported, such as `deployment.environment.name=prod,service.instance.id=a1`; values are percent-encoded.",
);
const SAMPLER: Key = key(
    "OTEL_TRACES_SAMPLER",
    "otel.traces_sampler",
    Value("parentbased_traceidratio"),
    "Which requests are traced: `always_on`, `always_off`, `traceidratio`, or one of these behind `parentbased_`: a caller that sent a `traceparent` has decided.",
);
const SAMPLER_ARG: Key = key(
    "OTEL_TRACES_SAMPLER_ARG",
    "otel.traces_sampler_arg",
    Value("0.01"),
    "Share of requests that `traceidratio` traces, 0 to 1.",
);
const METRIC_INTERVAL: Key = key(
    "OTEL_METRIC_EXPORT_INTERVAL",
    "otel.metric_export_interval",
    Value("60000"),
    "Milliseconds between exports of metrics, 100 to 3600000.",
);
const SCHEDULE_DELAY: Key = key(
    "OTEL_BSP_SCHEDULE_DELAY",
    "otel.bsp_schedule_delay",
    Value("5000"),
    "Milliseconds between exports of spans, 10 to 60000; log records are exported in the same way.",
);
const QUEUE_SIZE: Key = key(
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "otel.bsp_max_queue_size",
    Value("2048"),
    "Spans, and log records, that wait for their export, 1 to 1000000. Further ones are dropped and counted.",
);
const BATCH_SIZE: Key = key(
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "otel.bsp_max_export_batch_size",
    Value("512"),
    "The most spans of one export, 1 to 100000.",
);
const EXPORT_TIMEOUT: Key = key(
    "OTEL_BSP_EXPORT_TIMEOUT",
    "otel.bsp_export_timeout",
    Value("30000"),
    "Milliseconds that an export of spans may take with its retries, 1 to 600000.",
);

pub(super) const KEYS: &[Key] = &[
    ENDPOINT,
    TRACES_ENDPOINT,
    METRICS_ENDPOINT,
    LOGS_ENDPOINT,
    TRACES_EXPORTER,
    METRICS_EXPORTER,
    LOGS_EXPORTER,
    PROTOCOL,
    HEADERS,
    TIMEOUT,
    CERTIFICATE,
    COMPRESSION,
    SERVICE_NAME,
    RESOURCE_ATTRIBUTES,
    SAMPLER,
    SAMPLER_ARG,
    METRIC_INTERVAL,
    SCHEDULE_DELAY,
    QUEUE_SIZE,
    BATCH_SIZE,
    EXPORT_TIMEOUT,
    DISABLED,
];

/// How telemetry is transported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP/1.1.
    Http,
}

impl Protocol {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// The decision for a request without one by its caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Root {
    /// Every request is traced.
    AlwaysOn,
    /// None is.
    AlwaysOff,
    /// This share is, by trace id.
    Ratio(f64),
}

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Whether the decision of a caller that sent a `traceparent` stands.
    pub parent_based: bool,
    /// The decision otherwise.
    pub root: Root,
}

/// Queues of spans and of log records.
#[derive(Debug, Clone, Copy)]
pub struct Batching {
    /// Items that wait; further ones are dropped.
    pub queue: usize,
    /// The most items of one export.
    pub batch: usize,
    /// Time between exports.
    pub delay: Duration,
    /// Time of one export with its retries.
    pub timeout: Duration,
}

/// Export of telemetry. `None` for a signal: not exported.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// URL for traces.
    pub traces: Option<String>,
    /// URL for metrics.
    pub metrics: Option<String>,
    /// URL for logs.
    pub logs: Option<String>,
    /// The transport.
    pub protocol: Protocol,
    /// Headers of every export.
    pub headers: Vec<(String, Secret)>,
    /// Time of one attempt.
    pub timeout: Duration,
    /// PEM file of authorities.
    pub certificate: Option<PathBuf>,
    /// Whether exports are compressed with gzip.
    pub compressed: bool,
    /// Attributes of the exporting process.
    pub resource: Vec<(String, String)>,
    /// Which requests are traced.
    pub sampling: Sampling,
    /// Time between exports of metrics.
    pub metric_interval: Duration,
    /// Queues of spans and of log records.
    pub batching: Batching,
}

impl Telemetry {
    pub(super) fn read(values: &mut Values, directory: &std::path::Path) -> Option<Self> {
        let disabled = values.get(&DISABLED, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        });
        let protocol = values.get(&PROTOCOL, |text| match text {
            "grpc" => Ok(Protocol::Grpc),
            "http/protobuf" => Ok(Protocol::Http),
            _ => Err("must be grpc or http/protobuf".to_owned()),
        });
        let all = values.optional(&ENDPOINT, endpoint);
        let mut signal = |exporter: &'static Key, own: &'static Key, path: &str| {
            let (exporter, own) = (values.optional(exporter, exporter_name), values.optional(own, endpoint));
            let (exporter, own, all) = (exporter?, own?, all.clone()?);
            let below = |base: String| match protocol {
                Some(Protocol::Http) => format!("{}/v1/{path}", base.trim_end_matches('/')),
                _ => base,
            };
            let local = match protocol {
                Some(Protocol::Grpc) => "http://localhost:4317",
                _ => "http://localhost:4318",
            };
            let is_asked_for = exporter.unwrap_or(own.is_some() || all.is_some());
            let url = own.unwrap_or_else(|| below(all.unwrap_or_else(|| local.to_owned())));
            Some((is_asked_for && disabled != Some(true)).then_some(url))
        };
        let traces = signal(&TRACES_EXPORTER, &TRACES_ENDPOINT, "traces");
        let metrics = signal(&METRICS_EXPORTER, &METRICS_ENDPOINT, "metrics");
        let logs = signal(&LOGS_EXPORTER, &LOGS_ENDPOINT, "logs");
        let headers = values.optional(&HEADERS, headers);
        let timeout = values.get(&TIMEOUT, |text| milliseconds(text, 1, 60_000));
        let certificate = values.optional(&CERTIFICATE, |text| Ok(directory.join(text)));
        let compressed = values.get(&COMPRESSION, |text| match text {
            "none" => Ok(false),
            "gzip" => Ok(true),
            _ => Err("must be none or gzip".to_owned()),
        });
        let resource = read_resource(values);
        let sampling = read_sampling(values);
        let metric_interval = values.get(&METRIC_INTERVAL, |text| milliseconds(text, 100, 3_600_000));
        let batching = read_batching(values);
        disabled?;
        Some(Self {
            traces: traces?,
            metrics: metrics?,
            logs: logs?,
            protocol: protocol?,
            headers: headers?.unwrap_or_default(),
            timeout: timeout?,
            certificate: certificate?,
            compressed: compressed?,
            resource: resource?,
            sampling: sampling?,
            metric_interval: metric_interval?,
            batching: batching?,
        })
    }

    /// Whether anything is exported.
    pub fn is_on(&self) -> bool {
        self.traces.is_some() || self.metrics.is_some() || self.logs.is_some()
    }
}

fn read_resource(values: &mut Values) -> Option<Vec<(String, String)>> {
    let name = values.optional(&SERVICE_NAME, |text| Ok::<_, String>(text.to_owned()));
    let attributes = values.optional(&RESOURCE_ATTRIBUTES, pairs);
    let (name, mut attributes) = (name?, attributes?.unwrap_or_default());
    if let Some(name) = name {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".to_owned(), name));
    } else if !attributes.iter().any(|(key, _)| key == "service.name") {
        attributes.push(("service.name".to_owned(), "oauth2-server".to_owned()));
    }
    Some(attributes)
}

fn read_sampling(values: &mut Values) -> Option<Sampling> {
    let ratio = values.get(&SAMPLER_ARG, |text| match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("must be a number from 0 to 1, such as 0.01".to_owned()),
    });
    let sampler = values.get(&SAMPLER, |text| {
        let (parent_based, root) = text
            .strip_prefix("parentbased_")
            .map_or((false, text), |root| (true, root));
        let root = match root {
            "always_on" => Root::AlwaysOn,
            "always_off" => Root::AlwaysOff,
            "traceidratio" => Root::Ratio(0.0),
            _ => {
                return Err(
                    "must be always_on, always_off, traceidratio, or one of these behind parentbased_".to_owned(),
                );
            }
        };
        Ok(Sampling { parent_based, root })
    });
    let (mut sampling, ratio) = (sampler?, ratio?);
    if let Root::Ratio(share) = &mut sampling.root {
        *share = ratio;
    }
    Some(sampling)
}

fn read_batching(values: &mut Values) -> Option<Batching> {
    let queue = values.get(&QUEUE_SIZE, |text| number(text, 1, 1_000_000));
    let batch = values.get(&BATCH_SIZE, |text| number(text, 1, 100_000));
    let delay = values.get(&SCHEDULE_DELAY, |text| milliseconds(text, 10, 60_000));
    let timeout = values.get(&EXPORT_TIMEOUT, |text| milliseconds(text, 1, 600_000));
    let (queue, batch) = (queue?, batch?);
    Some(Batching {
        queue,
        batch: std::cmp::min(batch, queue),
        delay: delay?,
        timeout: timeout?,
    })
}

fn milliseconds(text: &str, min: u64, max: u64) -> Result<Duration, String> {
    number(text, min, max).map(Duration::from_millis)
}

fn exporter_name(text: &str) -> Result<bool, String> {
    match text {
        "otlp" => Ok(true),
        "none" => Ok(false),
        _ => Err("must be otlp or none".to_owned()),
    }
}

#[cfg(test)]
mod tests;
