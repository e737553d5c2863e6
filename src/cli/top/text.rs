//! The view of `top` as text.

use super::view::{Rate, View};
use crate::cli::output::{aligned, escape_terminal};

/// Renders a view.
pub fn render(url: &str, view: &View) -> String {
    let routes: Vec<Vec<String>> = view
        .routes
        .iter()
        .map(|route| {
            vec![
                route.route.clone(),
                rate(route.per_second),
                rate(route.rejected_per_second),
                rate(route.failed_per_second),
                seconds(route.p50_seconds),
                seconds(route.p99_seconds),
            ]
        })
        .collect();
    let actors: Vec<Vec<String>> = view
        .actors
        .iter()
        .map(|actor| {
            vec![
                actor.actor.clone(),
                actor.depth.to_string(),
                optional_rate(actor.messages_per_second),
                seconds(actor.p99_wait_seconds),
                actor.restarts.to_string(),
                actor.sheds.to_string(),
            ]
        })
        .collect();
    let commits = &view.commits;
    let sections = [
        head(url, view),
        format!(
            "tokens/s {}   {}",
            optional_rate(view.tokens_per_second),
            list(&view.tokens_by_format)
        ),
        format!(
            "commits/s {}   rows per commit {}   mean {}   p99 {}   connections {} of {}   revocations read {} ago",
            optional_rate(commits.per_second),
            optional_rate(commits.rows),
            seconds(commits.mean_seconds),
            seconds(commits.p99_seconds),
            count(view.connections_active),
            count(view.connections_max),
            seconds(view.revocation_lag_seconds),
        ),
        String::new(),
        aligned(&["ROUTE", "REQUESTS/S", "4XX/S", "5XX/S", "P50", "P99"], &routes),
        String::new(),
        aligned(
            &["ACTOR", "MAILBOX", "MESSAGES/S", "P99 WAIT", "RESTARTS", "SHEDS"],
            &actors,
        ),
        String::new(),
        format!("rejected/s  {}", list(&view.rejected)),
        format!("shed/s      {}", list(&view.shed)),
        String::new(),
        clients(view),
    ];
    sections.join("\n")
}

fn head(url: &str, view: &View) -> String {
    let ready = if view.ready { "ready" } else { "NOT READY" };
    let store = match (view.store_up, view.store_writable) {
        (true, true) => "store up",
        (true, false) => "store NOT WRITABLE",
        (false, _) => "store DOWN",
    };
    let memory = view
        .resident_bytes
        .map(|bytes| format!("{:.0} MiB", bytes / 1_048_576.0));
    format!(
        "{url}   version {}   up {}   {ready}   {store}   CPU {}   memory {}",
        view.version.as_deref().unwrap_or("-"),
        uptime(view.uptime_seconds),
        view.cpu_cores.map_or_else(dash, |cores| format!("{cores:.2} cores")),
        memory.unwrap_or_else(dash),
    )
}

fn clients(view: &View) -> String {
    if let Some(error) = &view.busiest_clients_error {
        return format!("clients with the most unexpired tokens: unknown, {error}");
    }
    let row = |client: &super::Busiest| {
        vec![
            escape_terminal(&client.client_id),
            client.still_valid_tokens.to_string(),
        ]
    };
    let rows: Vec<_> = view.busiest_clients.iter().map(row).collect();
    aligned(&["CLIENT", "UNEXPIRED TOKENS"], &rows)
}

fn list(rates: &[Rate]) -> String {
    if rates.is_empty() {
        return dash();
    }
    let one = |entry: &Rate| format!("{} {}", entry.name, rate(entry.per_second));
    rates.iter().map(one).collect::<Vec<_>>().join("   ")
}

fn rate(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

fn optional_rate(value: Option<f64>) -> String {
    value.map_or_else(dash, rate)
}

fn count(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

fn seconds(value: Option<f64>) -> String {
    match value {
        None => dash(),
        Some(value) if value >= 1.0 => format!("{value:.2} s"),
        Some(value) => format!("{:.2} ms", value * 1000.0),
    }
}

fn uptime(value: Option<f64>) -> String {
    let Some(seconds) = value.map(|value| value as u64) else {
        return dash();
    };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn dash() -> String {
    "-".to_owned()
}
