//! `key status`.

use clap::Args;
use serde_json::json;

use crate::app::direct::Direct;
use crate::cli::arguments::Json;
use crate::cli::output;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::keys::verifiers::VerifierView;
use crate::service::keys::view::{KeyView, State};

#[derive(Debug, Args)]
pub struct Status {
    /// List every verifier of the key sets that was seen in the last week, not only verifiers that lack a key.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    json: Json,
}

/// Prints which verifiers lack which keys.
pub async fn run(config: &Config, options: &Status) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let keys = &direct.services.keys;
    let found = keys.verifiers(direct.deadline()).await?;
    let (mut verifiers, waiting) = (found.views(&keys.timing), found.waiting(&keys.timing));
    let seen = verifiers.len();
    let behind = verifiers.iter().filter(|verifier| !verifier.lacks.is_empty()).count();
    verifiers.retain(|verifier| options.all || !verifier.lacks.is_empty());
    let mut views = KeyView::all(&found.keys, &keys.timing);
    views.retain(|view| matches!(view.state, State::Published | State::Signing));
    if options.json.json {
        return output::json(&json!({
            "keys": views, "waiting": waiting, "verifiers": verifiers, "seen": seen, "behind": behind,
        }));
    }
    for view in views.iter().filter(|view| view.state == State::Published) {
        let at = output::or_dash(view.signs_from.map(output::date));
        let when = if view.when_seen {
            let reason = waiting.iter().find(|key| key.kid == view.kid);
            let reason = reason.map_or_else(String::new, |key| format!(": {}", key.reason));
            format!("when every verifier has fetched it, at {at} at the latest{reason}")
        } else {
            format!("at {at}")
        };
        output::text_line(&format!("{} ({}) signs {when}", view.kid, view.algorithm))?;
    }
    output::text_line(&format!(
        "{behind} of {seen} verifiers of the key sets in the last week lack a key"
    ))?;
    if verifiers.is_empty() {
        return Ok(());
    }
    let row = |verifier: &VerifierView<'_>| {
        vec![
            verifier.document.to_owned(),
            verifier.address.to_owned(),
            output::date(verifier.last_seen),
            verifier.fetches.to_string(),
            verifier.user_agent.to_owned(),
            output::or_dash((!verifier.lacks.is_empty()).then(|| verifier.lacks.join(" "))),
        ]
    };
    let rows: Vec<_> = verifiers.iter().map(row).collect();
    output::table(
        &["SET", "ADDRESS", "LAST SEEN", "FETCHES", "USER AGENT", "LACKS"],
        &rows,
    )
}
