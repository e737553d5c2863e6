//! The addresses of the hosts of a database URL. A response of a name server that is lost delays no connection for long, and while no name
//! server responds, the last known addresses are used.

use std::collections::HashMap;
use std::io;
use std::mem::replace;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// How long a lookup may take before the name is looked up again in parallel: the system's resolver repeats a query after 5 s only.
const REPEAT: Duration = Duration::from_millis(500);

/// The most lookups of a name that run at a time, each on a thread of its own.
const MAX_LOOKUPS: usize = 8;

/// How long a lookup may take before the last known addresses are used. Requests wait for a connection for 250 ms by default.
const KNOWN: Duration = Duration::from_millis(150);

type Found = io::Result<Vec<IpAddr>>;

/// The lookups of each name, and its last known addresses.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Mutex<HashMap<String, watch::Sender<Lookups>>>,
    stale: AtomicU64,
}

/// The lookups of one name, shared by all connections that are opened at the same time.
#[derive(Debug, Default)]
struct Lookups {
    running: usize,
    /// Number of lookups that found addresses.
    succeeded: u64,
    /// The last known addresses, or none.
    addresses: Vec<IpAddr>,
    /// Why the last lookup that failed did.
    failure: String,
}

/// A lookup that runs, until this is dropped.
struct Lookup {
    lookups: watch::Sender<Lookups>,
    found: Found,
}

impl Lookup {
    fn end(mut self, found: Found) {
        self.found = found;
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        let found = replace(&mut self.found, Ok(Vec::new()));
        self.lookups.send_modify(|lookups| {
            lookups.running -= 1;
            match found {
                Ok(addresses) if addresses.is_empty() => lookups.failure = "the name has no address".into(),
                Ok(addresses) => {
                    lookups.addresses = addresses;
                    lookups.succeeded += 1;
                }
                Err(error) => lookups.failure = error.to_string(),
            }
        });
    }
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
        let addresses = self.addresses(&name, |lookup| look_up(name.clone(), lookup)).await?;
        Ok(with_addresses(config, &name, &addresses))
    }

    /// A name that is being looked up, and that no name server has responded for yet.
    pub(super) fn unanswered(&self) -> Option<String> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unanswered = names.iter().filter(|(_, lookups)| {
            let lookups = lookups.borrow();
            lookups.running > 0 && lookups.addresses.is_empty()
        });
        unanswered.next().map(|(name, _)| name.clone())
    }

    /// How often the last known addresses were used, because a name was not resolved.
    pub(super) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Looks a name up until it is resolved. Without an earlier lookup that succeeded it fails when every lookup has failed.
    async fn addresses(&self, name: &str, look_up: impl Fn(Lookup)) -> Found {
        let shared = self.lookups(name);
        let mut lookups = shared.subscribe();
        let (before, known) = {
            let lookups = lookups.borrow();
            (lookups.succeeded, lookups.addresses.clone())
        };
        let wait = if known.is_empty() { REPEAT } else { KNOWN };
        loop {
            start(&shared, &look_up);
            let ended = lookups.wait_for(|lookups| lookups.succeeded > before || lookups.running == 0);
            if let Ok(Ok(lookups)) = timeout(wait, ended).await {
                if lookups.succeeded > before {
                    return Ok(lookups.addresses.clone());
                }
                if known.is_empty() {
                    return Err(io::Error::other(lookups.failure.clone()));
                }
            }
            if !known.is_empty() {
                self.stale.fetch_add(1, Ordering::Relaxed);
                return Ok(known);
            }
        }
    }

    fn lookups(&self, name: &str) -> watch::Sender<Lookups> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.entry(name.to_owned()).or_default().clone()
    }
}

/// Starts a lookup, unless too many run. It goes on when nobody waits for it any more.
fn start(lookups: &watch::Sender<Lookups>, look_up: impl Fn(Lookup)) {
    let may_start = lookups.send_if_modified(|lookups| {
        let may_start = lookups.running < MAX_LOOKUPS;
        lookups.running += usize::from(may_start);
        may_start
    });
    if may_start {
        look_up(Lookup {
            lookups: lookups.clone(),
            found: Err(io::Error::other("no thread can be started for the lookup")),
        });
    }
}

/// Looks a name up once, on a thread of its own: the end of the process does not wait for it.
fn look_up(name: String, lookup: Lookup) {
    let run = move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        lookup.end(found.map(|found| found.map(|address| address.ip()).collect()));
    };
    // The lookup has failed if it was not started.
    let _ = std::thread::Builder::new().name("resolver".into()).spawn(run);
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
    use futures_util::future::{join, join_all};
    use tokio::time::Instant;

    use super::*;

    const FIRST: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))];

    fn succeed(lookup: Lookup) {
        lookup.end(Ok(FIRST.to_vec()));
    }

    fn fail(lookup: Lookup) {
        lookup.end(Err(io::Error::other("no such name")));
    }

    /// A lookup whose query is lost.
    fn lose(lookup: Lookup) {
        std::mem::forget(lookup);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_is_not_answered_is_repeated() {
        let (names, began) = (Names::default(), Instant::now());
        let asked = AtomicU64::new(0);
        let addresses = names.addresses("db", |lookup| match asked.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => lose(lookup),
            _ => succeed(lookup),
        });
        assert_eq!(addresses.await.unwrap(), FIRST);
        assert_eq!((began.elapsed(), names.stale()), (2 * REPEAT, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_share_lookups_whose_number_is_bounded() {
        let (names, asked) = (Names::default(), AtomicU64::new(0));
        let lost = Mutex::new(Vec::new());
        let one = || {
            names.addresses("db", |lookup| {
                asked.fetch_add(1, Ordering::Relaxed);
                lost.lock().unwrap().push(lookup);
            })
        };
        let connections = join_all((0..3).map(|_| one()));
        assert!(timeout(100 * REPEAT, connections).await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), MAX_LOOKUPS as u64);
        assert_eq!(names.unanswered().as_deref(), Some("db"));
        let one_ends = async { succeed(lost.lock().unwrap().pop().unwrap()) };
        let (addresses, ()) = join(one(), one_ends).await;
        assert_eq!(addresses.unwrap(), FIRST, "of a lookup that another connection began");
        assert_eq!(names.unanswered(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_addresses_are_used_while_no_name_server_responds() {
        let (names, began) = (Names::default(), Instant::now());
        assert_eq!(names.addresses("db", succeed).await.unwrap(), FIRST);
        assert_eq!(names.stale(), 0);
        assert_eq!(names.addresses("db", lose).await.unwrap(), FIRST);
        assert_eq!((began.elapsed(), names.stale()), (KNOWN, 1));
        assert!(names.addresses("other", fail).await.is_err());
        let others = Names::default();
        assert_eq!(others.addresses("db", succeed).await.unwrap(), FIRST);
        assert_eq!(others.addresses("db", fail).await.unwrap(), FIRST);
        assert_eq!(others.stale(), 1);
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
        assert_eq!(names.lookups("localhost").borrow().addresses, resolved.get_hostaddrs());
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
