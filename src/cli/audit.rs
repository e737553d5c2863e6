//! `audit list`.

use std::time::Duration;

use clap::{Args, Subcommand};
use oauth2_actors::model::{AuditFilter, AuditPlace, AuditRow, Page};
use oauth2_actors::store::Store;

use super::{Json, Paging, output, store};
use crate::config::Config;
use crate::failure::Failure;
use crate::oauth::audit::{self, AuditView};
use crate::oauth::view::ListView;

/// How often new rows are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Rows that are read at a time while following.
const CHUNK: usize = 1000;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List who changed what, newest first.
    List(List),
}

#[derive(Debug, Args)]
pub struct List {
    /// From this moment on: Unix seconds, or a time such as 2026-11-25T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this moment.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of this client.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Of this kind: an action such as client.create, or all of client.
    #[arg(long)]
    kind: Option<String>,
    /// Print new rows as they come, oldest first, one JSON object a line, until interrupted.
    #[arg(long, conflicts_with_all = ["cursor", "until"])]
    follow: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    json: Json,
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    let Command::List(asked) = command;
    let filter = audit::filter(
        asked.since.as_deref(),
        asked.until.as_deref(),
        asked.client.clone(),
        asked.kind.clone(),
    );
    let filter = filter.map_err(|why| Failure::Refused(format!("--{}", why.replacen("client_id", "client", 1))))?;
    let place =
        audit::place(asked.paging.cursor.as_deref()).map_err(|why| Failure::Refused(format!("--cursor {why}")))?;
    let store = store::open(config).await?;
    if asked.follow {
        return tokio::select! {
            done = follow(&store, &filter) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    }
    let limit = usize::from(asked.paging.limit);
    let page = Page::cut(store.audit(&filter, place, limit + 1).await?, limit, audit::cursor);
    if asked.json.json {
        return output::json(&ListView {
            items: page.items.iter().map(AuditView::new).collect(),
            next_cursor: page.next,
        });
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

/// From the newest row on; with a time to begin at, from there.
async fn follow(store: &Store, filter: &AuditFilter) -> Result<(), Failure> {
    let mut at = match filter.since {
        Some(_) => (i64::MIN, i64::MIN),
        None => store
            .audit(&AuditFilter::default(), AuditPlace::Newest, 1)
            .await?
            .first()
            .map_or((i64::MIN, i64::MIN), |row| row.place),
    };
    loop {
        // A store that is away for a while is waited for.
        if let Ok(rows) = store.audit(filter, AuditPlace::After(at.0, at.1), CHUNK).await {
            for row in &rows {
                at = row.place;
                let line = serde_json::to_string(&AuditView::new(row)).map_err(Failure::environment)?;
                output::text_line(&line)?;
            }
            if rows.len() >= CHUNK {
                continue;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
