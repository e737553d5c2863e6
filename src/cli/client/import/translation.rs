//! `--from`: an export of another product, and what was carried over of it.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use serde_json::{Value, json};
use strum::VariantNames;
use time::OffsetDateTime;

use crate::cli::arguments::Json;
use crate::cli::{destination, output};
use crate::failure::Failure;
use crate::service::clients::from::{Product, Translation};

/// Clients without a counterpart that are printed; `--json` lists all of them.
const PRINTED: usize = 20;

#[derive(Args)]
pub struct From {
    /// Read what this product exports: a file of JSON or CSV, or a directory of its tables.
    #[arg(long = "from", id = "from", value_name = "PRODUCT", value_parser = products())]
    pub product: Option<Product>,
    /// Give every client of the export this member of a client, such as `token_format=jwt`, also where the export has another value; may repeat.
    #[arg(long, value_name = "FIELD=VALUE", requires = "from", value_parser = assignment)]
    pub set: Vec<(String, Value)>,
    /// Give every client of the export this member of a client unless the export says it; may repeat.
    #[arg(long, value_name = "FIELD=VALUE", requires = "from", value_parser = assignment)]
    pub set_default: Vec<(String, Value)>,
    /// Write the clients as JSON lines to this new file, which only its owner can read, and import nothing. It has the secrets or hashes
    /// of the export.
    #[arg(long, value_name = "FILE", requires = "from")]
    pub records_out: Option<PathBuf>,
}

impl std::fmt::Debug for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("From")
            .field("product", &self.product)
            .finish_non_exhaustive()
    }
}

fn products() -> impl TypedValueParser<Value = Product> {
    PossibleValuesParser::new(Product::VARIANTS).try_map(|name| name.parse::<Product>())
}

/// `FIELD=VALUE`: JSON, or else a string.
fn assignment(text: &str) -> Result<(String, Value), String> {
    let (field, value) = text
        .split_once('=')
        .filter(|(field, _)| !field.is_empty())
        .ok_or("must be FIELD=VALUE, such as token_format=jwt")?;
    if field == "client_id" || field == "previous_secrets" || field.starts_with("client_secret") {
        return Err(format!("cannot set {field}: every client has its own"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((field.to_owned(), value))
}

/// Translates an export.
pub fn translate(product: Product, file: &Path, from: &From) -> Result<Translation, Failure> {
    let path = if file == Path::new("-") {
        Path::new("/dev/stdin")
    } else {
        file
    };
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let translated = product.translate(path, now);
    let mut translation = translated.map_err(|error| Failure::Invalid(format!("{} {error}", file.display())))?;
    translation.set(&from.set, &from.set_default);
    Ok(translation)
}

/// Writes the records of an export that was translated completely.
pub fn write_records(translation: &Translation, path: &Path, json: Json) -> Result<(), Failure> {
    let rejected = translation
        .clients
        .iter()
        .filter_map(|client| client.record.as_ref().err().map(|error| (client, error)));
    let rejected: Vec<String> = rejected
        .map(|(client, error)| format!("{} ({}): {error}", client.position, client.client_id))
        .collect();
    if !rejected.is_empty() {
        let count = rejected.len();
        let first = rejected.into_iter().take(PRINTED).collect::<Vec<_>>().join("\n");
        return Err(Failure::Invalid(format!(
            "{first}\n{count} clients are rejected, so nothing was written"
        )));
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => destination::exists(path),
        _ => destination::cannot_write(path, &error),
    })?;
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(file);
        for record in translation.clients.iter().flat_map(|client| &client.record) {
            serde_json::to_writer(&mut out, record)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    write().map_err(|error| {
        // A part of the records is of no use, and has secrets.
        let _ = std::fs::remove_file(path);
        destination::cannot_write(path, &error)
    })?;
    if json.json {
        return output::json(&json!({ "written": translation.clients.len(), "translation": as_json(translation) }));
    }
    print(translation)?;
    output::text_line(&format!(
        "{} clients written to {}; nothing was imported",
        translation.clients.len(),
        path.display()
    ))
}

/// The fields that were carried over, as JSON.
pub fn as_json(translation: &Translation) -> Value {
    json!({
        "fields": translation.report.fields(),
        "unlisted_fields": translation.report.unlisted,
        "omitted": translation.omitted,
        "unread": translation.unread,
        "notes": translation.notes,
    })
}

/// Prints what was carried over, exactly, approximately and not.
pub fn print(translation: &Translation) -> Result<(), Failure> {
    let fields = translation.report.fields().iter();
    let rows: Vec<Vec<String>> = fields
        .map(|field| {
            vec![
                field.field.clone(),
                output::or_dash(field.member.as_ref()),
                field.carried.to_string(),
                field.clients.to_string(),
                field.example.clone(),
                output::or_dash(field.reason.as_ref()),
            ]
        })
        .collect();
    output::table(&["FIELD", "BECOMES", "CARRIED", "CLIENTS", "EXAMPLE", "WHY"], &rows)?;
    if translation.report.unlisted > 0 {
        output::text_line(&format!("and {} more fields", translation.report.unlisted))?;
    }
    output::text_line("")?;
    print_omitted(translation)?;
    if !translation.unread.is_empty() {
        let text = format!("not read: {}", translation.unread.join(", "));
        output::text_line(&output::escape_terminal(&text))?;
    }
    for note in translation.notes {
        output::text_line(&format!("note: {note}"))?;
    }
    Ok(())
}

/// Prints the clients without a counterpart.
pub fn print_omitted(translation: &Translation) -> Result<(), Failure> {
    for client in translation.omitted.iter().take(PRINTED) {
        let text = format!("not imported: {}: {}", client.client_id, client.reason);
        output::text_line(&output::escape_terminal(&text))?;
    }
    let more = translation.omitted.len().saturating_sub(PRINTED);
    if more > 0 {
        output::text_line(&format!("not imported: {more} more; --json lists all of them"))?;
    }
    Ok(())
}
