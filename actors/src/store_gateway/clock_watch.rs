//! Reports that the store's clock was set, that it differs from this machine's, and that token ids are ahead of it: each once when it
//! begins and once when it ends.

use crate::runtime::clock::{ClockStatus, StoreClock};

/// Ids that are less ahead of the clock are not reported, milliseconds: a correction of a cut-off moves them by as much.
const REPORTED_MS: u64 = 30_000;

/// What was reported last.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    is_stepped: bool,
    is_different: bool,
    are_ids_ahead: bool,
}

impl ClockWatch {
    /// Reports what changed with a measurement. `step`: by how much the clock was set, as [`StoreClock::observe`] answers;
    /// `ids_ahead_ms`: by how much token ids are ahead of it.
    pub(super) fn report(&mut self, clock: &StoreClock, step: Option<i64>, ids_ahead_ms: u64) {
        let ClockStatus { difference_ms, .. } = clock.status();
        if let Some(step_ms) = step {
            self.is_stepped = true;
            let direction = if step_ms < 0 { "back" } else { "forward" };
            tracing::warn!(
                step_ms,
                "the store's clock was set {direction}; tokens are issued by its new time"
            );
        } else if std::mem::take(&mut self.is_stepped) {
            tracing::info!("the store's clock is steady again");
        }
        let is_different = !clock.is_synchronized();
        if is_different && !self.is_different {
            tracing::warn!(
                difference_ms,
                "the store's clock and this machine's differ by more than 30 s; this node is not ready"
            );
        } else if !is_different && self.is_different {
            tracing::info!(difference_ms, "the store's clock and this machine's agree again");
        }
        self.is_different = is_different;
        let are_ids_ahead = ids_ahead_ms > REPORTED_MS;
        if are_ids_ahead && !self.are_ids_ahead {
            tracing::warn!(
                ids_ahead_ms,
                "token ids are ahead of the store's clock, which was set back; they stay after all earlier ones and run at half speed \
                 until it has caught up"
            );
        } else if ids_ahead_ms == 0 && self.are_ids_ahead {
            tracing::info!("the store's clock has caught up with the token ids");
        }
        self.are_ids_ahead = are_ids_ahead || (self.are_ids_ahead && ids_ahead_ms > 0);
    }
}
