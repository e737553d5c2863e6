//! Classifies errors of Redis, and describes them for messages.

use redis::{ErrorKind, RedisError};

/// The kind of errors whose detail is a sentence of this server.
pub(super) const SENTENCE: ErrorKind = ErrorKind::InvalidClientConfig;

/// Whether a server cannot be reached now.
pub(super) fn is_transient(error: &RedisError) -> bool {
    error.is_timeout() || error.is_connection_dropped() || error.is_io_error() && !is_of_tls(error)
}

/// Whether TLS failed, which a retry does not mend. The driver reports it as an I/O error.
fn is_of_tls(error: &RedisError) -> bool {
    let text = error.to_string();
    [
        "certificate",
        "tls",
        "handshake",
        "InvalidContentType",
        "corrupt message",
    ]
    .iter()
    .any(|word| text.to_lowercase().contains(&word.to_lowercase()))
}

/// Whether Redis serves no command at present; otherwise only this command is wrong.
pub(crate) fn is_outage(error: &RedisError) -> bool {
    const OUTAGES: [&str; 6] = ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM"];
    let is_said = error.code().is_some_and(|code| OUTAGES.contains(&code));
    is_said
        || error.is_timeout()
        || error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
}

/// The clause about another server.
pub(super) const NOT_REDIS: &str = "what responds is not Redis";

/// An error as a clause. It names no password: the driver repeats what the server says, and that names none.
pub(crate) fn describe(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "it rejects the user or the password".to_owned(),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => NOT_REDIS.to_owned(),
        _ => match (error.code(), error.detail()) {
            (None, Some(sentence)) if error.kind() == SENTENCE => sentence.to_owned(),
            (Some("NOAUTH"), _) => "it requires a password".to_owned(),
            (Some("WRONGPASS"), _) => "it rejects the user or the password".to_owned(),
            (Some("NOPERM"), Some(detail)) => format!("the user lacks a permission: {detail}"),
            (Some(code), Some(detail)) => format!("{code} {detail}"),
            _ => error.to_string(),
        },
    }
}
