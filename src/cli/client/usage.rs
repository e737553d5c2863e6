//! `client usage` and `client top`: what clients have used, as the store knows it.

use clap::Args;
use oauth2_actors::model::{Client, Mode, Quotas, Window};
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

fn effective(config: &Config, client: &Client) -> (Quotas, Mode) {
    let (own, rules) = (client.policy(), &config.quotas);
    let quotas = Quotas {
        hour: own.quotas.hour.or(rules.quotas.hour),
        day: own.quotas.day.or(rules.quotas.day),
        month: own.quotas.month.or(rules.quotas.month),
    };
    (quotas, own.quota_mode.unwrap_or(rules.mode))
}

/// What is used of each window that a moment lies in.
async fn levels(store: &Store, client_id: &str, now: i64) -> Result<Vec<(Window, u64, i64)>, Failure> {
    let known = store.quota_usage_of(client_id).await?;
    let level = |window: &Window| {
        let (start, end) = window.around(now);
        let used = known
            .iter()
            .find(|usage| usage.window == *window && usage.start == start);
        (*window, used.map_or(0, |usage| usage.used), end)
    };
    Ok(Window::ALL.iter().map(level).collect())
}

pub async fn usage(config: &Config, id: &str, json: Json) -> Result<(), Failure> {
    let store = store::open(config).await?;
    let client = store.client(id).await?.ok_or_else(|| no_such_client(id))?;
    let (quotas, mode) = effective(config, &client);
    let levels = levels(&store, id, now()).await?;
    let views: Vec<_> = levels
        .into_iter()
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
    let ((before, before_mode), (quotas, mode)) = (effective(config, current), effective(config, changed));
    if mode == Mode::Observe || quotas == Quotas::default() {
        return Ok(());
    }
    for (window, used, _) in levels(store, &changed.client_id, now()).await? {
        let same = before_mode == Mode::Enforce && window.of(&before) == window.of(&quotas);
        let lowered = window.of(&quotas).filter(|_| !same);
        if let Some(why) = lowered.and_then(|quota| quota_below(window, quota, used)) {
            return Err(Failure::Refused(why));
        }
    }
    Ok(())
}
