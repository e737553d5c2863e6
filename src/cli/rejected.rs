//! Records in the audit log that a change was requested on the command line and rejected.

use clap::ArgMatches;

use super::output;
use crate::app::direct::{Direct, operator};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::rejections::RejectedChange;

/// The subcommands that change something.
const CHANGES: [&str; 13] = [
    "client create",
    "client delete",
    "client disable",
    "client enable",
    "client import",
    "client rotate-secret",
    "client update",
    "key import",
    "key revoke",
    "key rewrap",
    "key rotate",
    "token issue",
    "token revoke",
];

/// The arguments that name an object, and its kind.
const TARGETS: [(&str, &str); 3] = [("id", "client"), ("client", "client"), ("kid", "key")];

/// A subcommand as it was called.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    subcommand: String,
    target: Option<(&'static str, String)>,
}

impl Invocation {
    /// Reads the subcommand and the object that it names.
    pub fn of(mut matches: &ArgMatches) -> Self {
        let mut names = Vec::new();
        while let Some((name, inner)) = matches.subcommand() {
            names.push(name);
            matches = inner;
        }
        let value = |(name, kind): (&str, &'static str)| {
            let value = matches.try_get_one::<String>(name).ok()??;
            Some((kind, value.clone()))
        };
        Self {
            subcommand: names.join(" "),
            target: TARGETS.into_iter().find_map(value),
        }
    }

    /// Whether it changes something.
    pub fn is_change(&self) -> bool {
        CHANGES.contains(&&*self.subcommand)
    }

    /// Records that it was rejected. A store that cannot be opened has no log; the failure itself is printed in any case.
    pub async fn record(&self, config: &Config, failure: &Failure) {
        let Ok(direct) = Direct::open(config).await else {
            return;
        };
        let change = RejectedChange {
            request: &self.subcommand,
            target: self.target.as_ref().map_or(("issuer", ""), |(kind, id)| (kind, id)),
            error: "invalid_request",
            description: &failure.to_string(),
        };
        let audit = &direct.services.audit;
        let recorded = audit
            .record_rejected_change(&operator(), change, direct.deadline())
            .await;
        if let Err(error) = recorded {
            output::warnings(&[format!("the audit log has no row of this rejection: {error}")]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn every_change_is_a_subcommand() {
        for change in CHANGES {
            let mut found = &command();
            for name in change.split(' ') {
                let next = found.find_subcommand(name);
                found = next.unwrap_or_else(|| panic!("there is no subcommand {change}"));
            }
        }
    }

    #[test]
    fn an_invocation_names_its_target() {
        let of = |line: &str| Invocation::of(&command().get_matches_from(line.split(' ')));
        let update = of("oauth2_server client update ci --scope a");
        assert!(update.is_change());
        assert_eq!(update.target, Some(("client", "ci".to_owned())));
        assert_eq!(of("oauth2_server key revoke k1").target, Some(("key", "k1".to_owned())));
        assert!(!of("oauth2_server client show ci").is_change());
    }
}
