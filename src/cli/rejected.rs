//! Records in the audit log that a change was requested on the command line and rejected.

use clap::ArgMatches;

use super::output;
use crate::app::direct::{Direct, operator};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::rejections::RejectedChange;
use crate::service::token_ref::TokenRef;

/// The subcommands that change something.
pub const CHANGES: [&str; 18] = [
    "apply",
    "client create",
    "client delete",
    "client disable",
    "client enable",
    "client import",
    "client rotate-secret",
    "client update",
    "group delete",
    "group set",
    "key import",
    "key revoke",
    "key rewrap",
    "key rotate",
    "restore-epoch",
    "token correct-cutoff",
    "token issue",
    "token revoke",
];

/// The arguments that name an object, and its kind. A token is named by its id.
const TARGETS: [(&str, &str); 5] = [
    ("id", "client"),
    ("client", "client"),
    ("group_name", "group"),
    ("kid", "key"),
    ("token", "token"),
];

/// A subcommand as it was called.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    subcommand: String,
    target: Option<(&'static str, String)>,
    /// It shows what it would change, and changes nothing.
    is_dry_run: bool,
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
            let id = match kind {
                // It may be a whole token, which is recorded nowhere.
                "token" => TokenRef::parse(value)?.jti.to_string(),
                _ => value.clone(),
            };
            Some((kind, id))
        };
        Self {
            subcommand: names.join(" "),
            target: TARGETS.into_iter().find_map(value),
            is_dry_run: matches!(matches.try_get_one::<bool>("dry_run"), Ok(Some(true))),
        }
    }

    /// Whether it changes something.
    pub fn is_change(&self) -> bool {
        CHANGES.contains(&&*self.subcommand) && !self.is_dry_run
    }

    /// The kind of object that it names, and the object.
    pub fn target(&self) -> Option<(&'static str, &str)> {
        let (kind, id) = self.target.as_ref()?;
        Some((kind, id))
    }

    /// Records that it was rejected. A store that cannot be opened has no log; the failure itself is printed in any case.
    pub async fn record(&self, config: &Config, failure: &Failure) {
        let Ok(direct) = Direct::open(config).await else {
            return;
        };
        let change = RejectedChange {
            request: &self.subcommand,
            target: self.target().unwrap_or(("issuer", "")),
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
