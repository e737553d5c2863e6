//! `group …`.

use clap::{Args, Subcommand, ValueEnum};
use oauth2_store::model::{Group, Quotas, RateLimits};
use serde_json::json;

use super::arguments::Json;
use super::limit_flags::LimitFlags;
use super::{flags, output};
use crate::app::direct::{Direct, operator};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::clients::field::Field;
use crate::service::groups::charges::{self, Charge, ChargeQuery};
use crate::service::groups::{GroupRequest, GroupView};
use crate::service::page::PageView;

/// Parameters, and the flags that give them.
const FLAGS: &[(&str, &str)] = &[
    ("group", "NAME"),
    ("rate_limits", "--rate-limit"),
    ("rate_limit_mode", "--rate-limit-mode"),
    ("quotas", "--quota"),
    ("quota_mode", "--quota-mode"),
    ("from", "--from"),
    ("until", "--until"),
];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the groups that have limits.
    List(Json),
    /// Show the limits of a group, and what its clients used of its quotas.
    Show(Named),
    /// Set the limits of a group, in place of those that it had. Clients join it by: client update ID --group NAME.
    Set(Set),
    /// Remove the limits of a group. Its clients stay in it.
    Delete(Named),
    /// Show the tokens that groups are charged for, by day or month; kept for 13 months.
    Usage(Usage),
}

#[derive(Debug, Args)]
pub struct Named {
    /// Name of the group.
    #[arg(value_name = "NAME")]
    group_name: String,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub struct Set {
    /// Name of the group, such as the id of a tenant or a plan.
    #[arg(value_name = "NAME")]
    group_name: String,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
pub struct Usage {
    /// First day (UTC), such as 2026-11-01; by default the first of this month.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Last day; by default today.
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// Add up the tokens of each day or month.
    #[arg(long, value_enum, default_value = "month")]
    by: Period,
    /// Of this group only.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Period {
    Day,
    Month,
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(json) => list(config, json).await,
        Command::Show(named) => show(config, &named).await,
        Command::Set(options) => set(config, options).await,
        Command::Delete(named) => delete(config, &named).await,
        Command::Usage(options) => usage(config, &options).await,
    }
}

async fn list(config: &Config, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let groups = direct.services.groups.list(direct.deadline()).await?;
    if json.json {
        return output::json(&PageView::only(groups.iter().map(GroupView::new).collect()));
    }
    let row = |group: &Group| {
        vec![
            group.name.to_string(),
            output::or_dash(rates(&group.limits.rate_limits)),
            output::or_dash(quotas(&group.limits.quotas)),
            output::date(group.updated_at),
        ]
    };
    let rows: Vec<_> = groups.iter().map(row).collect();
    output::table(&["GROUP", "RATE LIMITS", "QUOTAS", "UPDATED"], &rows)
}

fn rates(limits: &RateLimits) -> Option<String> {
    let all = [
        ("token", limits.token),
        ("introspection", limits.introspection),
        ("revocation", limits.revocation),
    ];
    joined(all.map(|(name, rate)| rate.map(|rate| format!("{name}={rate}"))))
}

fn quotas(quotas: &Quotas) -> Option<String> {
    let all = [("hour", quotas.hour), ("day", quotas.day), ("month", quotas.month)];
    joined(all.map(|(name, quota)| quota.map(|quota| format!("{name}={quota}"))))
}

fn joined(parts: [Option<String>; 3]) -> Option<String> {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

async fn show(config: &Config, named: &Named) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let groups = &direct.services.groups;
    let group = groups.find(&named.group_name, direct.deadline()).await?;
    let usage = groups.usage(&group, direct.deadline()).await?;
    if named.json.json {
        let mut shown = json!(GroupView::new(&group));
        shown["usage"] = json!(usage);
        return output::json(&shown);
    }
    print(&group)?;
    super::client::print_quotas(&usage)
}

fn print(group: &Group) -> Result<(), Failure> {
    let limits = &group.limits;
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    output::table(
        &["GROUP", &group.name],
        &[
            row("rate limits", output::or_dash(rates(&limits.rate_limits))),
            row("rate limit mode", output::or_dash(limits.rate_limit_mode)),
            row("quotas", output::or_dash(quotas(&limits.quotas))),
            row("quota mode", output::or_dash(limits.quota_mode)),
            row("updated", output::date(group.updated_at)),
        ],
    )
}

async fn set(config: &Config, set: Set) -> Result<(), Failure> {
    let request = GroupRequest {
        rate_limits: set.limits.rate_limits()?,
        quotas: set.limits.quotas()?,
        rate_limit_mode: set.limits.rate_limit_mode.into(),
        quota_mode: set.limits.quota_mode.into(),
    };
    if request.rate_limits == Field::Absent && request.quotas == Field::Absent {
        let problem =
            "set at least one --rate-limit or --quota; to remove the limits, run: oauth2_server group delete NAME";
        return Err(Failure::Invalid(problem.to_owned()));
    }
    let direct = Direct::open(config).await?;
    let groups = &direct.services.groups;
    let group = groups
        .set(&operator(), &set.group_name, &request, direct.deadline())
        .await
        .map_err(|error| flags::failure(error, FLAGS))?;
    if set.json.json {
        return output::json(&GroupView::new(&group));
    }
    print(&group)
}

async fn delete(config: &Config, named: &Named) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let groups = &direct.services.groups;
    groups.delete(&operator(), &named.group_name, direct.deadline()).await?;
    if named.json.json {
        return output::json(&json!({ "group": named.group_name, "deleted": true }));
    }
    output::text_line(&format!("group {} has no limits", named.group_name))
}

async fn usage(config: &Config, usage: &Usage) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let query = ChargeQuery {
        from: usage.from.as_deref(),
        until: usage.until.as_deref(),
        by: Some(match usage.by {
            Period::Day => "day",
            Period::Month => "month",
        }),
        group: usage.group.as_deref(),
    };
    let groups = &direct.services.groups;
    let charges = groups
        .charges(query, direct.deadline())
        .await
        .map_err(|error| flags::failure(error, FLAGS))?;
    if usage.csv {
        let text = charges::csv(&charges)?;
        return output::text_as_it_is(&text);
    }
    if usage.json.json {
        return output::json(&PageView::only(charges));
    }
    let row = |charge: &Charge| vec![charge.period.clone(), charge.group.clone(), charge.tokens.to_string()];
    let rows: Vec<_> = charges.iter().map(row).collect();
    output::table(&["PERIOD", "GROUP", "TOKENS"], &rows)
}
