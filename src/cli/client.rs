//! `client …`.

use std::io::Read;

use clap::{Args, Subcommand};
use oauth2_actors::model::{Client, MAX_TOKEN_LIFETIME, SigningAlg};
use oauth2_actors::store::Store;
use serde_json::json;

use super::store::{self, audit, no_such_client, now};
use super::{Json, Paging, key, output};
use crate::config::Config;
use crate::failure::Failure;
use crate::oauth::cursor;
use crate::oauth::registration::{self, ClientRequest, Defaults, Field, Fresh};
use crate::oauth::view::{CLIENTS, ClientView, ListView};
use crate::tokens::secret;

mod export;
mod fields;
mod import;
mod show;
mod usage;

use fields::{Fields, Resettable};
use show::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a client; its secret is shown this once.
    Create(Box<Create>),
    /// Make and change clients in numbers, from JSON lines or CSV.
    Import(import::Import),
    /// Write all clients as JSON lines or CSV.
    Export(export::Export),
    /// Show what a client has used of its quotas.
    Usage(One),
    /// List the clients with the most tokens that are still valid: those that do not keep theirs.
    Top(usage::Top),
    /// List clients by id.
    List {
        /// Only those whose ids begin so.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = prefix)]
        prefix: String,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        json: Json,
    },
    /// Show one client.
    Show(One),
    /// Change a client; what is not named stays.
    Update(Box<Update>),
    /// Refuse a client, and its tokens, until it is enabled again.
    Disable(One),
    /// Let a disabled client work again.
    Enable(One),
    /// Remove a client for good, and with it every token it has.
    Delete(One),
    /// Give a client a new secret, shown this once; the old one works on for the overlap.
    RotateSecret {
        #[command(flatten)]
        one: One,
        /// Seconds that the old secret works on.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600,
            value_parser = clap::value_parser!(i64).range(0..=MAX_TOKEN_LIFETIME))]
        overlap: i64,
    },
}

#[derive(Debug, Args)]
pub struct One {
    /// The client's id.
    id: String,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub struct Create {
    /// Its id; generated when left out.
    #[arg(long)]
    id: Option<String>,
    /// Its secret, 32 to 256 characters; generated when left out. Others may see a command line: prefer --secret-stdin.
    #[arg(long)]
    secret: Option<String>,
    /// Read the secret from stdin.
    #[arg(long, conflicts_with = "secret")]
    secret_stdin: bool,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    json: Json,
}

// It may hold a secret.
impl std::fmt::Debug for Create {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Create")
            .field("id", &self.id)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Args)]
pub struct Update {
    /// The client's id.
    id: String,
    #[command(flatten)]
    fields: Fields,
    /// Take a field back to the server's default; may repeat.
    #[arg(long, value_enum, value_name = "FIELD")]
    reset: Vec<Resettable>,
    #[command(flatten)]
    json: Json,
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => self::create(config, *create).await,
        Command::Import(asked) => import::run(config, &asked).await,
        Command::Export(asked) => export::run(config, &asked).await,
        Command::Usage(one) => usage::usage(config, &one.id, one.json).await,
        Command::Top(asked) => usage::top(config, &asked).await,
        Command::List { prefix, paging, json } => list(config, &prefix, &paging, json).await,
        Command::Show(one) => show(&find(&store::open(config).await?, &one.id).await?, None, one.json),
        Command::Update(update) => self::update(config, *update).await,
        Command::Disable(one) => set_disabled(config, &one, true).await,
        Command::Enable(one) => set_disabled(config, &one, false).await,
        Command::Delete(one) => delete(config, &one).await,
        Command::RotateSecret { one, overlap } => rotate(config, &one, overlap).await,
    }
}

async fn create(config: &Config, create: Create) -> Result<(), Failure> {
    let given = if create.secret_stdin {
        Some(secret_from_stdin()?)
    } else {
        create.secret
    };
    let request = ClientRequest {
        client_id: create.id.into(),
        client_secret: given.into(),
        ..create.fields.request()?
    };
    let made = registration::register(&request, &defaults(config), Fresh::generate()?, now())?;
    let store = store::open_or_make(config).await?;
    if store.client(&made.client.client_id).await?.is_some() {
        // As the store says it, before a key is made for a client that is none.
        let why = format!("the client {} exists already", made.client.client_id);
        return Err(Failure::Refused(why));
    }
    key::ensure(config, &store, made.client.signing_alg.and_then(SigningAlg::key)).await?;
    let now_ms = store.ping().await?;
    store
        .create_client(&made.client, now_ms, &audit("client.create", json!({})))
        .await?;
    show(&made.client, Some(&made.secret), create.json)
}

fn secret_from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    // More than any secret may have; an endless stdin must not fill the memory.
    let read = std::io::stdin().take(4096).read_to_string(&mut text);
    read.map_err(|error| Failure::Environment(format!("stdin cannot be read: {error}")))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

fn prefix(text: &str) -> Result<String, &'static str> {
    registration::check_prefix(text).map(|()| text.to_owned())
}

async fn list(config: &Config, prefix: &str, paging: &Paging, json: Json) -> Result<(), Failure> {
    let store = store::open(config).await?;
    let after = paging
        .cursor
        .as_deref()
        .map(|cursor| cursor::decode(CLIENTS, cursor))
        .transpose();
    let after = after.map_err(|why| Failure::Refused(format!("--cursor {why}")))?;
    let mut page = store
        .list_clients(prefix, after.as_deref(), usize::from(paging.limit))
        .await?;
    page.next = page.next.map(|next| cursor::encode(CLIENTS, &next));
    if json.json {
        let items = page.items.iter().map(|client| ClientView::new(client, None)).collect();
        return output::json(&ListView {
            items,
            next_cursor: page.next,
        });
    }
    let row = |client: &Client| {
        vec![
            client.client_id.to_string(),
            output::or_dash(client.client_name.as_deref()),
            output::or_dash(Some(&*client.scope).filter(|scope| !scope.is_empty())),
            output::or_dash(client.token_format),
            if client.disabled { "disabled" } else { "enabled" }.to_owned(),
            output::date(client.created_at),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    output::table(&["ID", "NAME", "SCOPE", "FORMAT", "STATE", "CREATED"], &rows)?;
    output::more(page.next.as_deref());
    Ok(())
}

async fn update(config: &Config, update: Update) -> Result<(), Failure> {
    let mut request = update.fields.request()?;
    for field in update.reset {
        field.apply(&mut request)?;
    }
    change(config, &update.id, &request, "client.update", update.json).await
}

async fn set_disabled(config: &Config, one: &One, disabled: bool) -> Result<(), Failure> {
    let request = ClientRequest {
        disabled: Field::Value(disabled),
        ..ClientRequest::default()
    };
    change(config, &one.id, &request, "client.update", one.json).await
}

async fn change(
    config: &Config,
    id: &str,
    request: &ClientRequest,
    action: &'static str,
    json: Json,
) -> Result<(), Failure> {
    let store = store::open(config).await?;
    let current = find(&store, id).await?;
    let changed = registration::update(request, &current, &defaults(config))?;
    usage::check(config, &store, &current, &changed).await?;
    key::ensure(config, &store, changed.signing_alg.and_then(SigningAlg::key)).await?;
    if !store
        .update_client(&changed, now(), &audit(action, json!({ "disabled": changed.disabled })))
        .await?
    {
        return Err(no_such_client(id));
    }
    show(&changed, None, json)
}

async fn delete(config: &Config, one: &One) -> Result<(), Failure> {
    let store = store::open(config).await?;
    // The store's clock: what servers mint is stamped by it.
    let now_ms = store.ping().await?;
    if !store
        .delete_client(&one.id, now_ms, &audit("client.delete", json!({})))
        .await?
    {
        return Err(no_such_client(&one.id));
    }
    if one.json.json {
        return output::json(&json!({ "client_id": one.id, "deleted": true }));
    }
    output::text_line(&format!("client {} is deleted, and its tokens are dead", one.id))
}

async fn rotate(config: &Config, one: &One, overlap: i64) -> Result<(), Failure> {
    let store = store::open(config).await?;
    let client = find(&store, &one.id).await?;
    let (secret, now) = (secret::generate_client_secret()?, now());
    let audit = audit("client.rotate_secret", json!({ "overlap": overlap }));
    if !store
        .rotate_secret(&one.id, &secret::hash(&secret), now + overlap, now, &audit)
        .await?
    {
        return Err(no_such_client(&one.id));
    }
    show(&client, Some(&secret), one.json)
}

async fn find(store: &Store, id: &str) -> Result<Client, Failure> {
    store.client(id).await?.ok_or_else(|| no_such_client(id))
}

fn defaults(config: &Config) -> Defaults {
    Defaults {
        format: config.tokens.format,
        ledger: config.tokens.ledger,
        shares_secret: config.secrets.jwt_secret.is_some(),
    }
}
