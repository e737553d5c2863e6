//! `migrate-check`: compares this issuer with the issuer that clients use today.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use url::Url;

use super::arguments::Json;
use super::{exposure, output};
use crate::app::outbound::Outbound;
use crate::failure::Failure;
use crate::service::migration::issuer::IssuerOptions;
use crate::service::migration::mirror::MirroredRequests;
use crate::service::migration::report::{NoticedBy, Report, ReportedDifference};
use crate::service::migration::sample::ClientFile;
use crate::service::migration::{Check, MAX_CONCURRENCY, MAX_SAMPLE};

/// Compares what clients and verifiers see of two issuers.
///
/// Requests tokens of both issuers for a sample of clients, and a few with errors on purpose. Exit code 1: a client or a verifier would
/// notice a difference that is not accepted.
#[derive(Debug, Args)]
pub struct MigrateCheck {
    /// URL of the issuer that clients use today.
    #[arg(long, value_name = "URL", value_parser = url)]
    old: Url,
    /// URL of the new issuer.
    #[arg(long, value_name = "URL", value_parser = url)]
    new: Url,
    /// Clients with their secrets: CSV with a header, or JSON lines; the fields are `client_id`, `client_secret` and optionally `scope`,
    /// `audience` and `resource`, which become parameters of the request.
    #[arg(long, value_name = "FILE")]
    clients: PathBuf,
    /// Request tokens for at most this number of clients, 1 to 10000: clients of the log first, the others spread evenly over the file.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = sample)]
    sample: usize,
    /// Clients that are asked for at the same time, 1 to 64.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = concurrency)]
    concurrency: usize,
    /// Log of mirrored requests, as nginx writes it with `deploy/nginx/migration`.
    #[arg(long, value_name = "LOG")]
    requests: Option<PathBuf>,
    /// Accept differences with this code or whose code begins with it, such as `token.claim.nbf`; may repeat.
    #[arg(long, value_name = "CODE")]
    accept: Vec<String>,
    /// Token endpoint of the old issuer, if its metadata does not have it.
    #[arg(long, value_name = "URL", value_parser = url)]
    old_token_endpoint: Option<Url>,
    /// Token endpoint of the new issuer, if its metadata does not have it.
    #[arg(long, value_name = "URL", value_parser = url)]
    new_token_endpoint: Option<Url>,
    /// Introspection endpoint of the old issuer, if its metadata does not have it.
    #[arg(long, value_name = "URL", value_parser = url)]
    old_introspection_endpoint: Option<Url>,
    /// Introspection endpoint of the new issuer, if its metadata does not have it.
    #[arg(long, value_name = "URL", value_parser = url)]
    new_introspection_endpoint: Option<Url>,
    /// JWK set of the old issuer, if its metadata does not have it.
    #[arg(long, value_name = "URL", value_parser = url)]
    old_jwks: Option<Url>,
    /// JWK set of the new issuer, if its metadata does not have it.
    #[arg(long, value_name = "URL", value_parser = url)]
    new_jwks: Option<Url>,
    /// PEM file of the certificate authorities of both issuers; by default the authorities of the system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

fn url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must be an http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("must have no user, password, query or fragment".to_owned());
    }
    Ok(url)
}

fn between_1_and(most: usize, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("must be 1 to {most}"))
}

fn sample(text: &str) -> Result<usize, String> {
    between_1_and(MAX_SAMPLE, text)
}

fn concurrency(text: &str) -> Result<usize, String> {
    between_1_and(MAX_CONCURRENCY, text)
}

pub async fn run(strict: bool, options: &MigrateCheck) -> Result<(), Failure> {
    let clients = named("--clients", &options.clients, ClientFile::parse)?;
    exposure::judge_file(strict, &options.clients)?;
    let mirrored = match &options.requests {
        None => None,
        Some(path) => Some(log(path)?),
    };
    let requests = mirrored.as_ref().map_or_else(HashMap::new, MirroredRequests::by_client);
    let check = Check {
        old: IssuerOptions {
            url: options.old.clone(),
            token_endpoint: options.old_token_endpoint.clone(),
            introspection_endpoint: options.old_introspection_endpoint.clone(),
            jwks: options.old_jwks.clone(),
        },
        new: IssuerOptions {
            url: options.new.clone(),
            token_endpoint: options.new_token_endpoint.clone(),
            introspection_endpoint: options.new_introspection_endpoint.clone(),
            jwks: options.new_jwks.clone(),
        },
        clients: clients.sample(options.sample, &requests),
        concurrency: options.concurrency,
        accepted: options.accept.clone(),
        mirrored,
    };
    let http = Outbound::new(uses_tls(options), options.ca_file.as_deref(), "--ca-file")?;
    let report = check.run(&http).await.map_err(Failure::Environment)?;
    let coverage = Coverage {
        clients: clients.clients.len(),
        without_secret: clients.without_secret,
        mirrored: check.mirrored.as_ref().map(|log| (log.compared(), log.unpaired)),
    };
    if options.json.json {
        print_json(&report, &coverage)?;
    } else {
        print(&report, &coverage)?;
    }
    match report.noticed() {
        0 => Ok(()),
        1 => Err(Failure::Found(
            "clients or verifiers would notice 1 difference".to_owned(),
        )),
        count => Err(Failure::Found(format!(
            "clients or verifiers would notice {count} differences"
        ))),
    }
}

/// How much was compared.
struct Coverage {
    clients: usize,
    without_secret: usize,
    /// Requests with two answers, and with one.
    mirrored: Option<(u64, u64)>,
}

/// Metadata may name endpoints with https even if the URL of the issuer is http.
fn uses_tls(options: &MigrateCheck) -> bool {
    let endpoints = [
        &options.old_token_endpoint,
        &options.new_token_endpoint,
        &options.old_introspection_endpoint,
        &options.new_introspection_endpoint,
        &options.old_jwks,
        &options.new_jwks,
    ];
    let mut urls = [&options.old, &options.new]
        .into_iter()
        .chain(endpoints.into_iter().flatten());
    options.ca_file.is_some() || urls.any(|url| url.scheme() == "https")
}

/// Reads and parses a file that a flag names.
fn named<T>(flag: &str, path: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    let invalid = |error: &dyn std::fmt::Display| Failure::Invalid(format!("{flag} {}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| invalid(&format_args!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| invalid(&"is not valid UTF-8"))?;
    parse(&text).map_err(|error| invalid(&error))
}

fn log(path: &Path) -> Result<MirroredRequests, Failure> {
    let invalid = |error: String| Failure::Invalid(format!("--requests {}: {error}", path.display()));
    let file = File::open(path).map_err(|error| invalid(format!("cannot be read: {error}")))?;
    MirroredRequests::read(BufReader::new(file)).map_err(invalid)
}

fn print_json(report: &Report, coverage: &Coverage) -> Result<(), Failure> {
    let mirrored = coverage
        .mirrored
        .map(|(compared, unpaired)| json!({ "compared": compared, "unpaired": unpaired }));
    output::json(&json!({
        "clients": {
            "asked": report.clients,
            "identical": report.identical,
            "not_compared": report.not_compared,
            "in_file": coverage.clients,
            "without_secret": coverage.without_secret,
        },
        "mirrored_requests": mirrored,
        "noticed": report.noticed(),
        "differences": report.differences(),
        "unused_accept": report.unused(),
    }))
}

fn print(report: &Report, coverage: &Coverage) -> Result<(), Failure> {
    let differences = report.differences();
    for (title, is_of) in SECTIONS {
        let of_section: Vec<_> = differences.iter().filter(|difference| is_of(difference)).collect();
        if of_section.is_empty() {
            continue;
        }
        output::text_line(title)?;
        let mut rows = Vec::new();
        for difference in of_section {
            for (index, example) in difference.examples.iter().enumerate() {
                let first = |text: String| if index == 0 { text } else { String::new() };
                let client_id = if example.client_id.is_empty() {
                    "-"
                } else {
                    &example.client_id
                };
                rows.push(vec![
                    first(difference.code.clone()),
                    first(difference.count.to_string()),
                    client_id.to_owned(),
                    example.old.clone(),
                    example.new.clone(),
                ]);
            }
        }
        output::table(&["DIFFERENCE", "COUNT", "CLIENT", "OLD", "NEW"], &rows)?;
        output::text_line("")?;
    }
    for code in report.unused() {
        output::text_line(&output::escape_terminal(&format!(
            "nothing differs in {code}: remove --accept {code}"
        )))?;
    }
    output::text_line(&format!(
        "{} of {} clients asked for, {} without any difference, {} not compared; {} lines have no secret in clear",
        report.clients, coverage.clients, report.identical, report.not_compared, coverage.without_secret
    ))?;
    if let Some((compared, unpaired)) = coverage.mirrored {
        output::text_line(&format!(
            "{compared} mirrored requests compared; {unpaired} have no two answers to compare"
        ))?;
    }
    if report.noticed() == 0 {
        output::text_line("clients and verifiers notice nothing")?;
    }
    Ok(())
}

/// The sections of the text: their titles, and what belongs there.
type Section = (&'static str, fn(&ReportedDifference) -> bool);

const SECTIONS: [Section; 4] = [
    ("Clients notice:", |difference| {
        difference.counts() && difference.noticed_by == NoticedBy::Client
    }),
    ("Verifiers notice:", |difference| {
        difference.counts() && difference.noticed_by == NoticedBy::Verifier
    }),
    ("Accepted:", |difference| difference.accepted),
    ("Allowed by the specifications:", |difference| {
        !difference.accepted && difference.noticed_by == NoticedBy::Nobody
    }),
];
