//! The hosts of a database URL, tried in parallel: a host that does not respond must not delay connections to a promoted one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};

use super::names::Names;

/// How long a host may take before the next one is tried in parallel.
const STAGGER: Duration = Duration::from_millis(250);

/// How long after a failure a host is tried again, while another has not responded yet: it may have been promoted.
const AGAIN: Duration = Duration::from_millis(500);

/// Which host to try first, and the addresses of all.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    pub(super) names: Names,
    /// The host of the last connection; with `load_balance_hosts=random`, the number of attempts.
    first: AtomicUsize,
}

/// A connection that was opened on one of the hosts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened<T> {
    pub(super) value: T,
    /// Whether the connection before it was to another host.
    pub(super) is_elsewhere: bool,
}

impl Hosts {
    /// Opens a connection to the first host that `open` succeeds for. Fails when every host has failed; a host that never responds is
    /// waited for, so the caller limits the time.
    pub(super) async fn open<T, E, F>(&self, config: &Config, open: impl Fn(Config) -> F) -> Result<Opened<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let count = count(config);
        let is_balanced = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        let first = if is_balanced {
            self.first.fetch_add(1, Ordering::Relaxed)
        } else {
            self.first.load(Ordering::Relaxed)
        };
        let attempt = |index: usize, after: Duration| {
            let opening = open(only(config, index));
            async move {
                sleep(after).await;
                (index, opening.await)
            }
        };
        let mut next = (0..count).map(|turn| first.wrapping_add(turn) % count);
        let mut has_failed = vec![false; count];
        let mut attempts = FuturesUnordered::new();
        loop {
            if let Some(index) = next.next() {
                attempts.push(attempt(index, Duration::ZERO));
            }
            let Ok(Some((index, outcome))) = timeout(STAGGER, attempts.next()).await else {
                continue;
            };
            match outcome {
                Ok(value) => {
                    let is_elsewhere = !is_balanced && self.first.swap(index, Ordering::Relaxed) != index;
                    return Ok(Opened { value, is_elsewhere });
                }
                Err(error) => {
                    has_failed[index] = true;
                    if has_failed.iter().all(|failed| *failed) {
                        return Err(error);
                    }
                    attempts.push(attempt(index, AGAIN));
                }
            }
        }
    }
}

/// The number of hosts to try one by one. A list that the driver rejects, or of addresses, is left to the driver as a whole.
fn count(config: &Config) -> usize {
    let (hosts, ports) = (config.get_hosts().len(), config.get_ports().len());
    let is_plain = config.get_hostaddrs().is_empty() && (ports <= 1 || ports == hosts);
    if is_plain { hosts.max(1) } else { 1 }
}

/// The same configuration with one of its hosts. The driver cannot remove hosts.
fn only(config: &Config, index: usize) -> Config {
    if count(config) == 1 {
        return config.clone();
    }
    let mut one = Config::new();
    match config.get_hosts().get(index) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    // As in the driver: one port per host, or one for all.
    let ports = config.get_ports();
    if let Some(port) = ports.get(index).or(ports.first()) {
        one.port(*port);
    }
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        one.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each parameter that the driver knows, but for the choice among several hosts.
    #[test]
    fn a_host_keeps_every_other_parameter() {
        let parameters = "options=-c%20geqo=off&application_name=a&sslmode=require&sslnegotiation=direct&connect_timeout=3&\
             tcp_user_timeout=4&keepalives=0&keepalives_idle=5&keepalives_interval=6&keepalives_retries=7&\
             target_session_attrs=read-write&channel_binding=require&load_balance_hosts=random";
        let config = |hosts: &str| -> Config {
            let url = format!("postgres://user:password@{hosts}/name?{parameters}");
            url.parse().expect("a URL")
        };
        let several = config("one:1,two:2");
        assert_eq!(only(&several, 0), config("one:1"));
        assert_eq!(only(&several, 1), config("two:2"));
        assert_eq!(only(&config("one"), 0), config("one"));
        for left_to_the_driver in ["one:1,two:2,three:3", "one,two"] {
            let mut config = config(left_to_the_driver);
            config.hostaddr(std::net::Ipv4Addr::LOCALHOST.into());
            assert_eq!(only(&config, 0), config);
        }
    }

    fn name(config: &Config) -> String {
        match &config.get_hosts()[0] {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        }
    }

    /// Opens with the delay and the success that `outcome` returns for the name of a host and the number of its attempt.
    async fn opened(
        hosts: &Hosts,
        url: &str,
        outcome: impl Fn(&str, u32) -> (Duration, bool),
    ) -> (Result<Opened<String>, String>, Duration) {
        let began = tokio::time::Instant::now();
        let config: Config = url.parse().expect("a URL");
        let attempts = std::cell::RefCell::new(std::collections::HashMap::<String, u32>::new());
        let open = |config: Config| {
            let (name, attempts, outcome) = (name(&config), &attempts, &outcome);
            async move {
                let attempt = *attempts
                    .borrow_mut()
                    .entry(name.clone())
                    .and_modify(|n| *n += 1)
                    .or_insert(1);
                let (after, is_open) = outcome(&name, attempt);
                sleep(after).await;
                if is_open { Ok(name) } else { Err(name) }
            }
        };
        (hosts.open(&config, open).await, began.elapsed())
    }

    const LONG: Duration = Duration::from_hours(1);

    fn at(name: &str, is_elsewhere: bool) -> Opened<String> {
        let value = name.to_owned();
        Opened { value, is_elsewhere }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_respond_delays_once() {
        let (hosts, url) = (Hosts::default(), "postgres://u@silent,standby/d");
        let outcome = |name: &str, _| (if name == "silent" { LONG } else { Duration::ZERO }, true);
        assert_eq!(opened(&hosts, url, outcome).await, (Ok(at("standby", true)), STAGGER));
        assert_eq!(
            opened(&hosts, url, outcome).await,
            (Ok(at("standby", false)), Duration::ZERO)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_standby_is_asked_again_until_it_is_promoted() {
        let outcome = |name: &str, attempt| match name {
            "silent" => (LONG, true),
            _ => (Duration::ZERO, attempt > 2),
        };
        let found = opened(&Hosts::default(), "postgres://u@silent,standby/d", outcome).await;
        assert_eq!(found, (Ok(at("standby", true)), STAGGER + 2 * AGAIN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_distant_host_has_the_time_it_needs() {
        let distant = Duration::from_secs(3);
        let outcome = |name: &str, _| match name {
            "distant" => (distant, true),
            _ => (Duration::ZERO, false),
        };
        for url in ["postgres://u@distant,near/d", "postgres://u@near,distant/d"] {
            let (found, took) = opened(&Hosts::default(), url, outcome).await;
            assert_eq!(found.map(|opened| opened.value), Ok("distant".to_owned()));
            assert_eq!(took, distant, "the next host follows at once on one that fails");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_every_host_has_failed_the_last_error_is_reported_at_once() {
        let found = opened(&Hosts::default(), "postgres://u@one,two/d", |_, _| {
            (Duration::ZERO, false)
        })
        .await;
        assert_eq!(found, (Err("two".to_owned()), Duration::ZERO));
    }
}
