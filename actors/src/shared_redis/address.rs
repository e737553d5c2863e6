//! The Redis that nodes share: one server, the primary that Sentinels name, or any node of a cluster.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use redis::{RedisConnectionInfo, TlsCertificates, TlsMode};
use tokio::time::timeout;
use url::Url;

use super::failure::{SENTENCE, describe, is_transient};
use super::login::RedisLogin;

/// Limit of opening a connection, and of finding the server to open it to.
pub(crate) const CONNECT: Duration = Duration::from_secs(1);

/// The port of a server, and of a Sentinel.
const PORTS: [u16; 2] = [6379, 26_379];

/// Which server of several is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Topology {
    /// The one there is.
    Single,
    /// The primary of this name, as the Sentinels at the hosts say.
    Sentinel(String),
    /// Any: each passes messages on to all.
    Cluster,
}

/// Where Redis is, and how to log in.
#[derive(Clone)]
pub struct RedisAddress {
    topology: Topology,
    hosts: Vec<(String, u16)>,
    is_tls: bool,
    login: RedisLogin,
    /// Of the Sentinels.
    sentinel_login: RedisLogin,
    database: i64,
    /// A certificate authority, PEM.
    authority: Option<Vec<u8>>,
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAddress")
            .field("topology", &self.topology)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl RedisAddress {
    /// Reads `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, `redis+sentinel://…HOST[:PORT],…/NAME[/DATABASE]` or
    /// `redis+cluster://…HOST[:PORT],…`; with `rediss` for TLS. The error is a clause that follows the name of the parameter and
    /// repeats nothing that may be secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "must begin with redis://, rediss://, redis+sentinel:// or redis+cluster://";
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        let (security, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_tls = match security {
            "redis" => false,
            "rediss" => true,
            _ => return Err(FORM.to_owned()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains(['?', '#']) {
            return Err("must have no query and no fragment".to_owned());
        }
        let (login, hosts) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(l, h)| (Some(l), h));
        let (user, password) = login.map_or(Ok((None, None)), credentials)?;
        let mut path = path.split('/').filter(|part| !part.is_empty());
        let topology = match kind {
            "" => Topology::Single,
            "sentinel" => Topology::Sentinel(
                path.next()
                    .ok_or("must name the primary after the hosts, as /NAME")?
                    .to_owned(),
            ),
            "cluster" => Topology::Cluster,
            _ => return Err(FORM.to_owned()),
        };
        let database = path.next().map_or(Ok(0), str::parse).ok().filter(|number| *number >= 0);
        let database = database.ok_or("must end with the number of a database, or without one")?;
        if path.next().is_some() {
            return Err("has more after the number of the database".to_owned());
        }
        if topology == Topology::Cluster && database != 0 {
            return Err("must name no database: a cluster has only number 0".to_owned());
        }
        let port = PORTS[usize::from(matches!(topology, Topology::Sentinel(_)))];
        let hosts: Vec<_> = hosts.split(',').map(|one| host(one, port)).collect::<Result<_, _>>()?;
        if topology == Topology::Single && hosts.len() > 1 {
            return Err("must name one host; several are for redis+sentinel:// and redis+cluster://".to_owned());
        }
        Ok(Self {
            topology,
            hosts,
            is_tls,
            login: RedisLogin {
                user,
                password,
                password_file: None,
            },
            sentinel_login: RedisLogin::default(),
            database,
            authority: None,
        })
    }

    /// Sets the password, instead of the URL's. The content of `file`, read when a connection is opened, replaces both.
    #[must_use]
    pub fn with_password(mut self, password: Option<String>, file: Option<PathBuf>) -> Self {
        self.login.password = password.or(self.login.password);
        self.login.password_file = file;
        self
    }

    /// With this log-in at the Sentinels.
    #[must_use]
    pub fn with_sentinel_login(self, sentinel_login: RedisLogin) -> Self {
        Self { sentinel_login, ..self }
    }

    /// With the certificate authorities of this PEM file instead of the system's. Fails without TLS.
    pub fn with_authority(self, pem: Vec<u8>) -> Result<Self, String> {
        if !self.is_tls {
            return Err("has no effect without rediss://".to_owned());
        }
        let address = Self {
            authority: Some(pem),
            ..self
        };
        // Fails now rather than at the first connection.
        address.client(0).map_err(|error| error.to_string())?;
        Ok(address)
    }

    /// The hosts, for people.
    pub fn hosts(&self) -> String {
        let all: Vec<_> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        all.join(", ")
    }

    /// Whether Sentinels name the primary.
    pub fn has_sentinels(&self) -> bool {
        matches!(self.topology, Topology::Sentinel(_))
    }

    /// Whether it is a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        self.topology == Topology::Cluster
    }

    /// A connection to a cluster that knows which server holds a key; `None` if it is none.
    pub(super) async fn cluster(&self, response: Duration) -> redis::RedisResult<Option<ClusterConnection>> {
        if !self.is_cluster() {
            return Ok(None);
        }
        let hosts: Vec<_> = (0..self.hosts.len())
            .map(|index| self.info(index))
            .collect::<Result<_, _>>()?;
        let mut builder = ClusterClient::builder(hosts)
            .connection_timeout(CONNECT)
            .response_timeout(response)
            .retries(1);
        if let Some(certificates) = self.certificates() {
            builder = builder.certs(certificates);
        }
        let client = builder.build()?;
        let connected = timeout(2 * CONNECT, client.get_async_connection()).await;
        connected.unwrap_or_else(|_| Err(late("the cluster"))).map(Some)
    }

    /// Clients of the servers to try, in order.
    pub(super) async fn clients(&self) -> redis::RedisResult<Vec<Client>> {
        match &self.topology {
            Topology::Single => Ok(vec![self.client(0)?]),
            Topology::Cluster => (0..self.hosts.len()).map(|index| self.client(index)).collect(),
            Topology::Sentinel(primary) => Ok(vec![self.primary(primary).await?]),
        }
    }

    /// The primary that the Sentinels name.
    async fn primary(&self, name: &str) -> redis::RedisResult<Client> {
        let hosts = (0..self.hosts.len()).map(|index| self.endpoint(index));
        let mut builder = SentinelClientBuilder::new(hosts, name, SentinelServerType::Master)?;
        if self.is_tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(user) = &self.login.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = self.login.current_password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(user) = &self.sentinel_login.user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = self.sentinel_login.current_password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(certificates) = self.certificates() {
            builder = builder.set_client_to_redis_certificates(certificates.clone());
            builder = builder.set_client_to_sentinel_certificates(certificates);
        }
        let mut sentinels = builder.set_client_to_redis_db(self.database).build()?;
        let find = async {
            match sentinels.async_get_client().await {
                // Of the Sentinels, or of the primary that they name?
                Err(error) if !is_transient(&error) => match sentinels.async_get_sentinel_client().await {
                    Err(error) if !is_transient(&error) => Err(of_sentinels(&error)),
                    _ => Err(error),
                },
                found => found,
            }
        };
        let found = timeout(CONNECT, find).await;
        found.unwrap_or_else(|_| Err(late("the Sentinels")))
    }

    fn client(&self, index: usize) -> redis::RedisResult<Client> {
        let info = self.info(index)?;
        match self.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    fn info(&self, index: usize) -> redis::RedisResult<ConnectionInfo> {
        let mut login = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.login.user {
            login = login.set_username(user);
        }
        if let Some(password) = self.login.current_password() {
            login = login.set_password(password);
        }
        Ok(self.endpoint(index).into_connection_info()?.set_redis_settings(login))
    }

    fn endpoint(&self, index: usize) -> ConnectionAddr {
        let (host, port) = self.hosts[index].clone();
        if self.is_tls {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        self.authority.as_ref().map(|pem| TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.clone()),
        })
    }
}

/// The limits of a connection.
pub(super) fn limits(response: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(response))
}

/// An error of Sentinels, as a sentence.
fn of_sentinels(error: &redis::RedisError) -> redis::RedisError {
    let why = format!("the Sentinels: {}", describe(error));
    (SENTENCE, "the Sentinels cannot be used", why).into()
}

/// A server that did not respond in time.
pub(crate) fn late(what: &str) -> redis::RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("{what} did not respond in time")).into()
}

type Credentials = (Option<String>, Option<String>);

/// User and password, percent-decoded. A user alone has the password in a file.
fn credentials(login: &str) -> Result<Credentials, String> {
    let url = Url::parse(&format!("redis://{login}@host"))
        .map_err(|_| "has a user or a password that must be percent-encoded")?;
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| "has a user or a password that is not UTF-8".to_owned())
    };
    let user = Some(url.username())
        .filter(|user| !user.is_empty())
        .map(decode)
        .transpose()?;
    Ok((user, url.password().map(decode).transpose()?))
}

fn host(text: &str, port: u16) -> Result<(String, u16), String> {
    const FORM: &str = "must name hosts as HOST or HOST:PORT, separated by commas";
    // An IPv6 address is in brackets.
    let (host, given) = match text.rfind(']') {
        Some(end) => (text[..=end].trim_matches(['[', ']']), text[end + 1..].strip_prefix(':')),
        None => text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = given.map_or(Ok(port), str::parse).map_err(|_| FORM)?;
    let is_name = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    if !is_name || port == 0 {
        return Err(FORM.to_owned());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn urls_of_every_topology_are_read() {
        let address = RedisAddress::parse("rediss://app:p%40ss@[2001:db8::1]:7000/3").unwrap();
        assert_eq!(address.hosts(), "2001:db8::1:7000");
        assert_eq!(address.login.user.as_deref(), Some("app"));
        assert_eq!(address.login.password.as_deref(), Some("p@ss"));
        assert_eq!((address.database, address.is_tls), (3, true));
        let address = RedisAddress::parse("redis://:only-password@localhost").unwrap();
        assert_eq!(
            (address.login.user, address.login.password.as_deref()),
            (None, Some("only-password"))
        );
        let address = RedisAddress::parse("redis+sentinel://a,b:26380/primary/1").unwrap();
        assert_eq!(address.topology, Topology::Sentinel("primary".to_owned()));
        assert_eq!((address.hosts().as_str(), address.database), ("a:26379, b:26380", 1));
        assert!(RedisAddress::parse("redis+cluster://a,b,c").unwrap().is_cluster());
    }

    #[test]
    fn problems_name_no_secret() {
        for (url, problem) in [
            ("http://secret@a", "must begin with"),
            ("redis", "must begin with"),
            ("redis+x://a", "must begin with"),
            ("redis://user:secret@a?db=1", "no query"),
            ("redis://user:secret@", "must name hosts"),
            ("redis://user:secret@a:x", "must name hosts"),
            ("redis://user:secret@a:0", "must name hosts"),
            ("redis://user:secret@a,b", "one host"),
            ("redis://user:secret@a/x", "number of a database"),
            ("redis://user:secret@a/1/2", "more after"),
            ("redis+sentinel://user:secret@a", "name the primary"),
            ("redis+cluster://user:secret@a/1", "only number 0"),
        ] {
            let found = RedisAddress::parse(url).unwrap_err();
            assert!(found.contains(problem) && !found.contains("secret"), "{url}: {found}");
        }
    }
}
