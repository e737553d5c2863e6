//! `PUT` of a client: creates it under an id that the caller chose, or makes it what the request says.

use std::time::Instant;

use oauth2_store::model::Client;

use super::field::Field;
use super::metadata::ClientRequest;
use super::precondition::Precondition;
use super::registration;
use super::{Clients, checks};
use crate::service::error::{InvalidMetadata, Result};
use crate::service::operator::Operator;

/// What a `PUT` did.
#[derive(Debug)]
pub enum Put {
    /// It registered the client; its secret, unless only its hash is known, is shown this once.
    Created(Client, Option<String>),
    /// It left the client as it is: nothing differed.
    Unchanged(Client),
    /// It changed the client.
    Replaced(Client),
}

impl Clients {
    /// Makes a client what a request says: what it leaves out gets the server's default. Its secrets stay, and a request that changes
    /// nothing writes nothing.
    pub async fn put(
        &self,
        operator: &Operator,
        client_id: &str,
        request: &ClientRequest,
        precondition: &Precondition,
        deadline: Instant,
    ) -> Result<Put> {
        checks::id(client_id)?;
        if request.client_id.value().is_some_and(|id| id != client_id) {
            return Err(InvalidMetadata::new("client_id", "must be that of the URL").into());
        }
        let request = ClientRequest {
            client_id: Field::Value(client_id.to_owned()),
            ..request.clone()
        };
        let current = self.stored(client_id, deadline).await?;
        precondition.check(client_id, current.as_ref())?;
        let Some(current) = current else {
            let created = self.create(operator, &request, deadline).await;
            let registered = created.map_err(|error| precondition.raced(client_id, error))?;
            return Ok(Put::Created(registered.client, registered.secret));
        };
        let replaced = registration::replace(&request, &current, self.defaults)?;
        if replaced == current {
            return Ok(Put::Unchanged(current));
        }
        let written = self.write_update(operator, &current, replaced, deadline).await;
        Ok(Put::Replaced(
            written.map_err(|error| precondition.raced(client_id, error))?,
        ))
    }
}
