//! `client usage` and `client top`.

use clap::Args;
use serde_json::json;

use crate::app::direct::Direct;
use crate::cli::arguments::Json;
use crate::cli::output;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::quotas::view::QuotaView;

#[derive(Debug, Args)]
pub struct Top {
    /// Number of clients, 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    json: Json,
}

pub async fn usage(config: &Config, client_id: &str, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let usage = direct.services.quotas.usage(client_id, direct.deadline()).await?;
    let views = QuotaView::all(&usage);
    if json.json {
        return output::json(&json!({"client_id": client_id, "quota_mode": usage.mode, "quotas": views}));
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
    output::table(&["WINDOW", "QUOTA", "USED", "REMAINING", "RESETS"], &rows)
}

pub async fn top(config: &Config, top: &Top) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let clients = direct.services.quotas.top(top.limit.into(), direct.deadline()).await?;
    if top.json.json {
        let items: Vec<_> = clients
            .iter()
            .map(|(client_id, count)| json!({"client_id": &**client_id, "still_valid_tokens": count}))
            .collect();
        return output::json(&json!({"items": items, "next_cursor": null}));
    }
    let rows: Vec<_> = clients
        .iter()
        .map(|(client_id, count)| vec![client_id.to_string(), count.to_string()])
        .collect();
    output::table(&["CLIENT", "UNEXPIRED TOKENS"], &rows)
}
