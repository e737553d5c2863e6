//! The published clients, groups and signing keys that request handlers read without a mailbox.
//!
//! Source of truth: the store. Only the store gateway changes a directory: it loads everything once, then follows the audit
//! log, which gets a row in the transaction of every change of a client, group or key.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::Mutex;

use crate::freshness::Freshness;
use oauth2_store::StoreError;
use oauth2_store::model::{Change, Client, ClientSecret, GrantType, Group, KeySet, SecretVerifier, SigningAlg};
use oauth2_store::{LoadedRow, LogPosition, Store};

/// The most changed clients per query.
const PAGE: usize = 1000;

type Clients = DashMap<Arc<str>, Arc<Client>>;

/// By name; only groups with limits.
type Groups = HashMap<Arc<str>, Arc<Group>>;

/// Called with all keys, oldest first, when they have changed. It cannot fail: a key that it cannot use must not keep
/// the directory from following clients.
pub type ApplyKeys = Box<dyn Fn(&KeySet) + Send + Sync>;

/// Interns lists that clients have in common: most clients differ in little but their ids and secrets.
#[derive(Default)]
struct Interner {
    texts: HashSet<Arc<str>>,
    grants: HashSet<Arc<[GrantType]>>,
    lists: HashSet<Arc<[Arc<str>]>>,
}

impl Interner {
    /// The client without members that no handler reads, its lists shared with earlier clients.
    fn compact(&mut self, client: Client) -> Client {
        Client {
            client_name: None,
            managed_by: None,
            grant_types: intern(&mut self.grants, client.grant_types),
            scope: intern(&mut self.texts, client.scope),
            audience: intern(&mut self.lists, client.audience),
            introspection_audiences: intern(&mut self.lists, client.introspection_audiences),
            group: client.group.map(|group| intern(&mut self.texts, group)),
            secrets: client.secrets.into_iter().map(compact_secret).collect(),
            ..client
        }
    }
}

/// The secret without the id of the hash that its hash replaced: only imports ask for that.
fn compact_secret(secret: ClientSecret) -> ClientSecret {
    match secret.verifier {
        SecretVerifier::Replaced(replaced) => ClientSecret::fast(replaced.hash, secret.expires_at),
        _ => secret,
    }
}

/// The known value that equals `value`, or `value` itself. Where most values differ, the set stops growing.
fn intern<T: ?Sized + Eq + Hash>(known: &mut HashSet<Arc<T>>, value: Arc<T>) -> Arc<T> {
    const MAX_KNOWN: usize = 10_000;
    if let Some(known) = known.get(&value) {
        return Arc::clone(known);
    }
    if known.len() < MAX_KNOWN {
        known.insert(Arc::clone(&value));
    }
    value
}

/// The published clients, and the call that publishes keys.
pub struct Directory {
    clients: ArcSwap<Clients>,
    groups: ArcSwap<Groups>,
    apply_keys: ApplyKeys,
    longest_lifetime: AtomicU32,
    /// A bit per `SigningAlg` that any client had since the start.
    signing_algs: AtomicU8,
    freshness: Freshness,
    /// The keys that were applied last. Locked for a whole refresh, so that rows read by an earlier refresh cannot overwrite
    /// those of a later one.
    refreshing: Mutex<KeySet>,
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
    /// An empty directory.
    pub fn new(apply_keys: ApplyKeys) -> Self {
        Self {
            clients: ArcSwap::default(),
            groups: ArcSwap::default(),
            apply_keys,
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

    /// The group of a client, if it has one with limits, as of the last refresh.
    pub fn group_of(&self, client: &Client) -> Option<Arc<Group>> {
        let name = client.group.as_deref()?;
        self.groups.load().get(name).map(Arc::clone)
    }

    /// The number of clients.
    pub fn len(&self) -> usize {
        self.clients.load().len()
    }

    /// Whether there are no clients.
    pub fn is_empty(&self) -> bool {
        self.clients.load().is_empty()
    }

    /// When the directory last agreed with the store.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The longest `access_token_lifetime` of any client since the start, seconds; 0 if no client has one of its own.
    pub fn longest_lifetime(&self) -> u32 {
        self.longest_lifetime.load(Ordering::Relaxed)
    }

    /// Whether any client had this signing algorithm since the start.
    pub fn signs_with(&self, alg: SigningAlg) -> bool {
        self.signing_algs.load(Ordering::Relaxed) & (1 << alg as u8) != 0
    }

    /// Applies the changes since `from`, or loads everything when `from` is `None`. Returns the position to continue from.
    pub(crate) async fn refresh(&self, store: &Store, from: Option<LogPosition>) -> Result<LogPosition, StoreError> {
        let mut applied = self.refreshing.lock().await;
        let sent = Instant::now();
        let position = match from {
            None => self.load(store, &mut applied).await?,
            Some(position) => self.follow(store, position, &mut applied).await?,
        };
        self.freshness.stamp(sent);
        Ok(position)
    }

    /// Reads one client, the groups and the keys, for a process that does not follow the log. The freshness of the directory then means that
    /// client only.
    pub async fn read_one(&self, store: &Store, client_id: &str) -> Result<(), StoreError> {
        let mut applied = self.refreshing.lock().await;
        let sent = Instant::now();
        let (client, clients) = (store.client(client_id).await?, self.clients.load());
        match client {
            Some(client) => {
                self.track_maxima(&client);
                clients.insert(Arc::clone(&client.client_id), Arc::new(client));
            }
            None => _ = clients.remove(client_id),
        }
        self.load_keys(store, &mut applied).await?;
        self.load_groups(store).await?;
        self.freshness.stamp(sent);
        Ok(())
    }

    async fn load(&self, store: &Store, applied: &mut KeySet) -> Result<LogPosition, StoreError> {
        // The position first: a change during the load is then read again, not missed.
        let position = store.changes_position().await?;
        let (clients, mut interner) = (Clients::new(), Interner::default());
        store
            .for_each_client(&mut |loaded| match loaded {
                LoadedRow::Client(client) => {
                    self.track_maxima(&client);
                    let client = interner.compact(client);
                    clients.insert(Arc::clone(&client.client_id), Arc::new(client));
                }
                LoadedRow::Secret(client_id, secret) => {
                    // No one else holds the `Arc` yet.
                    if let Some(client) = clients.get_mut(&*client_id).as_deref_mut().and_then(Arc::get_mut) {
                        let before = std::mem::take(&mut client.secrets).into_vec();
                        client.secrets = before.into_iter().chain([compact_secret(secret)]).collect();
                    }
                }
            })
            .await?;
        self.load_keys(store, applied).await?;
        self.load_groups(store).await?;
        self.clients.store(Arc::new(clients));
        Ok(position)
    }

    async fn follow(&self, store: &Store, from: LogPosition, applied: &mut KeySet) -> Result<LogPosition, StoreError> {
        let (changes, position) = store.changes_since(from).await?;
        if !position.is_comparable(&from) {
            tracing::info!("the database was restarted or replaced; loading all clients and keys");
            return self.load(store, applied).await;
        }
        let mut client_ids = Vec::new();
        for change in changes {
            match change {
                Change::Keys => self.load_keys(store, applied).await?,
                Change::Groups => self.load_groups(store).await?,
                Change::Client(id) => client_ids.push(id),
            }
        }
        for ids in client_ids.chunks(PAGE) {
            let mut deleted: HashSet<&str> = ids.iter().map(String::as_str).collect();
            let clients = self.clients.load();
            for client in store.clients_by_id(ids).await? {
                deleted.remove(&*client.client_id);
                self.track_maxima(&client);
                let client = Interner::default().compact(client);
                clients.insert(Arc::clone(&client.client_id), Arc::new(client));
            }
            for id in deleted {
                clients.remove(id);
            }
        }
        Ok(position)
    }

    /// Applies the keys if they differ from the last ones: the log may report a change more than once.
    async fn load_keys(&self, store: &Store, applied: &mut KeySet) -> Result<(), StoreError> {
        let keys = KeySet {
            signing: store.keys().await?,
            verify_only: store.verify_only_keys().await?,
        };
        if keys != *applied {
            (self.apply_keys)(&keys);
            *applied = keys;
        }
        Ok(())
    }

    async fn load_groups(&self, store: &Store) -> Result<(), StoreError> {
        let by_name = |group: Group| (Arc::clone(&group.name), Arc::new(group));
        let groups: Groups = store.groups().await?.into_iter().map(by_name).collect();
        self.groups.store(Arc::new(groups));
        Ok(())
    }

    fn track_maxima(&self, client: &Client) {
        if let Some(alg) = client.signing_alg {
            self.signing_algs.fetch_or(1 << alg as u8, Ordering::Relaxed);
        }
        self.longest_lifetime
            .fetch_max(client.access_token_lifetime.unwrap_or(0), Ordering::Relaxed);
    }
}
