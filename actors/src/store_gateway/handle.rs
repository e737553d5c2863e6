//! How request handlers run a verb of the store.

use std::future::Future;
use std::time::Instant;

use super::{Call, StoreGateway};
use crate::error::GatewayError;
use crate::runtime::mailbox::Mailbox;
use oauth2_store::Store;
use oauth2_store::StoreError;

/// The store gateway's mailbox, with a typed call per verb.
#[derive(Clone, Debug)]
pub struct StoreGatewayHandle(pub Mailbox<StoreGateway>);

impl StoreGatewayHandle {
    /// Runs a verb that reads, or that changes data outside the directory.
    pub async fn call<T, F>(
        &self,
        deadline: Instant,
        verb: impl FnOnce(Store) -> F + Send + 'static,
    ) -> Result<T, GatewayError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + 'static,
    {
        self.run(deadline, verb, false).await
    }

    /// Runs a verb that changes a client or a key. Returns once this node's directory holds the change.
    pub async fn change<T, F>(
        &self,
        deadline: Instant,
        verb: impl FnOnce(Store) -> F + Send + 'static,
    ) -> Result<T, GatewayError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + 'static,
    {
        self.run(deadline, verb, true).await
    }

    async fn run<T, F>(
        &self,
        deadline: Instant,
        verb: impl FnOnce(Store) -> F + Send + 'static,
        changes_directory: bool,
    ) -> Result<T, GatewayError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + 'static,
    {
        let call = Call {
            verb: Box::new(move |store| Box::pin(verb(store))),
            changes_directory,
        };
        Ok(self.0.ask(call, deadline)?.await??)
    }
}
