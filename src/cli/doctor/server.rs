//! Checks of a running server: readiness, failures of the last minutes, use of its connections.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::management::Management;
use crate::cli::samples::Samples;
use crate::service::diagnosis::{Check, Status};

/// The share of connections in use that is reported: as the alert.
const BUSY: f64 = 0.9;

/// Counters that should not increase: the check, the metric, the label that distinguishes the increases, the alert with the runbook.
const PROBLEMS: [(&str, &str, &str, &str); 5] = [
    ("restarts", "actor_restarts_total", "actor", "OAuth2ActorRestarts"),
    ("sheds", "shed_total", "reason", "OAuth2Shedding"),
    (
        "deadlines",
        "deadlines_missed_total",
        "endpoint",
        "OAuth2DeadlinesMissed",
    ),
    ("store errors", "store_errors_total", "class", "OAuth2StoreUnavailable"),
    ("log lines", "log_lines_dropped_total", "", "OAuth2LogLinesDropped"),
];

#[derive(Deserialize)]
struct Readiness {
    checks: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
struct Recent {
    seconds: u64,
    counters: Vec<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    name: String,
    labels: BTreeMap<String, String>,
    increase: f64,
}

/// Checks the server whose management listener this is.
pub fn check(management: &Management) -> Vec<Check> {
    if !management.is_there() {
        let detail = format!("none listens at {}", management.url(""));
        return vec![Check::new("server", Status::Skipped, detail)];
    }
    let mut checks = vec![readiness(management).with_runbook("OAuth2NotReady")];
    match recent(management) {
        Ok(recent) => checks.extend(PROBLEMS.map(|(name, metric, label, alert)| {
            let (status, detail) = recent.summary(metric, label);
            Check::new(name, status, detail).with_runbook(alert)
        })),
        Err(problem) => checks.push(Check::new("last minutes", Status::Warning, problem)),
    }
    checks.push(pool(management).with_runbook("DatabaseConnectionPoolExhausted"));
    checks
}

fn readiness(management: &Management) -> Check {
    let response = match management.get("/ready", None) {
        Ok(response) => response,
        Err(problem) => return Check::new("server", Status::Failed, problem),
    };
    if response.status == 200 {
        return Check::new("server", Status::Ok, format!("{} is ready", management.url("")));
    }
    let failing = response.json::<Readiness>().map(|found| {
        let failing = found.checks.into_iter().filter(|(_, passes)| !passes);
        failing.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    });
    let detail = match failing {
        Some(failing) => format!("it is not ready: {failing}"),
        None => format!("{} responds with {}", management.url("/ready"), response.status),
    };
    Check::new("server", Status::Failed, detail)
}

fn recent(management: &Management) -> Result<Recent, String> {
    let response = management.get("/metrics/recent", None)?;
    let found = (response.status == 200).then(|| response.json()).flatten();
    found.ok_or_else(|| {
        format!(
            "{} responds with {}",
            management.url("/metrics/recent"),
            response.status
        )
    })
}

impl Recent {
    /// How often something happened, by the values of a label.
    fn summary(&self, metric: &str, label: &str) -> (Status, String) {
        let name = format!("oauth2_server_{metric}");
        let mut by_value: BTreeMap<&str, f64> = BTreeMap::new();
        for counter in self.counters.iter().filter(|counter| counter.name == name) {
            let value = counter.labels.get(label).map_or("", String::as_str);
            *by_value.entry(value).or_default() += counter.increase;
        }
        let total: f64 = by_value.values().sum();
        if total == 0.0 {
            return (Status::Ok, format!("none in the last {} s", self.seconds));
        }
        let parts = by_value.iter().filter(|(value, _)| !value.is_empty());
        let parts: Vec<_> = parts.map(|(value, count)| format!("{value} {count:.0}")).collect();
        let parts = if parts.is_empty() {
            String::new()
        } else {
            format!(": {}", parts.join(", "))
        };
        let detail = format!("{total:.0} in the last {} s{parts}", self.seconds);
        (Status::Warning, detail)
    }
}

fn pool(management: &Management) -> Check {
    let check = |status, detail: String| Check::new("pool", status, detail);
    let samples = match management.get("/metrics", None) {
        Ok(response) => Samples::parse(&response.body),
        Err(problem) => return check(Status::Failed, problem),
    };
    let figures = (
        samples.value("db_connections_active"),
        samples.value("db_connections_max"),
    );
    let (Some(active), Some(max)) = figures else {
        return check(Status::Warning, "the server does not report its connections".to_owned());
    };
    let status = if active >= max * BUSY {
        Status::Warning
    } else {
        Status::Ok
    };
    check(
        status,
        format!("{active:.0} of {max:.0} connections to the store are in use"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increases_of_a_metric_are_added_up_by_label() {
        let recent: Recent = serde_json::from_str(
            r#"{"seconds": 60, "counters": [
                {"name": "oauth2_server_shed_total", "labels": {"endpoint": "token", "reason": "full"}, "increase": 3},
                {"name": "oauth2_server_shed_total", "labels": {"endpoint": "admin", "reason": "full"}, "increase": 1},
                {"name": "oauth2_server_log_lines_dropped_total", "labels": {}, "increase": 7}]}"#,
        )
        .unwrap();
        let of = |metric, label| recent.summary(metric, label);
        assert_eq!(
            of("shed_total", "reason"),
            (Status::Warning, "4 in the last 60 s: full 4".to_owned())
        );
        assert_eq!(
            of("log_lines_dropped_total", ""),
            (Status::Warning, "7 in the last 60 s".to_owned())
        );
        assert_eq!(
            of("actor_restarts_total", "actor"),
            (Status::Ok, "none in the last 60 s".to_owned())
        );
    }
}
