//! `POST /admin/v1/clients:import`: bulk import of clients, as JSON lines or CSV, all of them or none.

use std::collections::HashSet;

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::SigningAlg;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BodyErrors, ConflictError};
use crate::http::extract::{By, body, invalid_request, query};
use crate::http::response::json;
use crate::service::clients::Clients;
use crate::service::clients::import::{DuplicateCheck, ExistingClients, ImportOptions, ImportRow, LineRange, RowError};
use crate::service::clients::text::{RowReader, TextFormat};
use crate::service::error::{InvalidMetadata, ServiceError};

/// The largest body, bytes.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// The most rows of a request: one transaction.
const MAX_ROWS: usize = 10_000;

/// Rejected rows that an error names.
const NAMED: usize = 10;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "one per parameter")]
struct ImportQuery {
    /// Check every row and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Generate secrets for new clients without one, and return them.
    #[serde(default)]
    generate_secrets: bool,
    /// Leave clients that exist as they are.
    #[serde(default)]
    skip_existing: bool,
    /// Make clients that exist what their rows say, secrets included.
    #[serde(default)]
    overwrite: bool,
}

/// What an import did.
#[derive(Serialize, ToSchema)]
struct ImportResult<'a> {
    /// New clients.
    created: usize,
    /// Changed clients.
    updated: usize,
    /// Clients that were as their rows say.
    unchanged: u64,
    /// Clients that exist and were left as they are.
    skipped: u64,
    /// Generated secrets, shown this once.
    secrets: Vec<GeneratedSecret<'a>>,
    /// Warnings about the imported hashes; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
}

/// A generated secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportedSecret)]
struct GeneratedSecret<'a> {
    /// The client.
    client_id: &'a str,
    /// Its secret.
    client_secret: &'a str,
}

/// Imports up to 10 000 clients, all of them or none.
#[utoipa::path(
    post, path = "/admin/v1/clients:import", operation_id = "importClients", tag = "Clients",
    params(ImportQuery),
    request_body(content((String = "application/x-ndjson"), (String = "text/csv"))),
    responses((status = 200, description = "What was done.", body = ImportResult), AdminErrors, BodyErrors, ConflictError),
    security(("operator" = [])),
)]
pub async fn post(
    clients: Data<Clients>,
    By(operator): By,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let query: ImportQuery = query(
        &request,
        "dry_run, generate_secrets, skip_existing and overwrite, true or false",
    )?;
    let existing = ExistingClients::from_switches(query.skip_existing, query.overwrite)
        .ok_or_else(|| invalid_request("skip_existing and overwrite contradict each other; keep one of them"))?;
    let options = ImportOptions {
        generate_secrets: query.generate_secrets,
        existing,
    };
    let format = format(&request)?;
    let text = body(request.headers(), payload, BODY_LIMIT).await?;
    let deadline = admin_deadline();
    let rows = read(&text, format)?;
    let plan = clients.plan_import(&rows, options, deadline).await?;
    if !plan.rejected.is_empty() {
        return Err(rejected(&plan.rejected));
    }
    if !query.dry_run {
        let algorithms: HashSet<SigningAlg> = plan.written().filter_map(|client| client.signing_alg).collect();
        clients.ensure_keys_for_import(&operator, &algorithms, deadline).await?;
        clients.write_import(&operator, &plan, deadline).await?;
    }
    let secrets = plan.secrets.iter().filter(|_| !query.dry_run);
    Ok(json(&ImportResult {
        created: plan.new.len(),
        updated: plan.changed.len(),
        unchanged: plan.unchanged,
        skipped: plan.skipped,
        warnings: plan.notes.sentences(),
        secrets: secrets
            .map(|(client_id, client_secret)| GeneratedSecret {
                client_id,
                client_secret,
            })
            .collect(),
    }))
}

fn format(request: &HttpRequest) -> Result<TextFormat, Failure> {
    let given = request.headers().get(header::CONTENT_TYPE);
    let essence = given
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    match essence {
        Some("text/csv") => Ok(TextFormat::Csv),
        Some("application/x-ndjson" | "application/jsonl" | "application/x-jsonlines") => Ok(TextFormat::JsonLines),
        _ => Err(invalid_request(
            "the body must be application/x-ndjson (a JSON object a line) or text/csv",
        )),
    }
}

fn read(text: &[u8], format: TextFormat) -> Result<Vec<(LineRange, ImportRow)>, Failure> {
    let unreadable = |_| Failure::from(ServiceError::Internal("cannot read a body in memory"));
    let mut reader = RowReader::new(text, format)
        .map_err(unreadable)?
        .map_err(invalid_request)?;
    let (mut rows, mut bad, mut duplicates) = (Vec::new(), Vec::new(), DuplicateCheck::default());
    while let Some((lines, row)) = reader.read_next().map_err(unreadable)? {
        match row.and_then(|row| duplicates.insert(row.client_id(), lines.first).map(|()| row)) {
            Ok(row) => rows.push((lines, row)),
            Err(error) => bad.push((lines, error)),
        }
        if rows.len() + bad.len() > MAX_ROWS {
            return Err(Failure::TooLarge);
        }
    }
    if bad.is_empty() { Ok(rows) } else { Err(rejected(&bad)) }
}

fn rejected(rows: &[(LineRange, RowError)]) -> Failure {
    let named: Vec<_> = rows
        .iter()
        .take(NAMED)
        .map(|(lines, error)| format!("{lines}: {error}"))
        .collect();
    let more = if rows.len() > NAMED {
        format!("; and {} more rows", rows.len() - NAMED)
    } else {
        String::new()
    };
    let reason = format!("must all be valid, so nothing was imported: {}{more}", named.join("; "));
    ServiceError::from(InvalidMetadata::new("rows", reason)).into()
}
