//! `key status`.

use clap::Args;
use serde_json::json;

use crate::app::direct::Direct;
use crate::cli::arguments::Json;
use crate::cli::output;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::keys::fetchers::FetcherView;
use crate::service::keys::view::{KeyView, State};

#[derive(Debug, Args)]
pub struct Status {
    /// List every caller of the key sets that was seen in the last week, not only callers that lack a key.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    json: Json,
}

/// Prints which verifiers lack which keys.
pub async fn run(config: &Config, options: &Status) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let keys = &direct.services.keys;
    let found = keys.fetchers(direct.deadline()).await?;
    let mut callers = found.views(&keys.timing);
    let seen = callers.len();
    let behind = callers.iter().filter(|caller| !caller.lacks.is_empty()).count();
    callers.retain(|caller| options.all || !caller.lacks.is_empty());
    let mut views = KeyView::all(&found.keys, &keys.timing);
    views.retain(|view| matches!(view.state, State::Published | State::Signing));
    if options.json.json {
        return output::json(&json!({"keys": views, "callers": callers, "seen": seen, "behind": behind}));
    }
    for view in views.iter().filter(|view| view.state == State::Published) {
        let at = output::or_dash(view.signs_from.map(output::date));
        let when = if view.when_seen {
            format!("when every caller has fetched it, at {at} at the latest")
        } else {
            format!("at {at}")
        };
        output::text_line(&format!("{} ({}) signs {when}", view.kid, view.algorithm))?;
    }
    output::text_line(&format!(
        "{behind} of {seen} callers of the key sets in the last week lack a key"
    ))?;
    if callers.is_empty() {
        return Ok(());
    }
    let row = |caller: &FetcherView<'_>| {
        vec![
            caller.document.to_owned(),
            caller.address.to_owned(),
            output::date(caller.last_seen),
            caller.fetches.to_string(),
            caller.user_agent.to_owned(),
            output::or_dash((!caller.lacks.is_empty()).then(|| caller.lacks.join(" "))),
        ]
    };
    let rows: Vec<_> = callers.iter().map(row).collect();
    output::table(
        &["SET", "ADDRESS", "LAST SEEN", "FETCHES", "USER AGENT", "LACKS"],
        &rows,
    )
}
