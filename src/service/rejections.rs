//! Rejected requests of operators, as the audit log names them.

use std::net::IpAddr;

use oauth2_actors::audit_writer::Rejection;
use serde_json::json;

use super::operator::Operator;

/// Characters of a text that an audit row keeps of a rejected request.
const MAX_TEXT: usize = 500;

/// Where a request came from, and what it asked for.
#[derive(Debug, Clone)]
pub struct RequestOrigin {
    /// The caller's address.
    pub address: IpAddr,
    /// The method and the pattern of the URL.
    pub request: String,
}

/// A change that an operator requested and that was rejected.
#[derive(Debug, Clone, Copy)]
pub struct RejectedChange<'a> {
    /// What was requested: a method and a pattern of a URL, or a subcommand.
    pub request: &'a str,
    /// The kind of object, and the object.
    pub target: (&'static str, &'a str),
    /// The error code.
    pub error: &'a str,
    /// The error's description.
    pub description: &'a str,
}

impl RejectedChange<'_> {
    /// The content of the audit row. `address`: `None` on the command line.
    pub fn to_row(self, operator: &Operator, address: Option<IpAddr>) -> Rejection {
        let mut detail = json!({
            "request": bounded(self.request),
            "error": self.error,
            "description": bounded(self.description),
        });
        if let Some(address) = address {
            detail["address"] = json!(address);
        }
        Rejection {
            actor: operator.actor().to_owned(),
            target_kind: self.target.0,
            target_id: bounded(self.target.1),
            detail: operator.with_credential(detail),
        }
    }
}

/// Text of a request as a row may keep it: of bounded length, and without control characters, of which Postgres rejects NUL.
pub fn bounded(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut kept: String = text.chars().take(MAX_TEXT).map(harmless).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_request_is_bounded_and_harmless() {
        assert_eq!(bounded("a\0\u{1b}[2J\nü"), "a\u{fffd}\u{fffd}[2J\u{fffd}ü");
        assert_eq!(bounded(&"x".repeat(100_000)).chars().count(), MAX_TEXT + 1);
    }
}
