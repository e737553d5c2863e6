//! The metrics actor.
//!
//! - Owns: the registry, the observable gauges, the text of `/metrics` ([`Scrape`]), and what increased lately ([`LookBack`]).
//! - Source of truth: [`Instruments`] and the registry, in this process.
//! - Published: [`Instruments`], to which handlers add without a mailbox.
//! - On restart: nothing is lost. The registry and the instruments belong to the actor's factory, so counters never decrease.
//! - When full: the scrape fails at once.

use actix::prelude::*;

use crate::runtime::mailbox::{Envelope, Request};

pub mod catalogue;
mod exporter;
mod foreign_check;
mod instruments;
mod labels;
mod mailboxes;
mod operators;
mod process;
mod recent;

pub use exporter::Exporter;
pub use foreign_check::ForeignCheck;
pub use instruments::{Instruments, Proof};
pub use labels::{ByLabel, Label, bind};
pub use mailboxes::watch_mailboxes;
pub use operators::OperatorRejection;
pub use recent::{Increase, Increases};

/// Renders `/metrics`, in the Prometheus exposition format 0.0.4.
#[derive(Debug)]
pub struct Scrape;

impl Request for Scrape {
    type Reply = String;
}

/// By how much each counter increased in the last minutes.
#[derive(Debug)]
pub struct LookBack;

impl Request for LookBack {
    type Reply = Increases;
}

/// The actor.
#[derive(Debug)]
pub struct Metrics {
    exporter: Exporter,
}

impl Metrics {
    /// An actor over the registry of earlier incarnations.
    pub fn new(exporter: Exporter) -> Self {
        Self { exporter }
    }
}

impl Actor for Metrics {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(recent::STEP, |actor, _| actor.exporter.remember());
    }
}

impl Handler<Envelope<Scrape>> for Metrics {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Scrape>, _: &mut Context<Self>) {
        envelope.reply_with(|Scrape| self.exporter.scrape());
    }
}

impl Handler<Envelope<LookBack>> for Metrics {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<LookBack>, _: &mut Context<Self>) {
        envelope.reply_with(|LookBack| self.exporter.look_back());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported() -> (Exporter, Instruments) {
        let exporter = Exporter::new().unwrap();
        let instruments = Instruments::new(&exporter.meter(), "sqlite");
        (exporter, instruments)
    }

    #[test]
    fn every_series_is_exported_at_zero_from_the_start() {
        let (exporter, _instruments) = exported();
        let text = exporter.scrape();
        let wanted = [
            r#"oauth_token_issued_total{format="paseto",grant_type="client_credentials"} 0"#,
            r#"oauth_token_revoked_total{kind="issuer"} 0"#,
            r#"oauth_introspections_total{active="true"} 0"#,
            r#"verified_token_cache_total{result="hit"} 0"#,
            r#"auth_failures_total{decision="over"} 0"#,
            r#"token_commit_batch_size_count{store="sqlite"} 0"#,
            r#"token_commit_duration_seconds_count{store="sqlite"} 0"#,
        ];
        for series in wanted {
            assert!(
                text.contains(&format!("oauth2_server_{series}")),
                "{series} is missing in\n{text}"
            );
        }
        assert!(
            text.lines()
                .any(|line| line.starts_with("oauth2_server_process_resident_memory_bytes ")),
            "{text}"
        );
    }

    #[test]
    fn counts_are_exported() {
        let (exporter, instruments) = exported();
        instruments.auth_failure(true);
        let text = exporter.scrape();
        assert!(
            text.contains(r#"oauth2_server_auth_failures_total{decision="over"} 1"#),
            "{text}"
        );
    }
}
