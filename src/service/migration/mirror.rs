//! A log of requests that both issuers answered, as nginx writes it when it mirrors them (`deploy/nginx/migration`): one JSON object a
//! line, with the same `id` for the request and its copy.

use std::collections::HashMap;

use serde::Deserialize;

use super::report::Difference;

/// The most requests that are kept; a log of an hour is enough.
const MAX_REQUESTS: usize = 2_000_000;

/// What nginx logs where the issuer did not answer, or the client did not wait.
const NO_ANSWER: [u16; 4] = [0, 499, 502, 504];

/// A line of the log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The same for the request and its copy.
    id: String,
    /// Who answered.
    side: Side,
    /// The name of HTTP Basic, form-encoded; empty if there is none.
    client: String,
    method: String,
    path: String,
    /// Three digits; 000 if the client closed the connection.
    status: String,
    /// When it was answered, for people.
    #[serde(rename = "time")]
    _time: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Side {
    Old,
    New,
}

#[derive(Default, Debug)]
struct Exchange {
    client: String,
    request: String,
    old: Option<u16>,
    new: Option<u16>,
}

/// The requests of a log.
#[derive(Debug, Default)]
pub struct MirroredRequests {
    exchanges: Vec<Exchange>,
    /// Requests that only one issuer answered.
    pub unpaired: u64,
}

impl MirroredRequests {
    /// Reads a log. The error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut exchanges, mut index): (Vec<Exchange>, HashMap<String, usize>) = Default::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line: Line = serde_json::from_str(line).map_err(|error| {
                // Data errors name a field; others a position.
                format!(
                    "line {}: is not a line of the log_format of deploy/nginx/migration/http.conf: {error}",
                    number + 1
                )
            })?;
            if exchanges.len() == MAX_REQUESTS {
                return Err(format!("has more than {MAX_REQUESTS} requests; give a part of it"));
            }
            let at = *index.entry(line.id).or_insert_with(|| {
                exchanges.push(Exchange::default());
                exchanges.len() - 1
            });
            let exchange = &mut exchanges[at];
            let status = line.status.parse::<u16>();
            let status = status.map_err(|_| format!("line {}: status must be a number", number + 1))?;
            let side = match line.side {
                Side::Old => &mut exchange.old,
                Side::New => &mut exchange.new,
            };
            if side.replace(status).is_some() {
                return Err(format!("line {}: the id occurs twice for one side", number + 1));
            }
            if line.side == Side::Old {
                exchange.client = line.client;
                exchange.request = format!("{} {}", line.method, line.path);
            }
        }
        if exchanges.is_empty() {
            return Err("has no requests".to_owned());
        }
        for exchange in &mut exchanges {
            exchange.old = exchange.old.filter(|status| !NO_ANSWER.contains(status));
            exchange.new = exchange.new.filter(|status| !NO_ANSWER.contains(status));
        }
        let is_unpaired = |exchange: &&Exchange| exchange.old.is_none() || exchange.new.is_none();
        let unpaired = exchanges.iter().filter(is_unpaired).count() as u64;
        Ok(Self { exchanges, unpaired })
    }

    /// The number of requests that both issuers answered.
    pub fn compared(&self) -> u64 {
        self.exchanges.len() as u64 - self.unpaired
    }

    /// The requests of each client, by its id.
    pub fn by_client(&self) -> HashMap<String, u64> {
        let mut counts = HashMap::new();
        for exchange in self.exchanges.iter().filter(|exchange| !exchange.client.is_empty()) {
            *counts.entry(decoded(&exchange.client)).or_insert(0) += 1;
        }
        counts
    }

    /// A difference per request with another status, and its client.
    pub fn differences(&self) -> Vec<(String, Difference)> {
        let mut found = Vec::new();
        for exchange in &self.exchanges {
            if let (Some(old), Some(new)) = (exchange.old, exchange.new)
                && old != new
            {
                let (old, new) = (format!("{} {old}", exchange.request), new.to_string());
                found.push((
                    decoded(&exchange.client),
                    Difference::client("mirrored.status", old, new),
                ));
            }
        }
        found
    }
}

/// An id as HTTP Basic has it (RFC 6749 section 2.3.1).
fn decoded(name: &str) -> String {
    let pair = format!("name={name}");
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map_or_else(|| name.to_owned(), |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, side: &str, client: &str, status: u16) -> String {
        format!(
            "{{\"time\":\"2026-01-01T00:00:00+00:00\",\"id\":\"{id}\",\"side\":\"{side}\",\"client\":\"{client}\",\"method\":\"POST\",\
             \"path\":\"/oauth2/token\",\"status\":\"{status}\"}}\n"
        )
    }

    #[test]
    fn requests_are_paired_by_id_and_differ_by_status() {
        let text = [
            line("1", "old", "a%3Ab", 200),
            line("2", "old", "c", 200),
            line("1", "new", "a%3Ab", 401),
            line("2", "new", "c", 200),
            line("3", "old", "", 400),
            line("4", "old", "c", 200),
            line("4", "new", "c", 504),
        ]
        .concat();
        let log = MirroredRequests::parse(&text).unwrap();
        assert_eq!((log.compared(), log.unpaired), (2, 2));
        assert_eq!(
            log.by_client(),
            HashMap::from([("a:b".to_owned(), 1), ("c".to_owned(), 2)])
        );
        let differences = log.differences();
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].0, "a:b");
        assert_eq!(
            (&*differences[0].1.old, &*differences[0].1.new),
            ("POST /oauth2/token 200", "401")
        );
    }

    #[test]
    fn other_logs_are_rejected_with_their_line() {
        let good = line("1", "old", "a", 200);
        for (text, expected) in [
            ("127.0.0.1 - - GET / 200\n".to_owned(), "line 1: is not a line"),
            (format!("{good}{good}"), "line 2: the id occurs twice"),
            ("\n".to_owned(), "has no requests"),
        ] {
            let error = MirroredRequests::parse(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
