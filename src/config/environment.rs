//! The names that the environment may hold.

const PREFIX: &str = "OAUTH2_";

/// Whether a variable is meant for this program at all.
pub fn concerns_us(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether Kubernetes put the variable there: it announces every Service of the namespace to every container, and a
/// Service named `oauth2-server` takes names that look like ours. `known` says whether the name is one of our keys; then
/// only the value tells, because `OAUTH2_SERVER_PORT` is both.
pub fn injected_by_kubernetes(name: &str, value: &str, known: bool) -> bool {
    let announces_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    if name.ends_with("_PORT") && announces_address {
        return true;
    }
    !known
        && (name.ends_with("_SERVICE_HOST")
            || name.ends_with("_SERVICE_PORT")
            || name.contains("_SERVICE_PORT_")
            || is_port_announcement(name))
}

/// `…_PORT_<n>_TCP`, perhaps with `_PROTO`, `_PORT` or `_ADDR`.
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
pub fn operator() -> String {
    let name = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_default();
    let name: String = name.chars().filter(char::is_ascii_graphic).take(64).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Whether what goes to a terminal may be coloured: not where `NO_COLOR` says otherwise, with any value but an empty one.
pub fn colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
