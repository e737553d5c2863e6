//! The addresses of the hosts of a database URL. A response of a name server that is lost delays no connection for long, and while no name
//! server responds, connections are opened to the addresses of before.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// How long a lookup may take before the name is looked up again in parallel: the system's resolver repeats a query after 5 s only.
const REPEAT: Duration = Duration::from_millis(500);

/// The most lookups of a name that one connection waits for.
const MAX_LOOKUPS: usize = 8;

/// How long a lookup may take before the addresses of the one before are used. Requests wait for a connection for 250 ms by default.
const KNOWN: Duration = Duration::from_millis(150);

/// The last addresses of each name. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    last: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
    stale: Arc<AtomicU64>,
}

impl Names {
    /// The same configuration with the addresses of its host. A list of hosts, an address and a path of a socket are left to the driver.
    pub(super) async fn resolved(&self, config: Config) -> io::Result<Config> {
        let [Host::Tcp(name)] = config.get_hosts() else {
            return Ok(config);
        };
        if !config.get_hostaddrs().is_empty() || name.parse::<IpAddr>().is_ok() {
            return Ok(config);
        }
        let name = name.clone();
        let addresses = self.addresses(&name, || self.look_up(&name)).await?;
        Ok(with_addresses(config, &name, &addresses))
    }

    /// How often the addresses of an earlier lookup were used, because a name was not resolved.
    pub(super) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Looks a name up until it is resolved. Without an earlier lookup that succeeded it fails when every lookup has failed.
    async fn addresses<F>(&self, name: &str, look_up: impl Fn() -> F) -> io::Result<Vec<IpAddr>>
    where
        F: Future<Output = io::Result<Vec<IpAddr>>>,
    {
        let known = self.last().get(name).cloned();
        let wait = if known.is_some() { KNOWN } else { REPEAT };
        let mut lookups = FuturesUnordered::new();
        lookups.push(look_up());
        loop {
            let error = match timeout(wait, lookups.next()).await {
                Ok(Some(Ok(addresses))) => return Ok(addresses),
                Ok(Some(Err(error))) => Some(error),
                Ok(None) | Err(_) => None,
            };
            if let Some(known) = known {
                self.stale.fetch_add(1, Ordering::Relaxed);
                return Ok(known);
            }
            match error {
                Some(error) if lookups.is_empty() => return Err(error),
                Some(_) => {}
                None if lookups.len() < MAX_LOOKUPS => lookups.push(look_up()),
                None => {}
            }
        }
    }

    /// Looks a name up once, on a thread of its own: the end of the process does not wait for it. What it finds is kept, also if nobody
    /// waits for it any more.
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let (sender, receiver) = oneshot::channel();
        let (names, name) = (self.clone(), name.to_owned());
        std::thread::Builder::new().name("resolver".into()).spawn(move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            let found: io::Result<Vec<IpAddr>> = found.map(|found| found.map(|address| address.ip()).collect());
            if let Ok(addresses) = &found {
                names.keep(&name, addresses);
            }
            // Another lookup may have been faster.
            let _ = sender.send(found);
        })?;
        receiver.await.map_err(io::Error::other)?
    }

    fn keep(&self, name: &str, addresses: &[IpAddr]) {
        if !addresses.is_empty() {
            self.last().insert(name.to_owned(), addresses.to_vec());
        }
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, Vec<IpAddr>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver wants the name, which TLS verifies, once for each address.
fn with_addresses(mut config: Config, name: &str, addresses: &[IpAddr]) -> Config {
    for (index, address) in addresses.iter().enumerate() {
        config.hostaddr(*address);
        if index > 0 {
            config.host(name);
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    const FIRST: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))];

    fn found() -> io::Result<Vec<IpAddr>> {
        Ok(FIRST.to_vec())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_is_not_answered_is_repeated() {
        let (names, began) = (Names::default(), Instant::now());
        let asked = AtomicU64::new(0);
        let addresses = names.addresses("db", || {
            let is_lost = asked.fetch_add(1, Ordering::Relaxed) < 2;
            async move { if is_lost { pending().await } else { found() } }
        });
        assert_eq!(addresses.await.ok(), found().ok());
        assert_eq!((began.elapsed(), names.stale()), (2 * REPEAT, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn lookups_in_parallel_are_bounded() {
        let (names, asked) = (Names::default(), AtomicU64::new(0));
        let addresses = names.addresses("db", || {
            asked.fetch_add(1, Ordering::Relaxed);
            pending()
        });
        assert!(timeout(100 * REPEAT, addresses).await.is_err());
        assert_eq!(asked.into_inner(), MAX_LOOKUPS as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_addresses_are_used_while_no_name_server_responds() {
        let (names, began) = (Names::default(), Instant::now());
        names.keep("db", &FIRST);
        assert_eq!(names.addresses("db", pending).await.ok(), found().ok());
        assert_eq!((began.elapsed(), names.stale()), (KNOWN, 1));
        let fails = || ready(Err(io::Error::other("no such name")));
        assert_eq!(names.addresses("db", fails).await.ok(), found().ok());
        assert_eq!((began.elapsed(), names.stale()), (KNOWN, 2));
        assert!(names.addresses("other", fails).await.is_err());
    }

    #[tokio::test]
    async fn names_are_resolved_and_everything_else_is_left() {
        let names = Names::default();
        let config = |url: &str| -> Config { url.parse().expect("a URL") };
        let resolved = names
            .resolved(config("postgres://u@localhost:5/d"))
            .await
            .expect("localhost");
        assert!(resolved.get_hostaddrs().iter().all(IpAddr::is_loopback) && !resolved.get_hostaddrs().is_empty());
        assert_eq!(resolved.get_hosts().len(), resolved.get_hostaddrs().len());
        assert_eq!(names.last()["localhost"], resolved.get_hostaddrs());
        for url in [
            "postgres://u@127.0.0.1/d",
            "postgres://u@one,two/d",
            "postgres://u@name/d?hostaddr=127.0.0.1",
            "postgres:///d?host=/run/postgresql",
        ] {
            assert_eq!(names.resolved(config(url)).await.expect(url), config(url));
        }
    }

    #[test]
    fn the_driver_gets_the_name_once_for_each_address() {
        let config: Config = "postgres://u@db:5/d".parse().expect("a URL");
        let two = [FIRST[0], std::net::Ipv6Addr::LOCALHOST.into()];
        let resolved = with_addresses(config, "db", &two);
        assert_eq!(resolved.get_hosts(), [Host::Tcp("db".into()), Host::Tcp("db".into())]);
        assert_eq!((resolved.get_hostaddrs(), resolved.get_ports()), (&two[..], &[5][..]));
    }
}
