//! The certificates of the listeners: whether their files can be used, and for how long.

use std::time::SystemTime;

use crate::app::tls::files::Contents;
use crate::config::{Config, TlsFiles};
use crate::service::diagnosis::{Check, Status};

/// Days before its end from which a certificate is reported: as the alert.
const RENEW_BEFORE: i64 = 14;

const DAY: i64 = 86_400;

/// A check for each listener with TLS.
pub fn check(config: &Config) -> Vec<Check> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs() as i64);
    let all = [
        ("certificate", &config.tls.public),
        ("management certificate", &config.tls.management),
    ];
    let checks = all.into_iter().filter_map(|(name, files)| {
        let (status, detail) = of(files.as_ref()?, now);
        Some(Check::new(name, status, detail).with_runbook("OAuth2CertificateExpiring"))
    });
    checks.collect()
}

fn of(files: &TlsFiles, now: i64) -> (Status, String) {
    let usable = Contents::read(files).and_then(|contents| contents.check(files));
    let file = files.certificate.display();
    match usable {
        Err(problem) => (Status::Failed, problem),
        Ok(usable) if usable.not_after <= now => (Status::Failed, format!("{file} has expired")),
        Ok(usable) => {
            let days = (usable.not_after - now) / DAY;
            let status = if days < RENEW_BEFORE {
                Status::Warning
            } else {
                Status::Ok
            };
            (status, format!("{file} expires in {days} days"))
        }
    }
}
