//! The store's clock, and the time of token ids.

use super::Store;
use crate::error::Result;
use crate::model::{Slew, StoreTime};

impl Store {
    /// The store's clock, and the time of the ids that were given.
    pub async fn time(&self) -> Result<StoreTime> {
        dispatch!(self.time())
    }

    /// Records that ids may have times up to `reserved_ms`, and how they run. The slew is written only if it is still `known`: of
    /// several nodes that find the clock behind, one decides.
    pub async fn reserve_ids(&self, reserved_ms: u64, known: Slew, slew: Slew) -> Result<()> {
        dispatch!(self.reserve_ids(reserved_ms, known, slew))
    }
}
