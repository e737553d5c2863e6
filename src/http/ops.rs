//! The endpoints for whatever runs and watches the server.

use super::endpoint::endpoints;

pub mod health;
pub mod metrics;
pub mod openapi;
pub mod ready;
pub mod recent;

endpoints! {
    surface: Api, scope: "", group: Ops,
    Both: GET "/health" => health::get;
    Both: GET "/ready" => ready::get;
    Management: GET "/metrics" => metrics::get;
    Management: GET "/metrics/recent" => recent::get;
    Management: GET "/openapi.json" => openapi::get;
}
