use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::config::{Input, resolve};

fn resolved(environment: &[(&str, &str)]) -> Result<Telemetry, String> {
    let input = Input {
        environment: environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        file: None,
        directory: PathBuf::from("/work-dir"),
        parallelism: 1,
        read_secret: &|path| {
            if path == Path::new("/work-dir/headers") {
                Ok("authorization=Bearer%20abc\n".to_owned())
            } else {
                Err(io::Error::from(io::ErrorKind::NotFound))
            }
        },
        exposure: &|_| None,
    };
    resolve(&input)
        .map(|config| config.telemetry)
        .map_err(|errors| errors.to_string())
}

#[test]
fn nothing_is_exported_unless_it_is_asked_for() {
    for environment in [
        &[][..],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
        &[("OTEL_SERVICE_NAME", "a"), ("OTEL_PROPAGATORS", "b3"), ("OTEL_X", "y")],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_SDK_DISABLED", "true"),
        ],
        &[
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:4318"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ],
    ] {
        assert!(!resolved(environment).unwrap().is_on(), "{environment:?}");
    }
}

#[test]
fn one_endpoint_is_for_all_signals_and_others_override_it() {
    let http = resolved(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/x/"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs/in"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ])
    .unwrap();
    assert_eq!(http.traces.as_deref(), Some("http://c:4318/x/v1/traces"));
    assert_eq!((http.metrics, http.logs.as_deref()), (None, Some("https://logs/in")));
    let upper = resolved(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "HTTPS://logs/IN")]).unwrap();
    assert_eq!(upper.traces.as_deref(), Some("https://logs/IN"));
    let grpc = resolved(&[
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ])
    .unwrap();
    assert_eq!(
        (grpc.traces.as_deref(), grpc.logs),
        (Some("http://localhost:4317"), None)
    );
    assert_eq!(grpc.resource, [("service.name".to_owned(), "oauth2-server".to_owned())]);
    let (parent_based, root) = (true, Root::Ratio(0.01));
    assert_eq!(grpc.sampling, Sampling { parent_based, root });
}

#[test]
fn headers_may_come_from_a_file() {
    let headers = resolved(&[("OTEL_EXPORTER_OTLP_HEADERS_FILE", "headers")])
        .unwrap()
        .headers;
    assert_eq!(headers[0].1.expose(), "Bearer abc");
    assert!(!format!("{headers:?}").contains("abc"));
}

#[test]
fn values_that_are_wrong_are_rejected_by_name() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_SDK_DISABLED", "yes"),
    ] {
        let error = resolved(&[(name, value)]).unwrap_err();
        assert!(error.contains(name) && error.contains("must be"), "{error}");
    }
    for url in ["http://user:pass-word@c:4318", "http://c:4318?api-key=pass-word"] {
        let error = resolved(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]).unwrap_err();
        assert!(
            error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("pass-word"),
            "{error}"
        );
    }
    let error = resolved(&[("OTEL_EXPORTER_OTLP_HEADERS", "secret-header")]).unwrap_err();
    assert!(!error.contains("secret-header"), "{error}");
}

#[test]
fn a_batch_fits_the_queue() {
    let batching = resolved(&[("OTEL_BSP_MAX_QUEUE_SIZE", "10"), ("OTEL_BSP_SCHEDULE_DELAY", "20")])
        .unwrap()
        .batching;
    assert_eq!((batching.batch, batching.delay), (10, Duration::from_millis(20)));
}
