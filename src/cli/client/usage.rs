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
    /// List groups instead, or the clients of one.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    group: Option<String>,
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
    print_quotas(&views)
}

/// Prints what is used of quotas.
pub fn print_quotas(views: &[QuotaView]) -> Result<(), Failure> {
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
    let (quotas, limit) = (&direct.services.quotas, top.limit.into());
    let (title, member, holders) = match top.group.as_deref() {
        Some("") => ("GROUP", "group", quotas.top_groups(limit, direct.deadline()).await?),
        group => {
            let group = group.map(str::to_owned);
            (
                "CLIENT",
                "client_id",
                quotas.top(limit, group, direct.deadline()).await?,
            )
        }
    };
    if top.json.json {
        let items: Vec<_> = holders
            .iter()
            .map(|(name, count)| json!({member: &**name, "still_valid_tokens": count}))
            .collect();
        return output::json(&json!({"items": items, "next_cursor": null}));
    }
    let rows: Vec<_> = holders
        .iter()
        .map(|(name, count)| vec![name.to_string(), count.to_string()])
        .collect();
    output::table(&[title, "UNEXPIRED TOKENS"], &rows)
}
