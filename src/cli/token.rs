//! `token …`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use oauth2_store::model::StoredToken;
use serde_json::json;

use super::arguments::{Json, Paging};
use super::{flags, output};
use crate::app::direct::{Direct, operator};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::page::PageView;
use crate::service::records::view::RecordView;
use crate::service::revoke::CutOff;
use crate::service::token_ref::TokenRef;

mod argument;
mod cutoffs;
mod inspect;
mod issue;
mod revoke_file;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Issue tokens to a client in bulk.
    Issue(issue::Issue),
    /// Inspect a token: decode it, verify its signature, and with a store check whether it is active.
    Inspect(inspect::Inspect),
    /// List a client's unexpired recorded tokens, newest first.
    List {
        /// Client id.
        #[arg(long, value_name = "ID")]
        client: String,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        json: Json,
    },
    /// Show the record of a token, and whether it is active.
    ///
    /// A record does not name the key that signed its token. After `key revoke`, a token is shown as inactive only if the whole token
    /// is given; by its id it is shown as active.
    Show {
        #[command(flatten)]
        token: Token,
        #[command(flatten)]
        json: Json,
    },
    /// Revoke one token, the tokens of a file, or every token issued so far to a client or by this server.
    Revoke(Revoke),
    /// List revocation cut-offs, newest first: up to when the tokens of a client, a user, a key or the issuer are revoked.
    Cutoffs(cutoffs::List),
    /// Correct a cut-off that was taken with a clock ahead of the store's, so that it does not revoke new tokens.
    CorrectCutoff(cutoffs::Correct),
}

#[derive(Args)]
pub struct Token {
    /// A token id or a whole token; `-` reads it from stdin, which keeps it out of process lists.
    #[arg(value_name = "TOKEN-OR-JTI")]
    token: String,
}

#[derive(Args)]
#[group(skip)]
#[command(group = ArgGroup::new("what").args(["token", "client", "all", "file"]).required(true))]
pub struct Revoke {
    /// A token id or a whole token; `-` reads it from stdin, which keeps it out of process lists.
    #[arg(value_name = "TOKEN-OR-JTI")]
    token: Option<String>,
    /// Revoke every token issued so far to this client.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Revoke every token issued so far.
    #[arg(long)]
    all: bool,
    /// File with a token or a token id per line; `-` is stdin. Blank lines and lines that begin with # are ignored.
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
        Command::Cutoffs(list) => cutoffs::list(config, &list).await,
        Command::CorrectCutoff(correct) => cutoffs::correct(config, &correct).await,
        Command::Issue(issue) => issue::run(config, &issue).await,
        Command::Inspect(inspect) => inspect::run(config, &inspect).await,
    }
}

async fn list(config: &Config, client_id: &str, paging: &Paging, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let records = &direct.services.records;
    let page = records.list(client_id, paging.cursor(), paging.limit(), direct.deadline());
    let page = page.await.map_err(|error| flags::failure(error, &[]))?;
    direct.refresh(client_id).await?;
    if json.json {
        let view = |token| RecordView::new(token, records.is_active(token, None));
        return output::json(&PageView::new(&page, view));
    }
    let row = |token: &StoredToken| {
        let view = RecordView::new(token, records.is_active(token, None));
        vec![
            view.jti.to_string(),
            view.token_format.to_string(),
            output::date(view.iat),
            output::date(view.exp),
            view.aud.to_owned(),
            view.scope.to_owned(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    output::table(&["JTI", "FORMAT", "ISSUED", "EXPIRES", "AUDIENCE", "SCOPE"], &rows)?;
    output::more(page.next.as_deref());
    Ok(())
}

async fn show(config: &Config, token: &str, json: Json) -> Result<(), Failure> {
    let token = token_ref(token)?;
    let direct = Direct::open(config).await?;
    let records = &direct.services.records;
    let found = records.find(&token, direct.deadline()).await?;
    direct.refresh(&found.record.client_id).await?;
    let view = RecordView::new(&found, records.is_active(&found, token.kid.as_deref()));
    if json.json {
        return output::json(&view);
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
        ("active", view.active.to_string()),
    ])
}

async fn revoke(config: &Config, options: &Revoke) -> Result<(), Failure> {
    let token = options.token.as_deref().map(token_ref).transpose()?;
    let direct = Direct::open(config).await?;
    let revoke = &direct.services.revoke;
    if let Some(token) = token {
        let revoked = revoke.by_id(&operator(), &token, direct.deadline()).await?;
        return answer(
            options.json,
            &json!({ "revoked": revoked }),
            &format!("token {revoked} is revoked"),
        );
    }
    let (cut_off, text) = match &options.client {
        Some(id) => (
            CutOff::Client(id.clone()),
            format!("every token issued to {id} so far is revoked"),
        ),
        None => (CutOff::Issuer, "every token issued so far is revoked".to_owned()),
    };
    let cutoff_ms = revoke.everything_of(&operator(), cut_off, direct.deadline()).await?;
    answer(options.json, &json!({ "revoked_before_ms": cutoff_ms }), &text)
}

fn answer(json: Json, document: &serde_json::Value, text: &str) -> Result<(), Failure> {
    if json.json {
        output::json(document)
    } else {
        output::text_line(text)
    }
}

/// The token that an argument names.
fn token_ref(argument: &str) -> Result<TokenRef, Failure> {
    TokenRef::parse(&argument::read(argument)?)
        .ok_or_else(|| Failure::Invalid("TOKEN-OR-JTI must be a token or a token id of this server".to_owned()))
}
