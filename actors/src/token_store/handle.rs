//! How handlers ask the token store.

use std::future::Future;
use std::time::Instant;

use super::{Call, TokenStore};
use crate::error::{ServiceError, StoreError};
use crate::runtime::mailbox::Mailbox;
use crate::store::Store;

/// What handlers hold: the mailbox with a typed question for each verb.
#[derive(Clone, Debug)]
pub struct TokenStoreHandle(pub Mailbox<TokenStore>);

impl TokenStoreHandle {
    /// Runs a verb that reads, or that changes what the directory does not hold.
    pub async fn call<T, F>(
        &self,
        deadline: Instant,
        verb: impl FnOnce(Store) -> F + Send + 'static,
    ) -> Result<T, ServiceError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + 'static,
    {
        self.run(deadline, verb, false).await
    }

    /// Runs a verb that changes a client or a key: when it answers, this node's directory knows.
    pub async fn change<T, F>(
        &self,
        deadline: Instant,
        verb: impl FnOnce(Store) -> F + Send + 'static,
    ) -> Result<T, ServiceError>
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
    ) -> Result<T, ServiceError>
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
