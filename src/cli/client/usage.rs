//! `client usage` and `client top`: what clients have used, as the store knows it.

use std::collections::HashMap;
use std::iter;

use clap::Args;
use oauth2_actors::model::{Client, Mode, Quotas, Usage, Window};
use oauth2_actors::store::Store;
use serde_json::json;

use crate::cli::store::{self, no_such_client, now};
use crate::cli::{Json, output};
use crate::config::Config;
use crate::failure::Failure;
use crate::oauth::registration::quota_below;
use crate::oauth::view::QuotaView;

#[derive(Debug, Args)]
pub struct Top {
    /// Clients at the most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    json: Json,
}

/// What clients have used, by their ids.
type Known = HashMap<String, Vec<Usage>>;

fn effective(config: &Config, client: &Client) -> (Quotas, Mode) {
    let (own, rules) = (client.policy(), &config.quotas);
    let quotas = Quotas {
        hour: own.quotas.hour.or(rules.quotas.hour),
        day: own.quotas.day.or(rules.quotas.day),
        month: own.quotas.month.or(rules.quotas.month),
    };
    (quotas, own.quota_mode.unwrap_or(rules.mode))
}

/// Those that are enforced.
fn enforced(config: &Config, client: &Client) -> Option<Quotas> {
    let (quotas, mode) = effective(config, client);
    (mode == Mode::Enforce).then_some(quotas)
}

/// What a client has used of each window that a moment lies in, given what is known of it, and when the window ends.
fn levels(known: &[Usage], now: i64) -> impl Iterator<Item = (Window, u64, i64)> {
    Window::ALL.iter().map(move |window| {
        let (start, end) = window.around(now);
        let used = known
            .iter()
            .find(|usage| usage.window == *window && usage.start == start);
        (*window, used.map_or(0, |usage| usage.used), end)
    })
}

pub async fn usage(config: &Config, id: &str, json: Json) -> Result<(), Failure> {
    let store = store::open(config).await?;
    let client = store.client(id).await?.ok_or_else(|| no_such_client(id))?;
    let (quotas, mode) = effective(config, &client);
    let known = store.quota_usage_of(&[id.to_owned()]).await?;
    let views: Vec<_> = levels(&known, now())
        .map(|(window, used, end)| QuotaView::new(window, window.of(&quotas), used, end))
        .collect();
    if json.json {
        return output::json(&json!({"client_id": id, "quota_mode": mode, "quotas": views}));
    }
    let row = |view: &QuotaView| {
        vec![
            view.window.to_string(),
            output::or_dash(view.limit),
            view.used.to_string(),
            output::or_dash(view.remaining),
            output::date(view.resets_at),
        ]
    };
    let rows: Vec<_> = views.iter().map(row).collect();
    output::table(&["WINDOW", "QUOTA", "USED", "LEFT", "RESETS"], &rows)
}

pub async fn top(config: &Config, asked: &Top) -> Result<(), Failure> {
    let top = store::open(config)
        .await?
        .top_clients(now(), usize::from(asked.limit))
        .await?;
    if asked.json.json {
        let items: Vec<_> = top
            .iter()
            .map(|(id, count)| json!({"client_id": id, "still_valid_tokens": count}))
            .collect();
        return output::json(&json!({"items": items, "next_cursor": null}));
    }
    let rows: Vec<_> = top
        .iter()
        .map(|(id, count)| vec![id.clone(), count.to_string()])
        .collect();
    output::table(&["CLIENT", "STILL VALID TOKENS"], &rows)
}

/// Refuses a quota that is lower than what is used of it already.
pub async fn check(config: &Config, store: &Store, current: &Client, changed: &Client) -> Result<(), Failure> {
    let known = known(config, store, iter::once((current, changed))).await?;
    match below(config, &known, current, changed) {
        None => Ok(()),
        Some(why) => Err(Failure::Refused(why)),
    }
}

/// What those of the clients have used whose quotas must not be lower.
pub async fn known(
    config: &Config,
    store: &Store,
    changes: impl Iterator<Item = (&Client, &Client)>,
) -> Result<Known, Failure> {
    let others = |(current, changed): &(&Client, &Client)| {
        let quotas = enforced(config, changed);
        quotas.is_some_and(|quotas| quotas != Quotas::default()) && quotas != enforced(config, current)
    };
    let ids: Vec<String> = changes
        .filter(others)
        .map(|(_, changed)| changed.client_id.to_string())
        .collect();
    let mut known = Known::new();
    if !ids.is_empty() {
        for usage in store.quota_usage_of(&ids).await? {
            known.entry(usage.client_id.clone()).or_default().push(usage);
        }
    }
    Ok(known)
}

/// Which quota is lower than what is used of it already, as far as that is known.
pub fn below(config: &Config, known: &Known, current: &Client, changed: &Client) -> Option<String> {
    let (quotas, known) = (enforced(config, changed)?, known.get(&*changed.client_id)?);
    let levels = levels(known, now());
    quota_below(
        enforced(config, current).as_ref(),
        &quotas,
        levels.map(|(window, used, _)| (window, used)),
    )
}
