//! What becomes of a request whose client has a limit.

use super::names;

names! {
    /// What became of a request whose client has a limit.
    Decision {
        /// There was enough left.
        Allowed = "allowed",
        /// There was not, and it was let pass: the limit is observed only.
        Observed = "observed",
        /// There was not, and it was refused.
        Limited = "limited",
    }
}
