//! Names the flag in an error of a use case, which names the parameter.

use crate::failure::Failure;
use crate::protocol::error::ErrorCode;
use crate::service::error::ServiceError;

/// Parameters of use cases, and the flags that give them.
const FLAGS: &[(&str, &str)] = &[
    ("cursor", "--cursor"),
    ("kind", "--kind"),
    ("overlap_seconds", "--overlap"),
    ("prefix", "--prefix"),
    ("since", "--since"),
    ("until", "--until"),
];

/// The failure of a subcommand. `flags`: its own parameters and their flags.
pub fn failure(error: ServiceError, flags: &[(&str, &str)]) -> Failure {
    let flag = |name: &str| {
        let mut known = flags.iter().chain(FLAGS);
        known.find(|(parameter, _)| *parameter == name).map(|(_, flag)| *flag)
    };
    let text = match &error {
        ServiceError::InvalidMetadata(invalid) => flag(invalid.field).map(|flag| format!("{flag} {}", invalid.reason)),
        ServiceError::InvalidParameter { name, reason } => flag(name).map(|flag| format!("{flag} {reason}")),
        ServiceError::OAuth(oauth) => match oauth.code {
            ErrorCode::InvalidScope => Some(format!("--scope: {}", oauth.description)),
            ErrorCode::InvalidTarget => Some(format!("--audience: {}", oauth.description)),
            _ => None,
        },
        _ => None,
    };
    let failure = Failure::from(error);
    match text {
        Some(text) => failure.with_text(text),
        None => failure,
    }
}
