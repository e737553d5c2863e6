//! One line per check on standard output, and what scripts/check-clients started.

use std::collections::HashMap;

use serde::Deserialize;

pub type Failure = Box<dyn std::error::Error>;

#[derive(Deserialize)]
pub struct Client {
    pub client_id: String,
    pub client_secret: String,
}

/// A token that an imported key signed.
#[derive(Deserialize)]
pub struct Imported {
    pub language: String,
    pub name: String,
    pub token: String,
}

#[derive(Deserialize)]
pub struct Fixture {
    pub issuer: String,
    pub audience: String,
    pub clients: HashMap<String, Client>,
    pub import_issuer: String,
    pub imported: Vec<Imported>,
}

impl Fixture {
    pub fn read(file: &str) -> Result<Fixture, Failure> {
        Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
    }

    pub fn client(&self, name: &str) -> Result<&Client, Failure> {
        Ok(self.clients.get(name).ok_or("no such client")?)
    }

    /// An access token of a client.
    pub fn token(&self, name: &str) -> Result<String, Failure> {
        let client = self.client(name)?;
        let answer: HashMap<String, serde_json::Value> = ureq::post(&format!("{}/oauth/token", self.issuer))
            .send_form(&[
                ("grant_type", "client_credentials"),
                ("client_id", &client.client_id),
                ("client_secret", &client.client_secret),
            ])?
            .into_json()?;
        Ok(answer["access_token"].as_str().ok_or("no access_token")?.to_owned())
    }
}

/// Whether a check failed.
#[derive(Default)]
pub struct Report {
    pub failed: bool,
}

impl Report {
    /// Runs a check. `library`: its name; `what`: what holds if it returns `Ok`.
    pub fn check(&mut self, library: &str, what: &str, check: impl FnOnce() -> Result<(), Failure>) {
        match check() {
            Ok(()) => println!("ok rust {library}: {what}"),
            Err(error) => {
                self.failed = true;
                println!("FAILED rust {library}: {what}: {error}");
            }
        }
    }

    /// Checks that a token of a client is accepted, and rejected with a changed signature.
    pub fn verifies(
        &mut self,
        fixture: &Fixture,
        library: &str,
        client: &str,
        verify: impl Fn(&str) -> Result<(), Failure>,
    ) {
        self.check(library, &format!("verifies {client}"), || {
            let token = fixture.token(client)?;
            verify(&token)?;
            match verify(&forged(&token)) {
                Ok(()) => Err("a changed signature is accepted".into()),
                Err(_) => Ok(()),
            }
        });
    }
}

/// The token with its signature changed.
fn forged(token: &str) -> String {
    let start = token.rfind('.').map_or(0, |dot| dot + 1);
    let changed = if token[start..].starts_with('A') { "B" } else { "A" };
    format!("{}{changed}{}", &token[..start], &token[start + 1..])
}
