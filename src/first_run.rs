//! The first start on an embedded store: a demo client, and a banner with a command to paste.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oauth2_actors::error::StoreError;
use oauth2_actors::model::AuditEntry;
use oauth2_actors::store::Store;
use serde_json::json;

use crate::config::embedded;
use crate::failure::Failure;
use crate::oauth::registration::{self, ClientRequest, Defaults, Fresh};

/// The demo client's id.
const DEMO: &str = "demo";

/// The file that holds its secret, beside the database.
const SECRET_FILE: &str = "demo_client_secret";

/// Where the demo client's secret lies.
pub fn secret_file(data: &Path) -> PathBuf {
    data.join(SECRET_FILE)
}

/// Registers the demo client of a new store. Its secret's file is written first: a start that is cut short between the two
/// leaves a file that the next one says nothing about, never a client whose secret nobody knows.
pub async fn create_demo_client(store: &Store, data: &Path, defaults: &Defaults, now: i64) -> Result<(), Failure> {
    let fresh = Fresh::generate().map_err(Failure::environment)?;
    let file = secret_file(data);
    let secret = if let Some(secret) = embedded::read(&file)? {
        secret
    } else {
        let written = embedded::write_new(&file, &fresh.secret);
        written.map_err(|error| Failure::Environment(format!("{} cannot be written: {error}", file.display())))?;
        fresh.secret.clone()
    };
    let request = ClientRequest {
        client_id: Some(DEMO.to_owned()).into(),
        client_secret: Some(secret).into(),
        client_name: Some("demo client of the first run".to_owned()).into(),
        scope: Some("read write".to_owned()).into(),
        ..ClientRequest::default()
    };
    let registered = registration::register(&request, defaults, fresh, now).map_err(Failure::environment)?;
    let audit = AuditEntry {
        actor: "server".to_owned(),
        action: "client.create",
        detail: json!({"first_run": true}),
    };
    match store.create_client(&registered.client, now as u64 * 1000, &audit).await {
        Ok(_) | Err(StoreError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the banner tells.
#[derive(Debug)]
pub struct Banner<'a> {
    /// This issuer.
    pub issuer: &'a str,
    /// The public listener.
    pub public: String,
    /// The management listener.
    pub management: String,
    /// Where the data is, without any password.
    pub data: String,
    /// The demo client's secret, if there is one.
    pub demo_secret: Option<PathBuf>,
}

impl Banner<'_> {
    /// Prints the banner, in one write, as plain text. A closed stdout is nobody's loss.
    pub fn print(&self) {
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(self.text().as_bytes()).and_then(|()| stdout.flush());
    }

    fn text(&self) -> String {
        let mut text = format!(
            "oauth2_server {} is listening\n  issuer      {}\n  public      http://{}\n  management  http://{}\n  data        {}\n",
            env!("CARGO_PKG_VERSION"),
            self.issuer,
            self.public,
            self.management,
            self.data,
        );
        if let Some(file) = &self.demo_secret {
            let file = shell_quote(&file.to_string_lossy());
            let public = &self.public;
            let curl = format!(
                "curl -sS -u \"{DEMO}:$(cat {file})\" -d grant_type=client_credentials http://{public}/oauth/token"
            );
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
    fn the_command_is_one_line_and_survives_odd_paths() {
        let banner = Banner {
            issuer: "http://127.0.0.1:8080",
            public: "127.0.0.1:8080".to_owned(),
            management: "127.0.0.1:8081".to_owned(),
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
