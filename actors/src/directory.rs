//! The published snapshots of clients and signing keys that request handlers read without a mailbox.
//!
//! Source of truth: the store. The token store's actor is the only one that changes a directory: it loads everything once,
//! then follows the audit log, in which every change of a client or key is written with the change itself.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::Mutex;

use crate::error::StoreError;
use crate::freshness::Freshness;
use crate::model::{Change, Client, GrantType, SigningAlg, StoredKey};
use crate::store::{Loaded, LogPosition, Store};

/// How many changed clients are read from the store at a time.
const PAGE: usize = 1000;

type Clients = DashMap<Arc<str>, Arc<Client>>;

/// What takes over new signing keys. That some are of no use is its own affair: clients are followed on.
pub type TakeKeys = Box<dyn Fn(&[StoredKey]) + Send + Sync>;

/// Lists that clients have in common: of a million clients most differ in little but their names and secrets.
#[derive(Default)]
struct Shared {
    texts: HashSet<Arc<str>>,
    grants: HashSet<Arc<[GrantType]>>,
    lists: HashSet<Arc<[Arc<str>]>>,
}

impl Shared {
    /// The client without what no handler reads, its lists shared with the clients before it.
    fn slim(&mut self, client: Client) -> Client {
        Client {
            client_name: None,
            grant_types: one(&mut self.grants, client.grant_types),
            scope: one(&mut self.texts, client.scope),
            audience: one(&mut self.lists, client.audience),
            resource_server: one(&mut self.lists, client.resource_server),
            ..client
        }
    }
}

/// The value that is equal, if there is one; where there are very many, they are not worth looking for.
fn one<T: ?Sized + Eq + Hash>(known: &mut HashSet<Arc<T>>, value: Arc<T>) -> Arc<T> {
    const MOST: usize = 10_000;
    if let Some(known) = known.get(&value) {
        return Arc::clone(known);
    }
    if known.len() < MOST {
        known.insert(Arc::clone(&value));
    }
    value
}

/// The snapshots.
pub struct Directory {
    clients: ArcSwap<Clients>,
    take_keys: TakeKeys,
    longest_lifetime: AtomicU32,
    /// A bit for each `SigningAlg` that a client ever had here.
    signing_algs: AtomicU8,
    freshness: Freshness,
    /// One refresh at a time, so that what an earlier one read cannot overwrite what a later one did; it holds the keys
    /// that were taken over last.
    refreshing: Mutex<Vec<StoredKey>>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("clients", &self.len())
            .field("freshness", &self.freshness)
            .finish_non_exhaustive()
    }
}

impl Directory {
    /// An empty directory. `take_keys` is called with all keys, oldest first, whenever they may have changed.
    pub fn new(take_keys: TakeKeys) -> Self {
        Self {
            clients: ArcSwap::default(),
            take_keys,
            longest_lifetime: AtomicU32::new(0),
            signing_algs: AtomicU8::new(0),
            freshness: Freshness::default(),
            refreshing: Mutex::default(),
        }
    }

    /// The client with this id, as of the last refresh.
    pub fn client(&self, client_id: &str) -> Option<Arc<Client>> {
        self.clients
            .load()
            .get(client_id)
            .map(|entry| Arc::clone(entry.value()))
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.clients.load().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clients.load().is_empty()
    }

    /// When the directory last agreed with the store.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The longest `access_token_lifetime` that any client ever had here, in seconds; 0 if none has its own.
    pub fn longest_lifetime(&self) -> u32 {
        self.longest_lifetime.load(Ordering::Relaxed)
    }

    /// Whether any client ever had its JWTs signed so, here.
    pub fn signs_with(&self, alg: SigningAlg) -> bool {
        self.signing_algs.load(Ordering::Relaxed) & (1 << alg as u8) != 0
    }

    /// Takes over what changed since `from`, or everything when `from` is `None`; answers where to go on from.
    pub(crate) async fn refresh(&self, store: &Store, from: Option<LogPosition>) -> Result<LogPosition, StoreError> {
        let mut taken = self.refreshing.lock().await;
        let sent = Instant::now();
        let position = match from {
            None => self.load(store, &mut taken).await?,
            Some(position) => self.follow(store, position, &mut taken).await?,
        };
        self.freshness.stamp(sent);
        Ok(position)
    }

    async fn load(&self, store: &Store, taken: &mut Vec<StoredKey>) -> Result<LogPosition, StoreError> {
        // The position first: a change that comes while loading is then read again, not missed.
        let position = store.changes_position().await?;
        let (clients, mut shared) = (Clients::new(), Shared::default());
        store
            .each_client(&mut |loaded| match loaded {
                Loaded::Client(client) => {
                    self.note(&client);
                    let client = shared.slim(client);
                    clients.insert(Arc::clone(&client.client_id), Arc::new(client));
                }
                Loaded::Secret(client_id, secret) => {
                    // Nobody else holds it yet.
                    if let Some(client) = clients.get_mut(&*client_id).as_deref_mut().and_then(Arc::get_mut) {
                        let before = std::mem::take(&mut client.secrets).into_vec();
                        client.secrets = before.into_iter().chain([secret]).collect();
                    }
                }
            })
            .await?;
        self.load_keys(store, taken).await?;
        self.clients.store(Arc::new(clients));
        Ok(position)
    }

    async fn follow(
        &self,
        store: &Store,
        from: LogPosition,
        taken: &mut Vec<StoredKey>,
    ) -> Result<LogPosition, StoreError> {
        let (changes, position) = store.changes_since(from).await?;
        if !position.is_comparable(&from) {
            tracing::info!("the database was restarted or replaced: loading all clients and keys");
            return self.load(store, taken).await;
        }
        let mut touched = Vec::new();
        for change in changes {
            match change {
                Change::Keys => self.load_keys(store, taken).await?,
                Change::Client(id) => touched.push(id),
            }
        }
        for ids in touched.chunks(PAGE) {
            let mut gone: HashSet<&str> = ids.iter().map(String::as_str).collect();
            let clients = self.clients.load();
            for client in store.clients_named(ids).await? {
                gone.remove(&*client.client_id);
                self.note(&client);
                let client = Shared::default().slim(client);
                clients.insert(Arc::clone(&client.client_id), Arc::new(client));
            }
            for id in gone {
                clients.remove(id);
            }
        }
        Ok(position)
    }

    /// Hands the keys over if they are others than before: a log may tell of a change more than once.
    async fn load_keys(&self, store: &Store, taken: &mut Vec<StoredKey>) -> Result<(), StoreError> {
        let keys = store.keys().await?;
        if keys != *taken {
            (self.take_keys)(&keys);
            *taken = keys;
        }
        Ok(())
    }

    fn note(&self, client: &Client) {
        if let Some(alg) = client.signing_alg {
            self.signing_algs.fetch_or(1 << alg as u8, Ordering::Relaxed);
        }
        self.longest_lifetime
            .fetch_max(client.access_token_lifetime.unwrap_or(0), Ordering::Relaxed);
    }
}
