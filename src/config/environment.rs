//! The process environment: which variables are configuration, the name of the system user, and `NO_COLOR`.

const PREFIX: &str = "OAUTH2_";

/// Whether tests write the generated documents instead of comparing them.
#[cfg(test)]
pub fn is_docs_update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

/// Whether the name has the prefix of configuration variables.
pub fn has_prefix(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether Kubernetes injected the variable: it announces every Service of the namespace to every container, and the
/// variables of a Service named `oauth2-server` have the prefix of configuration variables. `is_key`: the name is also that
/// of a configuration key. `OAUTH2_SERVER_PORT` is, so its value decides.
pub fn is_injected_by_kubernetes(name: &str, value: &str, is_key: bool) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    if name.ends_with("_PORT") && is_address {
        return true;
    }
    !is_key
        && (name.ends_with("_SERVICE_HOST")
            || name.ends_with("_SERVICE_PORT")
            || name.contains("_SERVICE_PORT_")
            || is_port_announcement(name))
}

/// `…_PORT_<n>_TCP` (or `_UDP`, `_SCTP`), optionally followed by `_PROTO`, `_PORT` or `_ADDR`.
fn is_port_announcement(name: &str) -> bool {
    let base = ["_PROTO", "_PORT", "_ADDR"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    let Some(base) = ["_TCP", "_UDP", "_SCTP"]
        .iter()
        .find_map(|suffix| base.strip_suffix(suffix))
    else {
        return false;
    };
    let stem = base.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.len() < base.len() && stem.ends_with("_PORT_")
}

/// The system user at the command line, for the audit log: a label, not a proof.
pub fn system_user() -> String {
    let name = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_default();
    let name: String = name.chars().filter(char::is_ascii_graphic).take(64).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Whether output may be coloured: on a terminal, unless `NO_COLOR` is set to a non-empty value.
pub fn may_colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
