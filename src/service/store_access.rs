//! How services reach the store.
//!
//! A server goes through the store gateway: bounded, with the deadline of the request, and what was committed holds on this node
//! before the caller is answered. The command line has a store of its own and no caller that waits.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::directory::Directory;
use oauth2_actors::revocation_cache::{Apply, RevocationCache};
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::mailbox::Mailbox;
use oauth2_actors::store_gateway::handle::StoreGatewayHandle;
use oauth2_store::model::Revocation;
use oauth2_store::model::token::uuid_v7_ms;
use oauth2_store::{Store, StoreError};

use super::error::Result;

/// A way into the store. Clones share it.
#[derive(Debug, Clone)]
pub enum StoreAccess {
    /// Through the actors of a server.
    Gateway(Gateway),
    /// Directly, on the command line. Deadlines are not observed: the store has bounds of its own.
    Direct(Store),
}

/// The actors and clocks of a server that a change of the store concerns.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Runs the verbs.
    pub handle: StoreGatewayHandle,
    /// Holds the revocations of this node.
    pub revocation_cache: Mailbox<RevocationCache>,
    /// The clients of this node.
    pub directory: Arc<Directory>,
    /// The token ids of this node.
    pub ids: Arc<IdClock>,
    /// This node's view of the store's clock.
    pub clock: Arc<StoreClock>,
}

impl StoreAccess {
    /// Runs a verb that changes neither a client nor a key.
    pub async fn call<T, F>(&self, deadline: Instant, verb: impl FnOnce(Store) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = std::result::Result<T, StoreError>> + 'static,
    {
        Ok(match self {
            Self::Gateway(gateway) => gateway.handle.call(deadline, verb).await?,
            Self::Direct(store) => verb(store.clone()).await?,
        })
    }

    /// Runs a verb that changes a client or a key. When it answers, this node's directory has the change.
    pub async fn change<T, F>(&self, deadline: Instant, verb: impl FnOnce(Store) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = std::result::Result<T, StoreError>> + 'static,
    {
        Ok(match self {
            Self::Gateway(gateway) => gateway.handle.change(deadline, verb).await?,
            Self::Direct(store) => verb(store.clone()).await?,
        })
    }

    /// Makes a committed revocation hold on this node at once. Other nodes, and servers beside the command line, read it from
    /// the log.
    pub async fn enforce(&self, revocation: Revocation, deadline: Instant) -> Result<()> {
        match self {
            Self::Gateway(gateway) => Ok(gateway.revocation_cache.ask(Apply(revocation), deadline)?.await?),
            Self::Direct(_) => Ok(()),
        }
    }

    /// The store's clock, Unix milliseconds: the time of everything that others read.
    pub async fn now_ms(&self) -> Result<u64> {
        match self {
            Self::Gateway(gateway) => Ok(gateway.clock.unix_ms()),
            Self::Direct(store) => Ok(store.ping().await?),
        }
    }

    /// The time of a revocation cut-off, Unix milliseconds: that of token ids, so not before any token issued so far, even if the
    /// clock was set back.
    pub async fn cutoff_ms(&self) -> Result<u64> {
        match self {
            Self::Gateway(gateway) => Ok(uuid_v7_ms(&gateway.ids.new_id()?)),
            Self::Direct(store) => Ok(store.time().await?.id_ms()),
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
