//! `GET /metrics/recent`: what increased in the last minutes.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use oauth2_actors::metrics::{Increase, LookBack, Metrics};
use oauth2_actors::runtime::mailbox::Mailbox;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{HostErrors, PublicErrors};

/// What increased in the last minutes.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecentCounters {
    /// Seconds that are looked back on: five minutes, less after a start.
    seconds: u64,
    /// Each counter that increased, by name and labels.
    counters: Vec<RecentCounter>,
}

/// A counter that increased.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecentCounter {
    /// Name of the metric, as in `/metrics`.
    name: String,
    /// Labels of the series.
    labels: BTreeMap<String, String>,
    /// By how much it increased.
    increase: f64,
}

impl From<Increase> for RecentCounter {
    fn from(found: Increase) -> Self {
        let Increase { name, labels, increase } = found;
        Self { name, labels, increase }
    }
}

/// Reports by how much each counter increased in the last five minutes.
#[utoipa::path(
    get, path = "/metrics/recent", operation_id = "getRecentCounters", tag = "Operations",
    responses((status = 200, description = "The counters that increased.", body = RecentCounters), HostErrors, PublicErrors),
)]
pub async fn get(metrics: Data<Mailbox<Metrics>>) -> Result<HttpResponse, Failure> {
    let found = metrics.ask(LookBack, admin_deadline())?.await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(RecentCounters {
            seconds: found.seconds,
            counters: found.counters.into_iter().map(RecentCounter::from).collect(),
        }))
}
