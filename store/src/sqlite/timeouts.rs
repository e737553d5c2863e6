//! Time limits of waiting for another process's lock on the file.

use std::time::Duration;

/// For an administrative change.
pub(super) const ADMIN_LOCK_WAIT: Duration = Duration::from_secs(5);
/// For a batch of tokens, a quota count or a step of maintenance: the deadline of a token request is 1 s.
pub(super) const TOKEN_LOCK_WAIT: Duration = Duration::from_millis(900);
