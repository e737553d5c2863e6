//! Repeats a change that was decided from values that another request has changed since, so that its audit row has the values that it
//! replaced.

use std::time::Instant;

use super::error::{Result, ServiceError};

/// How often a change is decided, at most: each time, another change was faster.
const ATTEMPTS: u32 = 100;

/// Calls `change`, which reads an object and writes it if it is still as it was read, until no other change comes in between.
pub async fn until_unchanged<T>(deadline: Instant, mut change: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match change().await {
            Err(ServiceError::Conflict(_)) if Instant::now() < deadline => {}
            outcome => return outcome,
        }
    }
    change().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn only_conflicts_are_decided_again() {
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut calls = 0;
        let changed = until_unchanged(deadline, async || {
            calls += 1;
            if calls < 3 {
                return Err(ServiceError::Conflict("changed".to_owned()));
            }
            Ok(calls)
        });
        assert!(matches!(changed.await, Ok(3)));
        let mut calls = 0;
        let failed = until_unchanged::<()>(deadline, async || {
            calls += 1;
            Err(ServiceError::QuotaUnknown)
        });
        assert!(matches!(failed.await, Err(ServiceError::QuotaUnknown)));
        assert_eq!(calls, 1);
        let mut calls = 0;
        let late = until_unchanged::<()>(Instant::now(), async || {
            calls += 1;
            Err(ServiceError::Conflict("changed".to_owned()))
        });
        assert!(matches!(late.await, Err(ServiceError::Conflict(_))));
        assert_eq!(calls, 1);
    }
}
