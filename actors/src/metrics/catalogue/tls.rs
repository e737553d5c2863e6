//! TLS of the listeners.

use super::row::{LabelSet, gauge};

const LISTENER: LabelSet = LabelSet::closed("listener", || LISTENERS.to_vec());

/// The values of `listener`.
pub const LISTENERS: [&str; 2] = ["public", "management"];

crate::catalogue! {
    CERTIFICATE_EXPIRY = gauge("tls_certificate_expiry_timestamp_seconds", &[LISTENER],
        "When the certificate that a listener serves expires").notes("Exported with `OAUTH2_SERVER_TLS_CERTIFICATE_FILE` or `OAUTH2_MANAGEMENT_TLS_CERTIFICATE_FILE` only.");
    FILES_CURRENT = gauge("tls_files_current", &[LISTENER],
        "1 while a listener serves what its TLS files hold, 0 while changed files cannot be used").notes(
        "Exported with `OAUTH2_SERVER_TLS_CERTIFICATE_FILE` or `OAUTH2_MANAGEMENT_TLS_CERTIFICATE_FILE` only.");
}
