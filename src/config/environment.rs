//! The process environment: which variables are configuration, the name of the system user, and `NO_COLOR`.

const PREFIX: &str = "OAUTH2_";

/// The prefix of the OpenTelemetry specification, which other programs use, too.
const SHARED_PREFIX: &str = "OTEL_";

/// Whether the name has a prefix of configuration variables.
pub fn has_prefix(name: &str) -> bool {
    name.starts_with(PREFIX) || is_shared(name)
}

/// Whether unknown names with this prefix are not errors: they may be meant for others.
pub fn is_shared(name: &str) -> bool {
    name.starts_with(SHARED_PREFIX)
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

/// The system user at the command line, for the audit log: the name of the process's user in `/etc/passwd`, or `uid:N`. Not what the
/// environment says, which the caller chooses.
pub fn system_user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(uid, &users).unwrap_or_else(|| format!("uid:{uid}"))
}

/// The name of a user in a text as `/etc/passwd` has it: `name:password:uid:…` per line.
fn name_of(uid: u32, users: &str) -> Option<String> {
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, found) = (fields.next()?, fields.next()?, fields.next()?);
        (found.parse() == Ok(uid)).then_some(name)
    })?;
    let name: String = name.chars().filter(char::is_ascii_graphic).take(64).collect();
    (!name.is_empty()).then_some(name)
}

/// Whether output may be coloured: on a terminal, unless `NO_COLOR` is set to a non-empty value.
pub fn may_colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the tests of generated documents write them, by `UPDATE_DOCS=1 cargo test documented`.
#[cfg(test)]
pub fn updates_documents() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn user_is_named_by_its_id() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nbad\n:x:7::\nci:x:1000:1000::/home/ci:/bin/sh\nroot2:x:0:0::/:/bin/sh\n";
        for (uid, name) in [(0, Some("root")), (1000, Some("ci")), (7, None), (1, None)] {
            assert_eq!(name_of(uid, users).as_deref(), name, "{uid}");
        }
    }
}
