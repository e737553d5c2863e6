//! The use of a quota as the admin API and the command line show it.

use oauth2_store::model::Window;
use serde::Serialize;
use utoipa::ToSchema;

use super::QuotaUse;
use crate::service::schema;

/// One window of a client's quotas.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
pub struct QuotaView {
    /// Which window.
    #[schema(value_type = schema::Window)]
    pub window: Window,
    /// The quota; `null`: unlimited.
    pub limit: Option<u64>,
    /// Tokens issued in it.
    pub used: u64,
    /// Tokens left.
    pub remaining: Option<u64>,
    /// When the next window begins, Unix seconds.
    pub resets_at: i64,
}

impl QuotaView {
    /// Every window of a client.
    pub fn all(usage: &QuotaUse) -> Vec<Self> {
        let view = |used: &oauth2_actors::quota_keeper::WindowUsage| {
            let limit = used.window.quota(&usage.quotas);
            Self {
                window: used.window,
                limit,
                used: used.used,
                remaining: limit.map(|limit| limit.saturating_sub(used.used)),
                resets_at: used.ends_at,
            }
        };
        usage.windows.iter().map(view).collect()
    }
}
