//! What `top` shows, as `--json` prints it. Rates are per second; what a server does not export is `null`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::cli::samples::Change;

/// Routes that are shown, those with the most requests.
const ROUTES: usize = 8;

const DURATION: &str = "http_request_duration_seconds";

/// The view.
#[derive(Debug, Serialize)]
pub struct View {
    pub version: Option<String>,
    pub uptime_seconds: Option<f64>,
    pub ready: bool,
    pub store_up: bool,
    pub store_writable: bool,
    pub cpu_cores: Option<f64>,
    pub resident_bytes: Option<f64>,
    pub tokens_per_second: Option<f64>,
    pub tokens_by_format: Vec<Rate>,
    pub routes: Vec<Requests>,
    pub commits: Commits,
    pub connections_active: Option<f64>,
    pub connections_max: Option<f64>,
    pub revocation_lag_seconds: Option<f64>,
    pub actors: Vec<Mailbox>,
    pub rejected: Vec<Rate>,
    pub shed: Vec<Rate>,
    pub busiest_clients: Vec<Busiest>,
    /// Why the clients are not known.
    pub busiest_clients_error: Option<String>,
}

/// A rate and what it is the rate of.
#[derive(Debug, Serialize)]
pub struct Rate {
    pub name: String,
    pub per_second: f64,
}

/// The requests of a route.
#[derive(Debug, Serialize)]
pub struct Requests {
    pub route: String,
    pub per_second: f64,
    pub rejected_per_second: f64,
    pub failed_per_second: f64,
    pub p50_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
}

/// The commits of tokens.
#[derive(Debug, Serialize)]
pub struct Commits {
    pub per_second: Option<f64>,
    pub rows: Option<f64>,
    pub mean_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
}

/// The mailbox of an actor, or of several with the same name.
#[derive(Debug, Serialize)]
pub struct Mailbox {
    pub actor: String,
    pub depth: f64,
    pub messages_per_second: Option<f64>,
    pub p99_wait_seconds: Option<f64>,
    pub restarts: f64,
    pub sheds: f64,
}

/// A client and its unexpired tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct Busiest {
    pub client_id: String,
    pub still_valid_tokens: u64,
}

impl View {
    /// The view of the time between two scrapes.
    pub fn new(change: &Change<'_>, busiest: Result<Vec<Busiest>, String>) -> Self {
        let now = change.after;
        let is_set = |name| now.value(name) == Some(1.0);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let uptime = |start: f64| (since_epoch.as_secs_f64() - start).max(0.0);
        let (busiest_clients, busiest_clients_error) = match busiest {
            Ok(clients) => (clients, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        Self {
            version: now.label("build_info", "version").map(str::to_owned),
            uptime_seconds: now.value("process_start_time_seconds").map(uptime),
            ready: is_set("ready"),
            store_up: is_set("store_up"),
            store_writable: is_set("store_writable"),
            cpu_cores: change.rate("process_cpu_seconds_total", &[]),
            resident_bytes: now.value("process_resident_memory_bytes"),
            tokens_per_second: change.rate("oauth_token_issued_total", &[]),
            tokens_by_format: rates(change, "oauth_token_issued_total", "format"),
            routes: routes(change),
            commits: Commits {
                per_second: change.rate("token_commit_duration_seconds_count", &[]),
                rows: change.mean("token_commit_batch_size", &[]),
                mean_seconds: change.mean("token_commit_duration_seconds", &[]),
                p99_seconds: change.quantile("token_commit_duration_seconds", &[], 0.99),
            },
            connections_active: now.value("db_connections_active"),
            connections_max: now.value("db_connections_max"),
            revocation_lag_seconds: now.value("revocation_lag_seconds").filter(|lag| lag.is_finite()),
            actors: actors(change),
            rejected: rates(change, "reject_total", "reason"),
            shed: rates(change, "shed_total", "reason"),
            busiest_clients,
            busiest_clients_error,
        }
    }
}

fn rates(change: &Change<'_>, name: &str, label: &str) -> Vec<Rate> {
    let rate = |(name, per_second): (&str, f64)| Rate {
        name: name.to_owned(),
        per_second,
    };
    change.rates_by(name, label).into_iter().map(rate).collect()
}

fn routes(change: &Change<'_>) -> Vec<Requests> {
    let requests = change.rates_by("http_requests_total", "route").into_iter().take(ROUTES);
    let row = |(route, per_second): (&str, f64)| {
        let of = |status| change.rate("http_requests_total", &[("route", route), ("status", status)]);
        Requests {
            route: route.to_owned(),
            per_second,
            rejected_per_second: of("4xx").unwrap_or(0.0),
            failed_per_second: of("5xx").unwrap_or(0.0),
            p50_seconds: change.quantile(DURATION, &[("route", route)], 0.5),
            p99_seconds: change.quantile(DURATION, &[("route", route)], 0.99),
        }
    };
    requests.map(row).collect()
}

fn actors(change: &Change<'_>) -> Vec<Mailbox> {
    let depths = change.after.by_label("actor_mailbox_depth", "actor");
    let row = |(actor, depth): (&str, f64)| {
        let labels = [("actor", actor)];
        let total = |name| change.after.matching(name, &labels).unwrap_or(0.0);
        Mailbox {
            actor: actor.to_owned(),
            depth,
            messages_per_second: change.rate("actor_mailbox_wait_seconds_count", &labels),
            p99_wait_seconds: change.quantile("actor_mailbox_wait_seconds", &labels, 0.99),
            restarts: total("actor_restarts_total"),
            sheds: total("actor_sheds_total"),
        }
    };
    depths.into_iter().map(row).collect()
}
