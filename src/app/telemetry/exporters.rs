//! Exporters of both OTLP protocols: gRPC over a channel, and protobuf over HTTP/1.1 with one connection per export.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol as Encoding, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use tokio::runtime::Handle;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};

use crate::app::connect::Connector;
use crate::config::Telemetry as Options;
use crate::config::telemetry::Protocol;
use crate::failure::Failure;

/// The most of a response that is read.
const MAX_RESPONSE: usize = 64 * 1024;

/// Makes exporters.
pub(super) struct Exporters<'a> {
    options: &'a Options,
    connector: Connector,
    /// Where connections live.
    runtime: Handle,
}

/// An exporter of `$kind` to a URL.
macro_rules! exporter {
    ($kind:ident, $exporters:expr, $url:expr) => {{
        let (options, compression) = ($exporters.options, Compression::Gzip);
        let built = match options.protocol {
            Protocol::Grpc => {
                let builder = $kind::builder()
                    .with_tonic()
                    .with_channel($exporters.channel($url)?)
                    .with_metadata($exporters.metadata())
                    .with_timeout(options.timeout);
                if options.compressed {
                    builder.with_compression(compression).build()
                } else {
                    builder.build()
                }
            }
            Protocol::Http => {
                let builder = $kind::builder()
                    .with_http()
                    .with_http_client($exporters.client())
                    .with_headers($exporters.headers())
                    .with_endpoint($url)
                    .with_protocol(Encoding::HttpBinary)
                    .with_timeout(options.timeout);
                if options.compressed {
                    builder.with_compression(compression).build()
                } else {
                    builder.build()
                }
            }
        };
        built.map_err(|error| Failure::Invalid(format!("telemetry cannot be exported to {}: {error}", $url)))
    }};
}

impl<'a> Exporters<'a> {
    /// Exporters whose connections live on this runtime.
    pub(super) fn new(options: &'a Options, runtime: Handle) -> Result<Self, Failure> {
        let protocol: &[u8] = match options.protocol {
            Protocol::Grpc => b"h2",
            Protocol::Http => b"http/1.1",
        };
        let urls = [&options.traces, &options.metrics, &options.logs];
        let is_tls = urls.into_iter().flatten().any(|url| url.starts_with("https:"));
        Ok(Self {
            options,
            connector: Connector::new(
                is_tls,
                options.certificate.as_deref(),
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
                protocol,
            )?,
            runtime,
        })
    }

    /// An exporter of spans.
    pub(super) fn spans(&self, url: &str) -> Result<SpanExporter, Failure> {
        exporter!(SpanExporter, self, url)
    }

    /// An exporter of log records.
    pub(super) fn logs(&self, url: &str) -> Result<LogExporter, Failure> {
        exporter!(LogExporter, self, url)
    }

    /// An exporter of metrics.
    pub(super) fn metrics(&self, url: &str) -> Result<MetricExporter, Failure> {
        exporter!(MetricExporter, self, url)
    }

    fn headers(&self) -> HashMap<String, String> {
        let headers = self.options.headers.iter();
        headers
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect()
    }

    fn metadata(&self) -> MetadataMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.options.headers {
            // The configuration has checked both.
            if let (Ok(name), Ok(mut value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value.expose()),
            ) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        MetadataMap::from_headers(headers)
    }

    fn client(&self) -> Client {
        Client {
            connector: self.connector.clone(),
            runtime: self.runtime.clone(),
            timeout: self.options.timeout,
        }
    }

    /// A channel that connects at the first export. The scheme for tonic is always `http`, because the connector does TLS.
    fn channel(&self, url: &str) -> Result<Channel, Failure> {
        let invalid = |error: &dyn std::fmt::Display| {
            Failure::Invalid(format!(
                "OTEL_EXPORTER_OTLP_ENDPOINT {url} is not usable for gRPC: {error}; allowed: http or https URLs such as http://collector:4317"
            ))
        };
        let address: Uri = url.parse().map_err(|error| invalid(&error))?;
        let plain = url.replacen("https:", "http:", 1);
        let endpoint = Endpoint::from_shared(plain)
            .map_err(|error| invalid(&error))?
            .origin(address.clone())
            .timeout(self.options.timeout)
            .connect_timeout(self.options.timeout);
        let connector = self.connector.clone();
        let connect = tower::service_fn(move |_: Uri| {
            let (connector, address) = (connector.clone(), address.clone());
            async move { connector.connect(&address).await }
        });
        let _runtime = self.runtime.enter();
        Ok(endpoint.connect_with_connector_lazy(connect))
    }
}

/// An HTTP/1.1 client. Its requests run on the runtime of the exporters, whatever thread waits for them.
#[derive(Clone)]
struct Client {
    connector: Connector,
    runtime: Handle,
    timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (connector, timeout) = (self.connector.clone(), self.timeout);
        // On that runtime: the thread that waits may have none.
        let sent = async move { tokio::time::timeout(timeout, send(&connector, request)).await };
        let sent = self.runtime.spawn(sent).await??;
        // The exporter's own error does not say why.
        if let Err(error) = &sent {
            tracing::debug!(%error, "a connection to the collector failed");
        }
        sent
    }
}

async fn send(connector: &Connector, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().map(ToString::to_string).unwrap_or_default();
    let stream = connector.connect(&parts.uri).await?;
    let (mut sender, connection) = http1::handshake(stream).await?;
    tokio::spawn(connection);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse()?;
    parts.headers.insert(header::HOST, HeaderValue::from_str(&authority)?);
    let response = sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_RESPONSE).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}
