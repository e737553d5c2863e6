//! `token …`.

use std::io::Read;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use oauth2_actors::model::token::latest_expiry as latest_expiry_of;
use oauth2_actors::model::{Revocation, RevocationTarget, StoredToken};
use oauth2_actors::store::Store;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::store::{self, audit, no_such_client, now};
use super::{Json, Paging, output};
use crate::config::Config;
use crate::failure::Failure;
use crate::oauth::cursor;
use crate::oauth::view::{ListView, TokenView, tokens_of};
use crate::tokens::inspect::decode;
use crate::tokens::peek::peek;

mod inspect;
mod issue;
mod revoke_file;
mod state;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Issue tokens in a client's name, for provisioning.
    Issue(issue::Issue),
    /// Say what a token says, whether a published key signed it, and with a store whether it holds.
    Inspect(inspect::Inspect),
    /// List a client's recorded tokens that have not expired, newest first.
    List {
        /// The client's id.
        #[arg(long, value_name = "ID")]
        client: String,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        json: Json,
    },
    /// Show a recorded token, and whether it counts.
    ///
    /// The record does not say which key signed a token: only where the whole token is given is it known to be inactive after
    /// `key revoke`. By its id it is shown as active then.
    Show {
        #[command(flatten)]
        token: Token,
        #[command(flatten)]
        json: Json,
    },
    /// Revoke one token, or every token issued so far to a client or by this server.
    Revoke(Revoke),
}

#[derive(Args)]
pub struct Token {
    /// A token id or a whole token; `-` reads it from stdin, where no process list shows it.
    #[arg(value_name = "TOKEN-OR-JTI")]
    token: String,
}

#[derive(Args)]
#[group(skip)]
#[command(group = ArgGroup::new("what").args(["token", "client", "all", "file"]).required(true))]
pub struct Revoke {
    /// A token id or a whole token; `-` reads it from stdin, where no process list shows it.
    #[arg(value_name = "TOKEN-OR-JTI")]
    token: Option<String>,
    /// Every token issued so far to this client.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Every token issued so far.
    #[arg(long)]
    all: bool,
    /// Each token or token id on a line of this file; `-` is stdin. Empty lines and those that begin with # are left out.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

// Both may hold a whole token.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl std::fmt::Debug for Revoke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revoke")
            .field("client", &self.client)
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { client, paging, json } => list(config, &client, &paging, json).await,
        Command::Show { token, json } => show(config, &token.token, json).await,
        Command::Revoke(revoke) => match &revoke.file {
            Some(file) => revoke_file::run(config, file, revoke.json).await,
            None => self::revoke(config, &revoke).await,
        },
        Command::Issue(asked) => issue::run(config, asked).await,
        Command::Inspect(asked) => inspect::run(config, &asked).await,
    }
}

async fn list(config: &Config, client: &str, paging: &Paging, json: Json) -> Result<(), Failure> {
    let of = tokens_of(client);
    let cursor = paging
        .cursor
        .as_deref()
        .map(|cursor| cursor::decode(&of, cursor))
        .transpose();
    let cursor = cursor.map_err(|why| Failure::Refused(format!("--cursor {why}")))?;
    let cursor = cursor.and_then(|jti| jti.parse::<Uuid>().ok());
    let store = store::open(config).await?;
    let mut page = store
        .list_tokens(client, now(), cursor, usize::from(paging.limit))
        .await?;
    page.next = page.next.map(|next| cursor::encode(&of, &next));
    // The tokens of a deleted client are still on record: only a name that means nothing at all is a mistake.
    if page.items.is_empty() && store.client(client).await?.is_none() {
        return Err(no_such_client(client));
    }
    if json.json {
        let items = page.items.iter().map(TokenView::new).collect();
        return output::json(&ListView {
            items,
            next_cursor: page.next,
        });
    }
    let row = |token: &StoredToken| {
        let view = TokenView::new(token);
        let (issued, expires) = (output::date(view.iat), output::date(view.exp));
        vec![
            view.jti.to_string(),
            view.token_format.to_string(),
            issued,
            expires,
            view.aud.to_owned(),
            view.scope.to_owned(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    output::table(&["JTI", "FORMAT", "ISSUED", "EXPIRES", "AUDIENCE", "SCOPE"], &rows)?;
    output::more(page.next.as_deref());
    Ok(())
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    token: TokenView<'a>,
    active: bool,
}

async fn show(config: &Config, token: &str, json: Json) -> Result<(), Failure> {
    let named = Named::read(token)?;
    let store = store::open(config).await?;
    let Some(stored) = store.token(named.jti, named.expires_at).await? else {
        let problem = format!("there is no record of token {}; stateless tokens have none", named.jti);
        return Err(Failure::Refused(problem));
    };
    let active = state::is_active(&store, &stored, named.kid.as_deref()).await?;
    let view = TokenView::new(&stored);
    if json.json {
        return output::json(&Shown { token: view, active });
    }
    output::fields(&[
        ("jti", view.jti.to_string()),
        ("client_id", view.client_id.to_owned()),
        ("user_id", output::or_dash(view.user_id)),
        ("scope", view.scope.to_owned()),
        ("aud", view.aud.to_owned()),
        ("token_format", view.token_format.to_string()),
        ("iat", output::date(view.iat)),
        ("exp", output::date(view.exp)),
        ("active", active.to_string()),
    ])
}

async fn revoke(config: &Config, revoke: &Revoke) -> Result<(), Failure> {
    let named = revoke.token.as_deref().map(Named::read).transpose()?;
    let store = store::open(config).await?;
    // The store's clock: what servers mint is stamped by it.
    let cutoff_ms = store.ping().await?;
    let (target, action, answer): (_, _, Value) = if let Some(named) = named {
        let expires_at = latest_expiry(&store, &named).await?;
        let target = RevocationTarget::Token {
            jti: named.jti,
            expires_at,
        };
        (target, "token.revoke", json!({ "revoked": named.jti }))
    } else if let Some(id) = &revoke.client {
        if store.client(id).await?.is_none() {
            return Err(no_such_client(id));
        }
        let target = RevocationTarget::Client(id.clone());
        (target, "revocation.cutoff", json!({ "revoked_before_ms": cutoff_ms }))
    } else {
        (
            RevocationTarget::Issuer,
            "revocation.cutoff",
            json!({ "revoked_before_ms": cutoff_ms }),
        )
    };
    let revocation = Revocation { target, cutoff_ms };
    store.revoke(&revocation, cutoff_ms, &audit(action, json!({}))).await?;
    if revoke.json.json {
        return output::json(&answer);
    }
    output::text_line(&match revocation.target {
        RevocationTarget::Token { jti, .. } => format!("token {jti} is revoked"),
        RevocationTarget::Client(id) => format!("every token issued to {id} so far is revoked"),
        _ => "every token issued so far is revoked".to_owned(),
    })
}

/// How long the log must remember a token: as long as the ledger says, else as long as any token may live. What the token
/// says of its expiry is not verified, so it is only a hint where to look.
async fn latest_expiry(store: &Store, named: &Named) -> Result<i64, Failure> {
    if let Some(stored) = store.token(named.jti, named.expires_at).await? {
        return Ok(stored.record.expires_at);
    }
    Ok(latest_expiry_of(&named.jti, now()))
}

/// A token as somebody named it.
struct Named {
    jti: Uuid,
    expires_at: Option<i64>,
    /// The key that it names, where the whole token was given.
    kid: Option<String>,
}

impl Named {
    fn read(argument: &str) -> Result<Self, Failure> {
        let mut stdin = String::new();
        if argument == "-" {
            let read = std::io::stdin().take(64 * 1024).read_to_string(&mut stdin);
            read.map_err(|error| Failure::Environment(format!("stdin cannot be read: {error}")))?;
        }
        let text = if argument == "-" { stdin.trim() } else { argument };
        let named = match text.parse::<Uuid>() {
            Ok(jti) => Some(Self {
                jti,
                expires_at: None,
                kid: None,
            }),
            Err(_) => peek(text).map(|token| Self {
                jti: token.jti,
                expires_at: Some(token.expires_at),
                kid: decode(text).and_then(|decoded| decoded.header["kid"].as_str().map(str::to_owned)),
            }),
        };
        named
            .filter(|named| named.jti.get_version_num() == 7)
            .ok_or_else(|| Failure::Refused("this is neither a token nor a token id of this server".to_owned()))
    }
}
