//! Requests of operators that have an `Idempotency-Key` run once: repeated, they get the first response again.
//!
//! The store decides which of several is the first. Responses may hold secrets, so they are encrypted at rest.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use serde::{Deserialize, Serialize};

use super::error::{Result, ServiceError};
use super::operator::Operator;
use super::store_access::StoreAccess;
use crate::keys::wrapping::KeyWrapper;
use crate::tokens::{BASE64URL, secret};

/// How long a response is repeated, seconds.
const REPEATED_FOR: i64 = 86_400;

/// The longest key.
const MAX_KEY: usize = 255;

/// Responses that are larger, bytes, are not repeated.
const MAX_RESPONSE: usize = 1 << 20;

/// The use case.
#[derive(Debug)]
pub struct Idempotency {
    /// Remembers which requests ran.
    pub store: StoreAccess,
    /// Encrypts their responses.
    pub wrapper: KeyWrapper,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
}

/// A response, as it is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatableResponse {
    /// The status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Begun {
    /// Run it, then [`Idempotency::finish`].
    First(Ticket),
    /// It ran before, with this response.
    Repeated(RepeatableResponse),
}

/// A request that runs.
#[derive(Debug)]
pub struct Ticket {
    key: [u8; 32],
    body: [u8; 32],
}

/// How a request that ran ended.
#[derive(Debug)]
pub enum Outcome {
    /// With this response, which is repeated.
    Done(RepeatableResponse),
    /// It changed nothing: the same key may be used again.
    Unchanged,
    /// It failed, and nobody knows what it changed.
    Unknown,
}

/// The record of a request.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    body: [u8; 32],
    /// `None` while it runs, and if its outcome is unknown.
    response: Option<String>,
}

impl Idempotency {
    /// Begins a request. `request`: method and URL; `key`: the value of `Idempotency-Key`. Of requests with the same key one runs; it is an
    /// error to use a key with another body, and while the first request runs.
    pub async fn begin(
        &self,
        operator: &Operator,
        request: &str,
        key: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Begun> {
        if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = format!("Idempotency-Key must be 1 to {MAX_KEY} visible ASCII characters");
            return Err(ServiceError::InvalidRequest(problem));
        }
        let ticket = Ticket {
            key: secret::hash(format!("idempotency\0{}\0{request}\0{key}", operator.actor())),
            body: secret::hash(body),
        };
        let (id, now) = (ticket.key, self.now());
        let running = remembered(&ticket, None)?;
        let first = self
            .store
            .call(deadline, move |store| async move {
                store.remember(&id, &running, now + REPEATED_FOR, now).await
            })
            .await?;
        let Some(first) = first else {
            return Ok(Begun::First(ticket));
        };
        let conflict = |text: &str| Err(ServiceError::Conflict(text.to_owned()));
        // An empty value was deleted in this moment.
        let Ok(first) = serde_json::from_slice::<Remembered>(&first) else {
            return conflict("a request with this Idempotency-Key has just expired; repeat it");
        };
        if first.body != ticket.body {
            return conflict("this Idempotency-Key was used with another body");
        }
        let Some(wrapped) = first.response else {
            return conflict(
                "a request with this Idempotency-Key runs, or failed so that its outcome is unknown: look whether it took effect, \
                 then use another key",
            );
        };
        let response = self.wrapper.unwrap_secret(&purpose(&ticket), &wrapped).ok();
        match response.and_then(|response| serde_json::from_slice(&response).ok()) {
            Some(response) => Ok(Begun::Repeated(response)),
            None => conflict(
                "the response to this Idempotency-Key cannot be decrypted any more: the key encryption key was changed",
            ),
        }
    }

    /// Ends a request. A failure to remember its outcome is logged: the response is that of the request.
    pub async fn finish(&self, ticket: Ticket, outcome: Outcome, deadline: Instant) {
        let ended = match outcome {
            Outcome::Done(response) => self.keep(&ticket, &response, deadline).await,
            Outcome::Unchanged => self.forget(&ticket, deadline).await,
            Outcome::Unknown => Ok(()),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "the outcome of a request with an Idempotency-Key could not be saved");
        }
    }

    async fn keep(&self, ticket: &Ticket, response: &RepeatableResponse, deadline: Instant) -> Result<()> {
        if response.body.len() > MAX_RESPONSE {
            return Ok(());
        }
        let text =
            serde_json::to_vec(response).map_err(|_| ServiceError::Internal("a response cannot be serialized"))?;
        let wrapped = self.wrapper.wrap_secret(&purpose(ticket), &text);
        let wrapped = wrapped.map_err(|error| ServiceError::Key(error.to_string()))?;
        let (id, value) = (ticket.key, remembered(ticket, Some(wrapped))?);
        let replace = move |store: oauth2_store::Store| async move { store.replace_remembered(&id, &value).await };
        self.store.call(deadline, replace).await?;
        Ok(())
    }

    async fn forget(&self, ticket: &Ticket, deadline: Instant) -> Result<()> {
        let (id, now) = (ticket.key, self.now());
        let take = move |store: oauth2_store::Store| async move { store.take_remembered(&id, now).await };
        self.store.call(deadline, take).await?;
        Ok(())
    }

    fn now(&self) -> i64 {
        (self.clock.unix_ms() / 1000) as i64
    }
}

fn remembered(ticket: &Ticket, response: Option<String>) -> Result<Vec<u8>> {
    let body = ticket.body;
    serde_json::to_vec(&Remembered { body, response })
        .map_err(|_| ServiceError::Internal("a response cannot be serialized"))
}

/// A response cannot be moved to another request.
fn purpose(ticket: &Ticket) -> String {
    format!("response {}", BASE64URL.encode(ticket.key))
}
