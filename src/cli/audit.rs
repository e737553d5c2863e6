//! `audit list`.

use clap::{Args, Subcommand};
use oauth2_store::model::AuditRow;

use super::arguments::{Json, Paging};
use super::{flags, output};
use crate::app::direct::Direct;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::audit::{AuditQuery, AuditView};
use crate::service::error::ServiceError;
use crate::service::page::PageView;

/// The flags of this subcommand.
const FLAGS: &[(&str, &str)] = &[
    ("client_id", "--client"),
    ("actor", "--actor"),
    ("credential", "--credential"),
    ("jti", "--jti"),
];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the audit log, newest row first.
    List(List),
}

#[derive(Debug, Args)]
pub struct List {
    /// Not before this time: Unix seconds, or a time such as 2026-11-25T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// By or about this client.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// An action such as client.create, or the part before its dot, such as client.
    #[arg(long)]
    kind: Option<String>,
    /// By this actor, such as client:ops or cli:root.
    #[arg(long)]
    actor: Option<String>,
    /// By this credential: the id of an access token, or another credential that a row names.
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// By this token, or about it: its issuance by an operator, or its revocation.
    #[arg(long)]
    jti: Option<String>,
    /// Print new rows as they are written, oldest first, one JSON object per line, until interrupted.
    #[arg(long, conflicts_with_all = ["cursor", "until"])]
    follow: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    json: Json,
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    let Command::List(list) = command;
    let filter = AuditQuery {
        since: list.since.as_deref(),
        until: list.until.as_deref(),
        client_id: list.client,
        kind: list.kind,
        actor: list.actor,
        credential: list.credential,
        jti: list.jti.as_deref(),
    }
    .filter()
    .map_err(|error| flags::failure(error, FLAGS))?;
    let direct = Direct::open(config).await?;
    let audit = &direct.services.audit;
    if list.follow {
        return tokio::select! {
            done = audit.follow(filter, print_line) => match done {
                Err(End::Failed(failure)) => Err(failure),
                Err(End::Closed) | Ok(()) => Ok(()),
            },
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    }
    let page = audit.list(filter, list.paging.cursor(), list.paging.limit(), direct.deadline());
    let page = page.await.map_err(|error| flags::failure(error, FLAGS))?;
    if list.json.json {
        return output::json(&PageView::new(&page, AuditView::new));
    }
    let row = |row: &AuditRow| {
        vec![
            output::date(row.at),
            row.actor.clone(),
            row.action.clone(),
            output::or_dash(Some(&row.target_id).filter(|id| !id.is_empty())),
            row.detail.to_string(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    output::table(&["AT", "ACTOR", "ACTION", "TARGET", "DETAIL"], &rows)?;
    output::more(page.next.as_deref());
    Ok(())
}

/// Why rows are not followed any longer.
enum End {
    /// The reader of stdout has gone.
    Closed,
    Failed(Failure),
}

impl From<ServiceError> for End {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error.into())
    }
}

fn print_line(row: &AuditRow) -> Result<(), End> {
    output::json_line(&AuditView::new(row)).map_err(End::Failed)?;
    if output::is_closed() { Err(End::Closed) } else { Ok(()) }
}
