//! `client …`.

use std::io::Read;

use clap::{Args, Subcommand};
use oauth2_store::model::Client;
use serde_json::json;

use super::arguments::{Json, Paging};
use super::{flags, output};
use crate::app::direct::{Direct, operator};
use crate::app::services::registration_defaults;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::clients::checks;
use crate::service::clients::metadata::{ClientRequest, ClientView};
use crate::service::clients::precondition::Precondition;
use crate::service::clients::registration::{self, GeneratedCredentials};
use crate::service::clients::{ClientFilter, DEFAULT_OVERLAP, MAX_OVERLAP};
use crate::service::page::PageView;

mod export;
mod fields;
mod import;
mod show;
mod text_format;
mod usage;

use fields::{FLAGS, Fields, Resettable};
use show::show;
pub use usage::print_quotas;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a client; its secret is printed once.
    Create(Box<Create>),
    /// Create and update clients in bulk, from JSON lines or CSV.
    Import(import::Import),
    /// Export all clients as JSON lines or CSV.
    Export(export::Export),
    /// Show the usage of a client's quotas.
    Usage(Named),
    /// List the clients with the most unexpired tokens, which probably do not cache them.
    Top(usage::Top),
    /// List clients by id.
    List {
        /// Prefix of the client ids.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = prefix)]
        prefix: String,
        /// List only clients with a secret that is verified by another product's slow hash: it was not presented yet, or is too weak for a
        /// fast one.
        #[arg(long)]
        slow_secrets: bool,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        json: Json,
    },
    /// Show a client.
    Show(Named),
    /// Update the named fields of a client.
    Update(Box<Update>),
    /// Disable a client: it gets no tokens, and its tokens are inactive.
    Disable(Named),
    /// Enable a disabled client.
    Enable(Named),
    /// Delete a client and revoke its tokens permanently.
    Delete(Named),
    /// Rotate a client's secret; the new one is printed once, the previous ones remain valid for the overlap.
    RotateSecret {
        #[command(flatten)]
        named: Named,
        /// Seconds for which the previous secrets remain valid.
        #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_OVERLAP,
            value_parser = clap::value_parser!(i64).range(0..=MAX_OVERLAP))]
        overlap: i64,
    },
}

#[derive(Debug, Args)]
pub struct Named {
    /// Client id.
    id: String,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub struct Create {
    /// Client id; generated if absent.
    #[arg(long)]
    id: Option<String>,
    /// Client secret, 32 to 256 characters; generated if absent. Other users may see command lines: prefer --secret-stdin.
    #[arg(long)]
    secret: Option<String>,
    /// Read the secret from stdin.
    #[arg(long, conflicts_with = "secret")]
    secret_stdin: bool,
    /// Hash of the secret as another product stored it.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["secret", "secret_stdin"])]
    secret_hash: Option<String>,
    /// Scheme of --secret-hash, unless its text begins with a tag that names it.
    #[arg(long, value_name = "SCHEME", requires = "secret_hash")]
    secret_hash_scheme: Option<String>,
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
    /// Client id.
    id: String,
    #[command(flatten)]
    fields: Fields,
    /// Reset a field to the server's default; may repeat.
    #[arg(long, value_enum, value_name = "FIELD")]
    reset: Vec<Resettable>,
    #[command(flatten)]
    json: Json,
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => self::create(config, *create).await,
        Command::Import(import) => import::run(config, &import).await,
        Command::Export(export) => export::run(config, &export).await,
        Command::Usage(Named { id, json }) => usage::usage(config, &id, json).await,
        Command::Top(top) => usage::top(config, &top).await,
        Command::List {
            prefix,
            slow_secrets,
            paging,
            json,
        } => list(config, &prefix, slow_secrets, &paging, json).await,
        Command::Show(named) => show_stored(config, &named).await,
        Command::Update(update) => self::update(config, *update).await,
        Command::Disable(named) => set_disabled(config, &named, true).await,
        Command::Enable(named) => set_disabled(config, &named, false).await,
        Command::Delete(named) => delete(config, &named).await,
        Command::RotateSecret { named, overlap } => rotate_secret(config, &named, overlap).await,
    }
}

async fn create(config: &Config, create: Create) -> Result<(), Failure> {
    // The first one of a name is taken.
    let of_stdin = create.secret_stdin.then_some(("client_secret", "--secret-stdin"));
    let flags: Vec<_> = of_stdin.into_iter().chain(FLAGS.iter().copied()).collect();
    let secret = if create.secret_stdin {
        Some(secret_from_stdin()?)
    } else {
        create.secret
    };
    let request = ClientRequest {
        client_id: create.id.into(),
        client_secret: secret.into(),
        client_secret_hash: create.secret_hash.into(),
        client_secret_hash_scheme: create.secret_hash_scheme.into(),
        ..create.fields.request()?
    };
    // Before a store is created for it; the service checks it again.
    let unused = GeneratedCredentials::generate().map_err(|error| Failure::Environment(error.to_string()))?;
    registration::register(&request, registration_defaults(config), unused, 0)
        .map_err(|error| flags::failure(error.into(), &flags))?;
    let direct = Direct::open_or_create(config).await?;
    let clients = &direct.services.clients;
    let registered = clients
        .create(&operator(), &request, direct.deadline())
        .await
        .map_err(|error| flags::failure(error, &flags))?;
    show(&registered.client, registered.secret.as_deref(), create.json)
}

fn secret_from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    // More than any secret may have; an endless stdin must not fill the memory.
    let read = std::io::stdin().take(4096).read_to_string(&mut text);
    read.map_err(|error| Failure::Environment(format!("stdin cannot be read: {error}")))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

fn prefix(text: &str) -> Result<String, String> {
    match checks::prefix(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn list(config: &Config, prefix: &str, slow_secrets: bool, paging: &Paging, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let (clients, deadline) = (&direct.services.clients, direct.deadline());
    let filter = ClientFilter { prefix, slow_secrets };
    let page = clients.list(filter, paging.cursor(), paging.limit(), deadline).await;
    let page = page.map_err(|error| flags::failure(error, FLAGS))?;
    if json.json {
        return output::json(&PageView::new(&page, |client| ClientView::new(client, None)));
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

async fn show_stored(config: &Config, named: &Named) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let client = direct.services.clients.find(&named.id, direct.deadline()).await?;
    show(&client, None, named.json)
}

async fn update(config: &Config, update: Update) -> Result<(), Failure> {
    let mut request = update.fields.request()?;
    for field in update.reset {
        field.apply(&mut request)?;
    }
    let direct = Direct::open(config).await?;
    let clients = &direct.services.clients;
    let client = clients
        .update(
            &operator(),
            &update.id,
            &request,
            &Precondition::None,
            direct.deadline(),
        )
        .await
        .map_err(|error| flags::failure(error, FLAGS))?;
    show(&client, None, update.json)
}

async fn set_disabled(config: &Config, named: &Named, disabled: bool) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let clients = &direct.services.clients;
    let client = clients
        .set_disabled(&operator(), &named.id, disabled, &Precondition::None, direct.deadline())
        .await?;
    show(&client, None, named.json)
}

async fn delete(config: &Config, named: &Named) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let clients = &direct.services.clients;
    let any = &Precondition::None;
    clients.delete(&operator(), &named.id, any, direct.deadline()).await?;
    if named.json.json {
        return output::json(&json!({ "client_id": named.id, "deleted": true }));
    }
    output::text_line(&format!("client {} is deleted, and its tokens are revoked", named.id))
}

async fn rotate_secret(config: &Config, named: &Named, overlap: i64) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let clients = &direct.services.clients;
    let (client, secret) = clients
        .rotate_secret(&operator(), &named.id, overlap, direct.deadline())
        .await
        .map_err(|error| flags::failure(error, FLAGS))?;
    show(&client, Some(&secret), named.json)
}
