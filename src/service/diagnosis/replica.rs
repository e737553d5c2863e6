//! Whether the read replica can be read from. Without it the primary answers, so a problem is a warning.

use std::time::{Duration, Instant};

use oauth2_store::{Fallback, ReplicaState, ReplicaStatus, Store};

use super::check::{Check, Status};

/// How long a replica is given to be connected to, and to replay what the primary had when the check began.
const PATIENCE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(100);

/// Checks the replica, if there is one.
pub(super) async fn check(store: &Store) -> Option<Check> {
    let began = Instant::now();
    let mut status = store.check_replica().await?;
    while is_passing(&status) && began.elapsed() < PATIENCE {
        tokio::time::sleep(PAUSE).await;
        status = store.check_replica().await?;
    }
    Some(describe(&status).with_runbook("OAuth2ReplicaUnused"))
}

/// Whether the next check may find another state.
fn is_passing(status: &ReplicaStatus) -> bool {
    matches!(
        status.state,
        ReplicaState::Unused(Fallback::Behind | Fallback::Slow | Fallback::Unreachable, _)
    )
}

fn describe(status: &ReplicaStatus) -> Check {
    let check = |status, detail| Check::new("replica", status, detail);
    match &status.state {
        ReplicaState::InUse if status.is_primary => check(
            Status::Warning,
            "the server of OAUTH2_DATABASE_READ_URL is the primary itself: it answers all reads".to_owned(),
        ),
        ReplicaState::InUse => {
            let lag = status.lag.unwrap_or_default().as_millis();
            check(
                Status::Ok,
                format!("it is in recovery and at most {lag} ms behind the primary"),
            )
        }
        ReplicaState::Unused(_, why) => check(
            Status::Warning,
            format!("the primary answers reads instead of the server of OAUTH2_DATABASE_READ_URL: {why}"),
        ),
    }
}
