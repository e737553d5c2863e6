//! Whether the ledger of tokens is maintained: partitions made ahead of use, expired rows deleted.

use oauth2_store::{LedgerFigures, Store, StoreError};

use super::check::{Check, Status};

/// Expired rows beyond this number say that the purge does not keep up: as the alert.
const MAX_WAITING: u64 = 50_000;

/// Checks the ledger at `now`, Unix seconds. `lifetime`: the default lifetime of tokens, seconds.
pub(super) async fn check(store: &Store, now: i64, lifetime: u32) -> Vec<Check> {
    match store.ledger_figures(now).await {
        Ok(figures) => {
            let needed = store.partitions_needed(now, lifetime.into());
            vec![
                partitions(&figures, now, needed).with_runbook("OAuth2PartitionsMissing"),
                purge(&figures).with_runbook("OAuth2PurgeBehind"),
            ]
        }
        Err(error) => vec![failed(&error)],
    }
}

fn failed(error: &StoreError) -> Check {
    Check::new("partitions", Status::Failed, error.to_string()).with_runbook("OAuth2PartitionsMissing")
}

fn partitions(figures: &LedgerFigures, now: i64, needed: u32) -> Check {
    if needed == 0 {
        return Check::new("partitions", Status::Skipped, "the store is SQLite: there are none");
    }
    let ahead = figures.partition_starts.iter().filter(|start| **start > now).count();
    let strays = figures.default_partition_rows;
    let detail =
        format!("{ahead} are ready for later tokens, {needed} are needed; {strays} tokens had none of their own");
    if ahead >= needed as usize && strays == 0 {
        return Check::new("partitions", Status::Ok, detail);
    }
    let detail = format!("{detail}; a server makes them once a minute: its log says why it cannot");
    Check::new("partitions", Status::Warning, detail)
}

fn purge(figures: &LedgerFigures) -> Check {
    let waiting = figures.purge_rows_waiting;
    let status = if waiting > MAX_WAITING {
        Status::Warning
    } else {
        Status::Ok
    };
    Check::new("purge", status, format!("{waiting} expired tokens wait to be deleted"))
}
