//! A log of requests that both issuers answered, as nginx writes it when it mirrors them (`deploy/nginx/migration`): one JSON object a
//! line, with the same `id` for the request and its copy.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use serde::Deserialize;

use super::report::Difference;

/// The most requests that are kept; a log of an hour is enough.
const MAX_REQUESTS: usize = 2_000_000;

/// The longest line, bytes.
const MAX_LINE: u64 = 64 * 1024;

/// Statuses that say nothing about the request: the issuer did not answer, the client did not wait, or a rate limit or an overload came first.
const NOT_COMPARED: [u16; 6] = [0, 429, 499, 502, 503, 504];

/// One request in so many may have one answer only before the log does not count as a comparison.
const PAIRED_AT_LEAST: u64 = 100;

/// A line of the log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The same for the request and its copy.
    id: String,
    /// The issuer that answered.
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
    /// Requests that cannot be compared: one issuer did not answer, or with an overload or a rate limit.
    pub unpaired: u64,
}

impl MirroredRequests {
    /// Reads a log, line by line. The error names the line. An incomplete last line is ignored: the proxy may be writing it.
    pub fn read(mut log: impl BufRead) -> Result<Self, String> {
        let (mut exchanges, mut index): (Vec<Exchange>, HashMap<String, usize>) = Default::default();
        let (mut text, mut number) = (Vec::new(), 0);
        loop {
            text.clear();
            let length = read_line(&mut log, &mut text).map_err(|error| format!("cannot be read: {error}"))?;
            number += 1;
            let is_complete = text.ends_with(b"\n");
            if length == 0 {
                break;
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let line: Line = match serde_json::from_slice(&text) {
                Ok(line) => line,
                Err(error) if error.is_eof() && !is_complete && text.len() as u64 <= MAX_LINE => break,
                // Data errors name a field; others a position.
                Err(error) => {
                    return Err(format!(
                        "line {number}: is not a line of the log_format of deploy/nginx/migration/http.conf: {error}"
                    ));
                }
            };
            if exchanges.len() == MAX_REQUESTS {
                return Err(format!("has more than {MAX_REQUESTS} requests; give a part of it"));
            }
            let at = *index.entry(line.id).or_insert_with(|| {
                exchanges.push(Exchange::default());
                exchanges.len() - 1
            });
            let exchange = &mut exchanges[at];
            let status = line.status.parse::<u16>();
            let status = status.map_err(|_| format!("line {number}: status must be a number"))?;
            let side = match line.side {
                Side::Old => &mut exchange.old,
                Side::New => &mut exchange.new,
            };
            if side.replace(status).is_some() {
                return Err(format!("line {number}: the id occurs twice for one side"));
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
            exchange.old = exchange.old.filter(|status| !NOT_COMPARED.contains(status));
            exchange.new = exchange.new.filter(|status| !NOT_COMPARED.contains(status));
        }
        let is_unpaired = |exchange: &&Exchange| exchange.old.is_none() || exchange.new.is_none();
        let unpaired = exchanges.iter().filter(is_unpaired).count() as u64;
        Ok(Self { exchanges, unpaired })
    }

    /// The number of requests that both issuers answered.
    pub fn compared(&self) -> u64 {
        self.exchanges.len() as u64 - self.unpaired
    }

    /// A difference if too little was compared to rely on.
    pub fn coverage(&self) -> Vec<Difference> {
        let requests = format!("{} requests", self.exchanges.len());
        if self.compared() > 0 && self.unpaired * PAIRED_AT_LEAST <= self.exchanges.len() as u64 {
            let is_success = |status: Option<u16>| status.is_some_and(|status| (200..300).contains(&status));
            let mut exchanges = self.exchanges.iter();
            if exchanges.any(|exchange| is_success(exchange.old) && is_success(exchange.new)) {
                return Vec::new();
            }
            // Both reject all of them, perhaps because the log has no requests of real clients.
            let successes = "none of them succeeded at both issuers";
            return vec![Difference::client("not_compared.mirrored", requests, successes)];
        }
        let paired = format!("{} have two answers to compare", self.compared());
        vec![Difference::client("not_compared.mirrored", requests, paired)]
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
                let code = format!("mirrored.status.{old}.{new}");
                let (old, new) = (format!("{} {old}", exchange.request), new.to_string());
                found.push((decoded(&exchange.client), Difference::client(code, old, new)));
            }
        }
        found
    }
}

/// Reads a line, at most one byte more than it may have.
fn read_line(log: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<usize> {
    log.take(MAX_LINE + 1).read_until(b'\n', text)
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
            line("5", "old", "c", 200),
            line("5", "new", "c", 429),
        ]
        .concat();
        let log = MirroredRequests::read(text.as_bytes()).unwrap();
        assert_eq!((log.compared(), log.unpaired), (2, 3));
        assert_eq!(
            log.by_client(),
            HashMap::from([("a:b".to_owned(), 1), ("c".to_owned(), 3)])
        );
        assert_eq!(log.coverage()[0].code, "not_compared.mirrored");
        let differences = log.differences();
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].0, "a:b");
        assert_eq!(
            (&*differences[0].1.old, &*differences[0].1.new),
            ("POST /oauth2/token 200", "401")
        );
    }

    #[test]
    fn log_without_a_success_is_no_comparison() {
        let of = |old: u16, new: u16| [line("1", "old", "a", old), line("1", "new", "a", new)].concat();
        for (text, codes) in [
            (of(401, 401), &["not_compared.mirrored"][..]),
            (of(200, 401), &["not_compared.mirrored"]),
            (of(200, 200), &[]),
        ] {
            let log = MirroredRequests::read(text.as_bytes()).unwrap();
            let found: Vec<String> = log.coverage().into_iter().map(|it| it.code).collect();
            assert_eq!(found, codes, "{text}");
        }
    }

    #[test]
    fn incomplete_last_line_is_ignored() {
        let (first, second) = (line("1", "old", "a", 200), line("1", "new", "a", 200));
        let text = format!("{first}{second}{}", &first[..40]);
        let log = MirroredRequests::read(text.as_bytes()).unwrap();
        assert_eq!((log.compared(), log.coverage()), (1, Vec::new()));
        let text = format!("{first}{}\n{second}", &first[..40]);
        let error = MirroredRequests::read(text.as_bytes()).unwrap_err();
        assert!(error.starts_with("line 2: is not a line"), "{error}");
    }

    #[test]
    fn other_logs_are_rejected_with_their_line() {
        let good = line("1", "old", "a", 200);
        for (text, expected) in [
            ("127.0.0.1 - - GET / 200\n".to_owned(), "line 1: is not a line"),
            (format!("{good}{good}"), "line 2: the id occurs twice"),
            ("\n".to_owned(), "has no requests"),
        ] {
            let error = MirroredRequests::read(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
