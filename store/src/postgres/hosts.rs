//! The hosts of a database URL, tried beside each other: one that does not respond must not keep connections from another that was
//! promoted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};

/// How long each further host waits for those before it. A host in the same region has responded by then.
const STAGGER: Duration = Duration::from_millis(250);

/// How long the other hosts may take once one has failed: the next attempt may find it promoted.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// Which host to try first.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// The host of the last connection; with `load_balance_hosts=random`, the number of attempts.
    first: AtomicUsize,
}

impl Hosts {
    /// Opens a connection to the first host that `open` succeeds for. `Err(None)`: none responded in time.
    pub(super) async fn open<T, E, F>(&self, config: &Config, open: impl Fn(Config) -> F) -> Result<T, Option<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let count = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
        let is_balanced = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        let first = if is_balanced {
            self.first.fetch_add(1, Ordering::Relaxed)
        } else {
            self.first.load(Ordering::Relaxed)
        };
        let attempt = |turn: usize| {
            let index = first.wrapping_add(turn) % count;
            let opening = open(only(config, index));
            async move {
                sleep(STAGGER * turn as u32).await;
                (index, opening.await)
            }
        };
        let mut attempts: FuturesUnordered<_> = (0..count).map(attempt).collect();
        let mut failure = None;
        loop {
            let next = match failure {
                None => attempts.next().await,
                Some(_) => timeout(AFTER_A_FAILURE, attempts.next()).await.unwrap_or(None),
            };
            match next {
                Some((index, Ok(opened))) => {
                    if !is_balanced {
                        self.first.store(index, Ordering::Relaxed);
                    }
                    return Ok(opened);
                }
                Some((_, Err(error))) => failure = Some(error),
                None => return Err(failure),
            }
        }
    }
}

/// The same configuration with one of its hosts. The driver cannot remove hosts.
fn only(config: &Config, index: usize) -> Config {
    if config.get_hosts().len() <= 1 && config.get_hostaddrs().len() <= 1 {
        return config.clone();
    }
    let mut one = Config::new();
    match config.get_hosts().get(index) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    if let Some(address) = config.get_hostaddrs().get(index) {
        one.hostaddr(*address);
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
        .channel_binding(config.get_channel_binding());
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
             target_session_attrs=read-write&channel_binding=require";
        let config = |hosts: &str| -> Config {
            let url = format!("postgres://user:password@{hosts}/name?{parameters}");
            url.parse().expect("a URL")
        };
        let several = config("one:1,two:2");
        assert_eq!(only(&several, 0), config("one:1"));
        assert_eq!(only(&several, 1), config("two:2"));
        assert_eq!(only(&config("one"), 0), config("one"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_respond_delays_nothing_twice() {
        let config: Config = "postgres://u@silent,standby/d".parse().expect("a URL");
        let name = |config: &Config| match &config.get_hosts()[0] {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let open = async |config: Config| match name(&config).as_str() {
            "silent" => std::future::pending().await,
            other => Ok::<_, ()>(other.to_owned()),
        };
        let hosts = Hosts::default();
        for expected in [STAGGER, Duration::ZERO] {
            let began = tokio::time::Instant::now();
            assert_eq!(hosts.open(&config, open).await, Ok("standby".to_owned()));
            assert_eq!(began.elapsed(), expected);
        }
        // The other host fails, as a standby does: soon enough to try again.
        let began = tokio::time::Instant::now();
        let fails = async |config: Config| match name(&config).as_str() {
            "silent" => std::future::pending().await,
            _ => Err::<(), _>("read-only"),
        };
        assert_eq!(hosts.open(&config, fails).await, Err(Some("read-only")));
        assert_eq!(began.elapsed(), AFTER_A_FAILURE);
    }
}
