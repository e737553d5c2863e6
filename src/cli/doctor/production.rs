//! `doctor --production`: what production needs besides a healthy server.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use oauth2_store::Pooler;
use oauth2_store::model::{Capacity, Mode};

use super::backups;
use crate::config::error::Origin;
use crate::config::key::Secrecy;
use crate::config::{Config, Listener};
use crate::service::diagnosis::{Check, Diagnosis, Status};

/// Connections for subcommands, monitoring, backups and replication: the sum of the limits of the other roles in deploy/postgres.
const RESERVE: u32 = 22;

/// A standby that is further behind loses more than this when the primary is lost, seconds.
const MAX_LAG: f64 = 10.0;

#[derive(Debug, Args)]
pub struct Production {
    /// Also check what production needs: issuer, listeners, secrets, TLS, connections, standbys, backups, limits and the admin token.
    #[arg(long = "production", id = "production")]
    is_asked_for: bool,
    /// The most nodes that will run at a time, for the arithmetic of connections.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "production", value_parser = clap::value_parser!(u32).range(1..=1000))]
    nodes: u32,
    /// The newest backup, or the directory of backups.
    #[arg(long, value_name = "PATH", requires = "production")]
    backup: Option<PathBuf>,
    /// How old the newest backup may be, hours.
    #[arg(long, value_name = "HOURS", default_value_t = 25, requires = "production", value_parser = clap::value_parser!(u32).range(1..))]
    backup_max_age: u32,
}

impl Production {
    /// The checks, if they are asked for. `diagnosis`: of a store that can be opened.
    pub async fn checks(&self, config: &Config, diagnosis: Option<&Diagnosis>) -> Vec<Check> {
        if !self.is_asked_for {
            return Vec::new();
        }
        let mut checks = vec![issuer(config), listeners(config), secrets(config)];
        checks.extend(diagnosis.map(database_tls));
        let capacity = match diagnosis {
            Some(diagnosis) => diagnosis.server_capacity().await,
            None => Ok(None),
        };
        match capacity {
            Ok(Some(capacity)) => checks.extend([self.pool(config, &capacity), standbys(&capacity)]),
            Ok(None) => {
                let detail = "the store is SQLite: one node, and no standby takes over if its machine is lost";
                checks.push(Check::new("replicas", Status::Warning, detail));
            }
            Err(error) => checks.push(Check::new("connections", Status::Failed, error.to_string())),
        }
        checks.extend([self.backup(), limits(config), admin_token(config)]);
        checks
    }

    /// Whether all nodes together get their connections.
    fn pool(&self, config: &Config, capacity: &Capacity) -> Check {
        let options = config.database.options();
        // A node that notifies others through Postgres listens on a connection of its own.
        let each = options.max_connections + u32::from(config.redis.is_none());
        // During an upgrade there is one node more.
        let needed = (self.nodes + 1) * each + RESERVE;
        let offered = capacity.max_connections.saturating_sub(capacity.reserved);
        let detail = format!(
            "{} nodes and one more during an upgrade with {each} connections each, and {RESERVE} for others, are {needed}; Postgres offers {offered}",
            self.nodes
        );
        if options.pooler == Pooler::Transaction {
            let detail = "a pooler shares the connections: compare its pool with max_connections of Postgres";
            return Check::new("connections", Status::Skipped, detail);
        }
        if needed <= offered {
            return Check::new("connections", Status::Ok, detail);
        }
        let advice = "lower OAUTH2_DATABASE_MAX_CONNECTIONS, raise max_connections, or use a pooler";
        Check::new("connections", Status::Failed, format!("{detail}: {advice}"))
    }

    fn backup(&self) -> Check {
        let check = |status, detail: String| Check::new("backup", status, detail);
        let Some(path) = &self.backup else {
            let detail = "not checked; name the newest backup or its directory: --backup PATH";
            return check(Status::Warning, detail.to_owned());
        };
        let max = Duration::from_secs(u64::from(self.backup_max_age) * 3600);
        match backups::newest(path) {
            Err(problem) => check(Status::Failed, problem),
            Ok(at) => {
                let age = SystemTime::now().duration_since(at).unwrap_or_default();
                let detail = format!("the newest backup is {} hours old", age.as_secs() / 3600);
                if age <= max {
                    check(Status::Ok, detail)
                } else {
                    let max = self.backup_max_age;
                    check(Status::Failed, format!("{detail}; --backup-max-age allows {max}"))
                }
            }
        }
    }
}

fn issuer(config: &Config) -> Check {
    let issuer = &config.issuer;
    if issuer.starts_with("https://") {
        return Check::new("issuer", Status::Ok, issuer.clone());
    }
    let detail = format!(
        "{issuer} is for development: tokens and secrets would cross networks in the clear; set OAUTH2_ISSUER to an https URL"
    );
    Check::new("issuer", Status::Failed, detail)
}

/// Whether other machines reach the admin API, or the public listener without a proxy.
fn listeners(config: &Config) -> Check {
    let mut problems = Vec::new();
    if !is_private(&config.management) && !config.tls.asks_for_client_certificates() {
        problems.push(format!(
            "the management listener is on {}: let only operators and monitoring reach it, bind it to a private address, or ask for client certificates",
            config.management.host
        ));
    }
    let public = &config.server.listener;
    let has_proxies = !config.server.trusted_proxies.is_empty();
    if !is_loopback(public) && !has_proxies && config.tls.public.is_none() {
        problems.push(
            "the public listener has neither certificates nor a trusted proxy: set OAUTH2_SERVER_TLS_CERTIFICATE_FILE, or behind a proxy \
             OAUTH2_SERVER_TRUSTED_PROXIES, or the address of every client is the proxy's"
                .to_owned(),
        );
    }
    if problems.is_empty() {
        return Check::new(
            "listeners",
            Status::Ok,
            "the management listener is private, or asks for certificates",
        );
    }
    Check::new("listeners", Status::Warning, problems.join("; "))
}

fn is_loopback(listener: &Listener) -> bool {
    let address: Option<IpAddr> = listener.host.parse().ok();
    address.map_or(listener.host == "localhost", |address| address.is_loopback())
}

fn is_private(listener: &Listener) -> bool {
    let address: Option<IpAddr> = listener.host.parse().ok();
    is_loopback(listener)
        || address.is_some_and(|address| match address {
            IpAddr::V4(address) => address.is_private(),
            IpAddr::V6(address) => address.is_unique_local(),
        })
}

/// Secrets in the environment are inherited by every child process, and shown by tools.
fn secrets(config: &Config) -> Check {
    let in_environment = config.entries.iter().filter(|entry| {
        let is_secret = match entry.key.secrecy {
            Secrecy::Public => false,
            Secrecy::Secret => entry.value.is_some(),
            // Redacted only if it has a password.
            Secrecy::Url => entry.value.as_deref().is_some_and(|url| url.contains("<redacted>")),
        };
        is_secret && matches!(&entry.origin, Origin::Environment(name) if !name.ends_with("_FILE"))
    });
    let names: Vec<_> = in_environment.map(|entry| entry.key.env).collect();
    if names.is_empty() {
        return Check::new("secrets", Status::Ok, "no secret is in the environment");
    }
    let detail = format!(
        "in the environment: {}; use files: append _FILE to the names",
        names.join(", ")
    );
    Check::new("secrets", Status::Warning, detail)
}

fn database_tls(diagnosis: &Diagnosis) -> Check {
    let check = |status, detail: String| Check::new("database tls", status, detail);
    match diagnosis.protection() {
        None => check(Status::Skipped, "the store is a file".to_owned()),
        Some(protection) if protection.contains("host name verified") => check(Status::Ok, protection),
        Some(protection) => check(
            Status::Warning,
            format!("{protection}; use sslmode=verify-full and sslrootcert, unless Postgres is on this machine"),
        ),
    }
}

fn standbys(capacity: &Capacity) -> Check {
    let check = |status, detail: String| Check::new("replicas", status, detail);
    if let Some(slot) = capacity.inactive_slots.first() {
        let detail = format!("nobody reads from the replication slot {slot}: Postgres keeps its log for it");
        return check(Status::Warning, detail);
    }
    if !capacity.shows_lag {
        let detail = "this role may not see the lag of standbys; look with the role of monitoring, or run: GRANT pg_read_all_stats TO the role of the server";
        return check(Status::Skipped, detail.to_owned());
    }
    if capacity.standbys.is_empty() {
        let detail = "no standby is connected: if this server is lost, so is what the newest backup lacks";
        return check(Status::Warning, detail.to_owned());
    }
    let behind = capacity
        .standbys
        .iter()
        .find(|standby| standby.lag_seconds.is_some_and(|lag| lag > MAX_LAG));
    match behind {
        Some(standby) => {
            let lag = standby.lag_seconds.unwrap_or_default();
            check(
                Status::Failed,
                format!("the standby {} is {lag:.0} s behind", standby.name),
            )
        }
        None => check(
            Status::Ok,
            format!("{} connected, at most {MAX_LAG:.0} s behind", capacity.standbys.len()),
        ),
    }
}

fn limits(config: &Config) -> Check {
    let check = |status, detail: &str| Check::new("limits", status, detail);
    let limits = &config.limits;
    if limits.mode == Mode::Observe || limits.failures_mode == Mode::Observe {
        return check(Status::Warning, "limits are only observed: set the modes to enforce");
    }
    if limits.rates.token.is_none() {
        let detail = "clients without a limit of their own have none: set OAUTH2_LIMITS_TOKEN";
        return check(Status::Warning, detail);
    }
    check(Status::Ok, "every client has a limit")
}

fn admin_token(config: &Config) -> Check {
    let check = |status, detail: &str| Check::new("admin token", status, detail);
    if config.secrets.previous_admin_token.is_some() {
        let detail = "two are accepted: remove OAUTH2_ADMIN_TOKEN_PREVIOUS when every caller has the new one";
        return check(Status::Warning, detail);
    }
    if config.secrets.admin_token.is_some() || config.database.data_directory().is_some() {
        let detail = "whoever has the static token is nameless in the audit log: give operators clients with the scope oauth2.admin, and keep it for emergencies";
        return check(Status::Warning, detail);
    }
    check(
        Status::Ok,
        "no static one is configured here: operators are named in the audit log",
    )
}
