//! Outcome of a limit check.

use super::names::names;

names! {
    /// Outcome of a limit check, as the metrics label it.
    Decision {
        /// Within the limit.
        Allowed = "allowed",
        /// Over the limit, but the limit is in observe mode, so the request passes.
        Observed = "observed",
        /// Over the limit; the request is rejected.
        Limited = "limited",
    }
}
