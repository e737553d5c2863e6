//! Differences, grouped by their kind.

use serde::Serialize;
use serde_json::Value;

use super::sample::SampledClient;

/// Examples per difference.
const EXAMPLES: usize = 3;

/// The code of a client whose tokens were not compared, because the old issuer gives it none.
pub const TOKEN_NOT_COMPARED: &str = "not_compared.token";

/// The longest value of an example, characters.
const MAX_VALUE: usize = 80;

/// The side that notices a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum NoticedBy {
    /// Clients, which request tokens.
    Client,
    /// Verifiers, which check them.
    Verifier,
    /// Nobody that follows the specifications.
    Nobody,
}

/// A difference between the issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The code of the difference, such as `token.header.alg`.
    pub code: String,
    /// The side that notices it.
    pub noticed_by: NoticedBy,
    /// The behaviour of the old issuer.
    pub old: String,
    /// The behaviour of the new issuer.
    pub new: String,
}

impl Difference {
    /// A difference that clients notice.
    pub fn client(code: impl Into<String>, old: impl ToString, new: impl ToString) -> Self {
        Self::new(code, NoticedBy::Client, old, new)
    }

    /// A difference that verifiers notice.
    pub fn verifier(code: impl Into<String>, old: impl ToString, new: impl ToString) -> Self {
        Self::new(code, NoticedBy::Verifier, old, new)
    }

    /// A difference that the specifications allow.
    pub fn nobody(code: impl Into<String>, old: impl ToString, new: impl ToString) -> Self {
        Self::new(code, NoticedBy::Nobody, old, new)
    }

    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
    fn new(code: impl Into<String>, noticed_by: NoticedBy, old: impl ToString, new: impl ToString) -> Self {
        Self {
            code: code.into(),
            noticed_by,
            old: old.to_string(),
            new: new.to_string(),
        }
    }
}

/// A difference, the number of clients that it concerns, and some of them.
#[derive(Debug, Serialize)]
pub struct ReportedDifference {
    /// The code of the difference.
    pub code: String,
    /// The side that notices it.
    pub noticed_by: NoticedBy,
    /// Whether it was accepted beforehand.
    pub accepted: bool,
    /// The number of clients; 1 for a difference of the issuers themselves.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A client and its values.
#[derive(Debug, Serialize)]
pub struct Example {
    /// The client; empty for a difference of the issuers themselves.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_id: String,
    /// The behaviour of the old issuer.
    pub old: String,
    /// The behaviour of the new issuer.
    pub new: String,
}

/// The result of a check.
#[derive(Debug)]
pub struct Report {
    /// The differences, the noticed ones first.
    differences: Vec<ReportedDifference>,
    accepted: Vec<String>,
    /// The clients that were asked for.
    pub clients: u64,
    /// The clients without any difference.
    pub identical: u64,
    /// The clients whose tokens were not compared.
    pub not_compared: u64,
}

impl Report {
    /// An empty one. `accepted`: codes, or their beginnings, of differences that do not count.
    pub fn new(accepted: &[String]) -> Self {
        Self {
            differences: Vec::new(),
            accepted: accepted.to_vec(),
            clients: 0,
            identical: 0,
            not_compared: 0,
        }
    }

    /// Adds the differences of a client. A value that repeats its secret is not kept.
    pub fn add_client(&mut self, client: &SampledClient, mut differences: Vec<Difference>) {
        self.clients += 1;
        self.identical += u64::from(differences.is_empty());
        let is_not_compared = differences
            .iter()
            .any(|difference| difference.code == TOKEN_NOT_COMPARED);
        self.not_compared += u64::from(is_not_compared);
        for difference in &mut differences {
            for value in [&mut difference.old, &mut difference.new] {
                if value.contains(&client.secret) {
                    "(a text with the client's secret)".clone_into(value);
                }
            }
        }
        self.add_all(&client.client_id, differences);
    }

    /// Adds differences.
    pub fn add_all(&mut self, client_id: &str, differences: Vec<Difference>) {
        for difference in differences {
            let Difference {
                code,
                noticed_by,
                old,
                new,
                ..
            } = difference;
            let is_same = |known: &ReportedDifference| known.code == code && known.noticed_by == noticed_by;
            let index = self.differences.iter().position(is_same).unwrap_or_else(|| {
                self.differences.push(ReportedDifference {
                    accepted: is_accepted(&self.accepted, &code),
                    code,
                    noticed_by,
                    count: 0,
                    examples: Vec::new(),
                });
                self.differences.len() - 1
            });
            let known = &mut self.differences[index];
            known.count += 1;
            if known.examples.len() < EXAMPLES {
                known.examples.push(Example {
                    client_id: client_id.to_owned(),
                    old: shortened(&old),
                    new: shortened(&new),
                });
            }
        }
    }

    /// The differences: noticed ones first, then by code.
    pub fn differences(&self) -> Vec<&ReportedDifference> {
        let mut sorted: Vec<&ReportedDifference> = self.differences.iter().collect();
        sorted.sort_by_key(|difference| (!difference.counts(), difference.noticed_by, difference.code.clone()));
        sorted
    }

    /// The number of differences that a client or a verifier notices, without accepted ones.
    pub fn noticed(&self) -> usize {
        self.differences.iter().filter(|difference| difference.counts()).count()
    }

    /// The accepted codes that no difference has.
    pub fn unused(&self) -> Vec<&str> {
        let is_used = |code: &&String| {
            let code = std::slice::from_ref(*code);
            self.differences
                .iter()
                .any(|difference| is_accepted(code, &difference.code))
        };
        self.accepted
            .iter()
            .filter(|code| !is_used(code))
            .map(String::as_str)
            .collect()
    }
}

impl ReportedDifference {
    /// Whether it is noticed and not accepted.
    pub fn counts(&self) -> bool {
        !self.accepted && self.noticed_by != NoticedBy::Nobody
    }
}

/// Whether a code is accepted by itself or by its beginning: `token.claim` accepts `token.claim.nbf.missing`.
fn is_accepted(accepted: &[String], code: &str) -> bool {
    let begins = |accepted: &String| {
        code.strip_prefix(accepted.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    accepted.iter().any(begins)
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// A value as a report shows it.
pub fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), ToString::to_string)
}
