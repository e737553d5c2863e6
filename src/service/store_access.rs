//! How services reach the store.
//!
//! A server goes through the store gateway: bounded, with the deadline of the request, and what was committed holds on this node
//! before the caller is answered. The command line has a store of its own and no caller that waits.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use oauth2_actors::directory::Directory;
use oauth2_actors::error::AskError;
use oauth2_actors::hints::{Hint, Outbox};
use oauth2_actors::revocation_cache::{Apply, RevocationCache};
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::mailbox::Mailbox;
use oauth2_actors::store_gateway::handle::StoreGatewayHandle;
use oauth2_store::model::Revocation;
use oauth2_store::model::token::uuid_v7_ms;
use oauth2_store::{Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::error::Result;

/// A way into the store. Clones share it.
#[derive(Debug, Clone)]
pub enum StoreAccess {
    /// Through the actors of a server.
    Gateway(Gateway),
    /// Directly, on the command line. Deadlines are not observed: the store has bounds of its own.
    Direct(Direct),
}

/// The store of a subcommand.
#[derive(Clone)]
pub struct Direct {
    /// The store.
    pub store: Store,
    /// Announces a committed change to the other nodes. It may fail: they read the change from the store.
    pub announce: Announce,
}

/// Sends hints to the nodes of a store.
pub type Announce = Arc<dyn Fn(Vec<Hint>) -> BoxFuture<'static, ()> + Send + Sync>;

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The actors and clocks of a server that a change of the store concerns.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Runs the verbs.
    pub handle: StoreGatewayHandle,
    /// Holds the revocations of this node.
    pub revocation_cache: Mailbox<RevocationCache>,
    /// Announced to other nodes.
    pub hints: Outbox,
    /// The clients of this node.
    pub directory: Arc<Directory>,
    /// The token ids of this node.
    pub ids: Arc<IdClock>,
    /// This node's view of the store's clock.
    pub clock: Arc<StoreClock>,
    /// Permits of operators' verbs, of which each may hold a connection for seconds. `None`: no bound.
    pub operators: Option<Arc<Semaphore>>,
}

/// Keeps the permit of a verb until the verb ends, also if its caller gave up.
async fn holding<T>(permit: Option<OwnedSemaphorePermit>, verb: impl Future<Output = T>) -> T {
    let done = verb.await;
    drop(permit);
    done
}

impl Gateway {
    /// Waits for a permit until the deadline, where verbs are bounded.
    async fn permit(&self, deadline: Instant) -> std::result::Result<Option<OwnedSemaphorePermit>, AskError> {
        let Some(permits) = &self.operators else {
            return Ok(None);
        };
        let acquired = timeout_at(deadline.into(), Arc::clone(permits).acquire_owned()).await;
        // It is never closed.
        acquired.map(std::result::Result::ok).map_err(|_| AskError::Full)
    }
}

impl StoreAccess {
    /// The same store for the requests of one class of callers only: without the bound of operators.
    #[must_use]
    pub fn without_bound(&self) -> Self {
        match self {
            Self::Gateway(gateway) => Self::Gateway(Gateway {
                operators: None,
                ..gateway.clone()
            }),
            Self::Direct(_) => self.clone(),
        }
    }

    /// Runs a verb that changes neither a client nor a key.
    pub async fn call<T, F>(&self, deadline: Instant, verb: impl FnOnce(Store) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = std::result::Result<T, StoreError>> + 'static,
    {
        Ok(match self {
            Self::Gateway(gateway) => {
                let permit = gateway.permit(deadline).await?;
                let verb = move |store| holding(permit, verb(store));
                gateway.handle.call(deadline, verb).await?
            }
            Self::Direct(direct) => verb(direct.store.clone()).await?,
        })
    }

    /// Runs a verb that changes a client or a key. When it answers, this node's directory has the change, and it is announced to the others.
    pub async fn change<T, F>(&self, deadline: Instant, verb: impl FnOnce(Store) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = std::result::Result<T, StoreError>> + 'static,
    {
        Ok(match self {
            Self::Gateway(gateway) => {
                let permit = gateway.permit(deadline).await?;
                let verb = move |store| holding(permit, verb(store));
                let done = gateway.handle.change(deadline, verb).await?;
                gateway.hints.push(Hint::Directory);
                done
            }
            Self::Direct(direct) => {
                let done = verb(direct.store.clone()).await?;
                (direct.announce)(vec![Hint::Directory]).await;
                done
            }
        })
    }

    /// Makes committed revocations hold on this node at once, and announces them to the others: they need not wait until they read the log.
    pub async fn enforce(&self, revocations: Vec<Revocation>, deadline: Instant) -> Result<()> {
        let hints: Vec<_> = revocations.iter().map(Hint::of).collect();
        match self {
            Self::Gateway(gateway) => {
                // First: the others must hear of it even if this node fails now.
                for hint in hints {
                    gateway.hints.push(hint);
                }
                Ok(gateway.revocation_cache.ask(Apply(revocations), deadline)?.await?)
            }
            Self::Direct(direct) => {
                (direct.announce)(hints).await;
                Ok(())
            }
        }
    }

    /// The store's clock, Unix milliseconds: the time of everything that others read.
    pub async fn now_ms(&self) -> Result<u64> {
        match self {
            Self::Gateway(gateway) => Ok(gateway.clock.unix_ms()),
            Self::Direct(direct) => Ok(direct.store.ping().await?),
        }
    }

    /// The time of a revocation cut-off, Unix milliseconds: that of token ids, so not before any token issued so far, even if the
    /// clock was set back.
    pub async fn cutoff_ms(&self) -> Result<u64> {
        match self {
            Self::Gateway(gateway) => Ok(uuid_v7_ms(&gateway.ids.new_id()?)),
            Self::Direct(direct) => Ok(direct.store.time().await?.id_ms()),
        }
    }

    /// The longest token lifetime that any client has, seconds, as far as this process knows.
    pub fn longest_lifetime(&self) -> u32 {
        match self {
            Self::Gateway(gateway) => gateway.directory.longest_lifetime(),
            Self::Direct(_) => 0,
        }
    }
}
