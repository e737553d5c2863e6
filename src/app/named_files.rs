//! Files that the configuration names and a start reads: certificates, keys and authorities.

use crate::config::{Config, TlsFiles};
use crate::failure::Failure;

use super::connect::roots;
use super::fallback::authorities;
use super::tls::files::Contents;

/// Checks the files as a start does. Returns warnings about files that a start accepts.
pub fn check(config: &Config) -> Result<Vec<String>, Failure> {
    let mut warnings = Vec::new();
    for files in [&config.tls.public, &config.tls.management].into_iter().flatten() {
        warnings.extend(certificate(files).map_err(Failure::Invalid)?);
    }
    // Both listeners may have the same.
    warnings.dedup();
    if let Some(fallback) = &config.fallback {
        authorities(fallback).map_err(Failure::Invalid)?;
    }
    let collector = &config.telemetry;
    if collector.is_on()
        && let Some(file) = &collector.certificate
    {
        roots(Some(file), "OTEL_EXPORTER_OTLP_CERTIFICATE").map_err(Failure::Invalid)?;
    }
    Ok(warnings)
}

/// A certificate and its key. A warning if it has expired: a server that starts with it can be reached again once the file is renewed.
fn certificate(files: &TlsFiles) -> Result<Option<String>, String> {
    let usable = Contents::read(files)?.check(files)?;
    let file = files.certificate.display();
    let warning = || format!("{file} holds a certificate that has expired: clients reject it");
    Ok(usable.is_expired().then(warning))
}
