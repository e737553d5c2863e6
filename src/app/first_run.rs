//! The first start on an embedded store: a demo client, and a banner with a command to paste.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use oauth2_store::model::{AuditFilter, AuditPosition};
use oauth2_store::{Store, StoreError};

use crate::config::embedded;
use crate::failure::Failure;
use crate::service::clients::Clients;
use crate::service::clients::field::Field;
use crate::service::clients::metadata::ClientRequest;
use crate::service::error::ServiceError;
use crate::service::operator::Operator;
use crate::tokens::secret;

/// The demo client's id.
const DEMO: &str = "demo";

/// The file that holds its secret, next to the database.
pub(super) const SECRET_FILE: &str = embedded::DEMO_SECRET_FILE;

/// How long the registration may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where the demo client's secret is.
pub(super) fn secret_file(data: &Path) -> PathBuf {
    data.join(SECRET_FILE)
}

/// Whether the store never had a client, also if an earlier start was interrupted before it made one.
pub(super) async fn had_no_client(store: &Store) -> Result<bool, StoreError> {
    let created = AuditFilter {
        kind: Some("client".to_owned()),
        ..AuditFilter::default()
    };
    let clients = store.load_clients("", 1).await?;
    Ok(clients.is_empty() && store.audit(&created, AuditPosition::Newest, 1).await?.is_empty())
}

/// Whether the store has the demo client.
pub(super) async fn has_demo_client(store: &Store) -> Result<bool, StoreError> {
    Ok(store.client(DEMO).await?.is_some())
}

/// Registers the demo client of a new store. The file with its secret is written first: a start that is interrupted between the two
/// leaves an unused file, never a client whose secret nobody knows.
pub(super) async fn create_demo_client(clients: &Clients, data: &Path) -> Result<(), Failure> {
    let file = secret_file(data);
    let secret = if let Some(secret) = embedded::read(&file)? {
        secret
    } else {
        let secret = secret::generate_client_secret()?;
        embedded::write_new(&file, &secret)
            .map_err(|error| Failure::Environment(format!("{} cannot be written: {error}", file.display())))?;
        secret
    };
    let request = ClientRequest {
        client_id: Field::Value(DEMO.to_owned()),
        client_secret: Field::Value(secret),
        client_name: Field::Value("demo client of the first run".to_owned()),
        scope: Field::Value("read write".to_owned()),
        ..ClientRequest::default()
    };
    let deadline = Instant::now() + DEADLINE;
    match clients.create(&Operator::server(), &request, deadline).await {
        Ok(_) | Err(ServiceError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The content of the banner.
#[derive(Debug)]
pub(super) struct Banner<'a> {
    /// This issuer.
    pub(super) issuer: &'a str,
    /// The URL of the public listener.
    pub(super) public: String,
    /// The URL of the management listener.
    pub(super) management: String,
    /// Where the data is, without any password.
    pub(super) data: String,
    /// The demo client's secret, if there is one.
    pub(super) demo_secret: Option<PathBuf>,
}

impl Banner<'_> {
    /// Prints the banner in one write, as plain text. A closed stdout is no failure, and one that nobody reads delays the start by a
    /// second at most.
    pub(super) fn print(&self) {
        let (text, (printed, wait)) = (self.text(), mpsc::channel());
        std::thread::spawn(move || {
            let mut stdout = io::stdout().lock();
            let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            let _ = printed.send(());
        });
        let _ = wait.recv_timeout(Duration::from_secs(1));
    }

    fn text(&self) -> String {
        let mut text = format!(
            "oauth2_server {} is listening\n  issuer      {}\n  public      {}\n  management  {}\n  data        {}\n",
            env!("CARGO_PKG_VERSION"),
            self.issuer,
            self.public,
            self.management,
            self.data,
        );
        if let Some(file) = &self.demo_secret {
            let file = shell_quote(&file.to_string_lossy());
            let public = &self.public;
            let curl =
                format!("curl -sS -u \"{DEMO}:$(cat {file})\" -d grant_type=client_credentials {public}/oauth/token");
            text.extend(["\nA token for the demo client:\n\n", &curl, "\n\n"]);
        }
        text
    }
}

/// A path as one word of a POSIX shell.
fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curl_command_is_one_line_with_quoted_paths() {
        let banner = Banner {
            issuer: "http://127.0.0.1:8080",
            public: "http://127.0.0.1:8080".to_owned(),
            management: "http://127.0.0.1:8081".to_owned(),
            data: "/tmp/it's here/oauth2.db".to_owned(),
            demo_secret: Some("/tmp/it's here/demo_client_secret".into()),
        };
        let text = banner.text();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("curl")).collect();
        assert_eq!(
            lines,
            [
                r#"curl -sS -u "demo:$(cat '/tmp/it'\''s here/demo_client_secret')" -d grant_type=client_credentials http://127.0.0.1:8080/oauth/token"#
            ]
        );
    }
}
