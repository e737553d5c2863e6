//! Which version of a client a change applies to (RFC 9110 section 13.1): a change of what somebody else changed meanwhile is rejected.

use oauth2_store::model::Client;

use crate::service::error::{Result, ServiceError};

/// What must hold of a client for a change of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// It exists (`If-Match: *`).
    Exists,
    /// It does not exist (`If-None-Match: *`).
    Missing,
    /// It has one of these versions, as [`version`] writes them (`If-Match`).
    Versions(Vec<String>),
}

/// The version of a client, for an `ETag`. It has the time of creation, too: versions of a client that is registered again may begin
/// again, once the cut-off of its deletion has been purged.
pub fn version(client: &Client) -> String {
    format!("{}-{}", client.version, client.created_at)
}

impl Precondition {
    /// Checks it against the client, if there is one.
    pub(super) fn check(&self, client_id: &str, current: Option<&Client>) -> Result<()> {
        match (self, current) {
            (Self::None, _) | (Self::Exists, Some(_)) | (Self::Missing, None) => Ok(()),
            (Self::Versions(versions), Some(client)) if versions.contains(&version(client)) => Ok(()),
            (Self::Missing, Some(_)) => Err(failed(format!("the client {client_id} exists already"))),
            (Self::Exists | Self::Versions(_), None) => Err(failed(format!("there is no client {client_id:?}"))),
            (Self::Versions(_), Some(_)) => Err(changed(client_id)),
        }
    }

    /// The error of a change that lost a race: with a version it is the precondition that failed.
    pub(super) fn raced(&self, client_id: &str, error: ServiceError) -> ServiceError {
        match (self, error) {
            (Self::Versions(_), ServiceError::Conflict(_)) => changed(client_id),
            (Self::Missing, ServiceError::Conflict(text)) => failed(text),
            (_, error) => error,
        }
    }
}

fn changed(client_id: &str) -> ServiceError {
    failed(format!(
        "the client {client_id} has another version than that of If-Match: read it again"
    ))
}

fn failed(why: String) -> ServiceError {
    ServiceError::PreconditionFailed(why)
}
