//! Logs when the store begins and ceases to accept writes, and when it begins and ceases to deny a privilege.

use oauth2_store::WriteHealth;

/// The states that were logged last.
#[derive(Debug, Default)]
pub(super) struct WriteWatch {
    is_failure_reported: bool,
    is_denial_reported: bool,
}

impl WriteWatch {
    /// Reports what changed.
    pub(super) fn report(&mut self, health: &WriteHealth) {
        match (health.failure(), self.is_failure_reported) {
            (Some(why), false) => {
                tracing::error!(why, "the store accepts no writes; requests that write get 503");
                self.is_failure_reported = true;
            }
            (None, true) => {
                tracing::info!("the store accepts writes again");
                self.is_failure_reported = false;
            }
            _ => {}
        }
        match (health.denied(), self.is_denial_reported) {
            (Some(why), false) => {
                tracing::error!(
                    why,
                    "the database denies the server a privilege; requests that need it get 503"
                );
                self.is_denial_reported = true;
            }
            (None, true) => {
                tracing::info!("the database denies the server no privilege any more");
                self.is_denial_reported = false;
            }
            _ => {}
        }
    }
}
