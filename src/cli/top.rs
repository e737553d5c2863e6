//! `top`: a live view of a server on this machine, from its metrics and its admin API.

use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::arguments::Json;
use super::management::Management;
use super::output;
use super::samples::{Change, Samples};
use crate::config::{Config, embedded};
use crate::failure::Failure;

mod text;
mod view;

use view::{Busiest, View};

/// Clients that are listed.
const CLIENTS: usize = 5;

/// Moves the cursor of a terminal to its first line, and clears what follows.
const CLEAR: &str = "\x1b[H\x1b[J";

#[derive(Debug, Args)]
pub struct Top {
    /// Seconds between two views, 1 to 60.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    /// End after this number of views; by default when interrupted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    views: Option<u64>,
    #[command(flatten)]
    json: Json,
}

pub fn run(config: &Config, options: &Top) -> Result<(), Failure> {
    let management = Management::of(config);
    let token = operator_token(config)?;
    let (mut before, mut scraped_at) = (scrape(&management)?, Instant::now());
    let mut shown = 0;
    while options.views.is_none_or(|views| shown < views) {
        // The view is of this time; there is nothing else to wait for.
        thread::sleep(Duration::from_secs(options.interval));
        let after = scrape(&management)?;
        let change = Change {
            before: &before,
            after: &after,
            seconds: scraped_at.elapsed().as_secs_f64(),
        };
        scraped_at = Instant::now();
        let view = View::new(&change, busiest(&management, token.as_deref()));
        if options.json.json {
            output::json_line(&view)?;
        } else {
            let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
            output::text_line(&format!("{clear}{}", text::render(&management.url(""), &view)))?;
        }
        if output::is_closed() {
            break;
        }
        before = after;
        shown += 1;
    }
    Ok(())
}

fn scrape(management: &Management) -> Result<Samples, Failure> {
    let response = management.get("/metrics", None).map_err(Failure::Environment)?;
    if response.status != 200 {
        let problem = format!("{} responds with {}", management.url("/metrics"), response.status);
        return Err(Failure::Environment(problem));
    }
    Ok(Samples::parse(&response.body))
}

/// The configured admin token, or the generated one next to an embedded store.
fn operator_token(config: &Config) -> Result<Option<String>, Failure> {
    if let Some(token) = &config.secrets.admin_token {
        return Ok(Some(token.expose().to_owned()));
    }
    let Some(directory) = config.database.data_directory() else {
        return Ok(None);
    };
    embedded::read(&directory.join(embedded::ADMIN_TOKEN_FILE)).map_err(|error| Failure::Invalid(error.to_string()))
}

/// The clients with the most unexpired tokens. `Err`: why they are not known.
fn busiest(management: &Management, token: Option<&str>) -> Result<Vec<Busiest>, String> {
    let Some(token) = token else {
        return Err("OAUTH2_ADMIN_TOKEN is not set".to_owned());
    };
    let response = management.get(&format!("/admin/v1/clients:top?limit={CLIENTS}"), Some(token))?;
    let page = (response.status == 200).then(|| response.json::<Value>()).flatten();
    let items = page.and_then(|page| serde_json::from_value(page["items"].clone()).ok());
    items.ok_or_else(|| format!("the admin API responds with {}", response.status))
}
