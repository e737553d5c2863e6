//! The check before a switch from one issuer to another: asks both for tokens of the same clients, and compares what clients and
//! verifiers see. Nothing is changed at either issuer except that tokens are issued and a few attempts fail.
//!
//! [`sample`]: which clients. [`issuer`] and [`keys`]: what an issuer publishes. [`probe`]: the requests. [`compare`]: pure comparisons.
//! [`report`]: differences by kind. [`mirror`]: a log of mirrored requests. [`http`]: the port to the network.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::stream;

pub mod compare;
pub mod http;
pub mod issuer;
pub mod keys;
pub mod mirror;
pub mod probe;
pub mod report;
pub mod sample;
pub mod token;

use http::Http;
use issuer::{Issuer, IssuerOptions};
use mirror::MirroredRequests;
use report::Report;
use sample::SampledClient;

/// The most clients of a check.
pub const MAX_SAMPLE: usize = 10_000;

/// The most clients that are asked for at the same time.
pub const MAX_CONCURRENCY: usize = 64;

/// Clients whose requests with errors are compared. Both servers count failed authentications.
const CLIENTS_WITH_ERRORS: usize = 5;

/// The scope of a comparison.
#[derive(Debug)]
pub struct Check {
    /// The issuer that clients use today.
    pub old: IssuerOptions,
    /// The issuer that they will use.
    pub new: IssuerOptions,
    /// The clients that are asked for.
    pub clients: Vec<SampledClient>,
    /// How many at the same time.
    pub concurrency: usize,
    /// Codes of differences that are accepted, or the beginnings of such codes.
    pub accepted: Vec<String>,
    /// Requests that were answered by both issuers.
    pub mirrored: Option<MirroredRequests>,
}

impl Check {
    /// Asks both issuers. The error says which of them cannot be asked at all.
    pub async fn run(&self, http: &impl Http) -> Result<Report, String> {
        let old = Issuer::discover(http, &self.old)
            .await
            .map_err(|error| format!("--old: {error}"))?;
        let new = Issuer::discover(http, &self.new)
            .await
            .map_err(|error| format!("--new: {error}"))?;
        let mut report = Report::new(&self.accepted);
        report.add_all("", compare::issuers(&old, &new));
        let unknown = probe::unknown_client(http, &old, &new).await;
        report.add_all("", compare::unknown_client(&unknown));
        let probes = self.clients.iter().enumerate().map(|(index, client)| {
            let (old, new) = (&old, &new);
            async move {
                (
                    index,
                    probe::client(http, old, new, client, index < CLIENTS_WITH_ERRORS).await,
                )
            }
        });
        let mut observed: HashMap<usize, _> = stream::iter(probes)
            .buffer_unordered(self.concurrency.clamp(1, MAX_CONCURRENCY))
            .collect()
            .await;
        // In the order of the sample, so that a second run prints the same.
        for (index, client) in self.clients.iter().enumerate() {
            if let Some(observed) = observed.remove(&index) {
                report.add_client(client, compare::client(&observed, &old, &new));
            }
        }
        if let Some(mirrored) = &self.mirrored {
            report.add_all("", mirrored.coverage());
            for (client, difference) in mirrored.differences() {
                report.add_all(&client, vec![difference]);
            }
        }
        Ok(report)
    }
}
