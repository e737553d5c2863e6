//! Reports that the store accepts no writes, or denies the server something else: once when that begins and once when it ends.

use oauth2_store::WriteHealth;

/// What was reported last.
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
                    "the database denies the server what it needs; requests that need it get 503"
                );
                self.is_denial_reported = true;
            }
            (None, true) => {
                tracing::info!("the database denies the server nothing any more");
                self.is_denial_reported = false;
            }
            _ => {}
        }
    }
}
