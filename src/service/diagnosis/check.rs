//! A check and its outcome.

use serde::Serialize;

/// Where the runbooks are published: the runbook of an alert is the page of its name. As `runbookBaseUrl` of the alerts.
pub const RUNBOOKS: &str = "https://github.com/oauth2-server/oauth2-server/blob/main/docs/runbooks";

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It passes.
    Ok,
    /// It passes, but something should be done.
    Warning,
    /// There is nothing to check.
    Skipped,
    /// It fails.
    Failed,
}

/// A check and its outcome.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The name of the check.
    #[serde(rename = "check")]
    pub name: &'static str,
    /// The outcome.
    pub status: Status,
    /// For people.
    pub detail: String,
    /// The runbook to open, a URL; `None` if the check passes.
    pub runbook: Option<String>,
}

impl Check {
    /// A check with this outcome and no runbook.
    pub fn new(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
            runbook: None,
        }
    }

    /// The same, with the runbook of this alert if something should be done.
    #[must_use]
    pub fn with_runbook(self, alert: &str) -> Self {
        let is_needed = matches!(self.status, Status::Warning | Status::Failed);
        Self {
            runbook: is_needed.then(|| format!("{RUNBOOKS}/{alert}.md")),
            ..self
        }
    }
}
