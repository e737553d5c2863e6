//! The clients of a check, with their secrets: CSV with a header, or JSON lines.

use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::service::clients::metadata::COLUMNS;
use crate::service::clients::text::CsvRecords;
use crate::tokens::unique_json;

/// Members that a line may have besides the members of an import.
const OTHER_MEMBERS: [&str; 3] = ["resource", "client_secret_hash", "client_secret_hash_scheme"];

/// A client that is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct SampledClient {
    /// Its id.
    pub client_id: String,
    /// Its secret in clear.
    pub secret: String,
    /// The scope to request.
    pub scope: Option<String>,
    /// The parameter `audience`.
    pub audience: Option<String>,
    /// The parameter `resource`.
    pub resource: Option<String>,
}

// It holds a secret.
impl fmt::Debug for SampledClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampledClient")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// The clients of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClientFile {
    /// Clients with a secret in clear, in the order of the file.
    pub clients: Vec<SampledClient>,
    /// The number of lines without a secret in clear, which cannot be asked for.
    pub without_secret: usize,
}

impl ClientFile {
    /// Reads a file. The error names the line, and never a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let rows = if text.trim_start().starts_with('{') {
            json_lines(text)?
        } else {
            csv_rows(text)?
        };
        let (mut file, mut lines) = (Self::default(), HashMap::new());
        for (line, members) in rows {
            let client = client(&members).map_err(|error| format!("line {line}: {error}"))?;
            if let Some(first) = lines.insert(client.client_id.clone(), line) {
                return Err(format!(
                    "line {line}: client_id {} occurs on line {first} already",
                    client.client_id
                ));
            }
            if client.secret.is_empty() {
                file.without_secret += 1;
            } else {
                file.clients.push(client);
            }
        }
        if file.clients.is_empty() {
            return Err("there is no client with a client_secret in it".to_owned());
        }
        Ok(file)
    }

    /// At most `count` clients: first the clients in `requests`, the busiest first, and then clients spread evenly over the file.
    #[must_use]
    pub fn sample(&self, count: usize, requests: &HashMap<String, u64>) -> Vec<SampledClient> {
        let mut indices: Vec<usize> = (0..self.clients.len()).collect();
        let busy = |index: &usize| requests.get(&self.clients[*index].client_id).copied().unwrap_or(0);
        let (mut chosen, rest): (Vec<_>, Vec<_>) = indices.drain(..).partition(|index| busy(index) > 0);
        chosen.sort_by_key(|index| (std::cmp::Reverse(busy(index)), *index));
        chosen.truncate(count);
        let wanted = (count - chosen.len()).min(rest.len());
        chosen.extend((0..wanted).map(|n| rest[n * rest.len() / wanted]));
        chosen.into_iter().map(|index| self.clients[index].clone()).collect()
    }
}

type Row = (u64, Map<String, Value>);

fn json_lines(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(index, line): (usize, &str)| {
        let number = index as u64 + 1;
        // The text of the error names a position, not the value.
        let members = serde_json::from_str(line).map_err(|error| {
            let reason = if error.is_data() {
                "is not a JSON object"
            } else {
                "is not JSON"
            };
            format!("line {number}: the line {reason} (column {})", error.column())
        })?;
        Ok((number, members))
    };
    lines.map(parse).collect()
}

fn csv_rows(text: &str) -> Result<Vec<Row>, String> {
    let mut records = CsvRecords::new(text.as_bytes());
    let (mut header, mut rows): (Vec<String>, Vec<Row>) = (Vec::new(), Vec::new());
    while let Some(found) = records.read_next().map_err(|error| format!("is not CSV: {error}"))? {
        let line = found.lines.first;
        if let Some(problem) = found.problem {
            return Err(format!("line {line}: {problem}"));
        }
        // A field of a valid text is valid.
        let fields = records
            .fields()
            .map(|field| String::from_utf8_lossy(field).into_owned());
        if header.is_empty() {
            header = fields.collect();
            continue;
        }
        if records.len() != header.len() {
            return Err(format!("line {line}: the row does not have the fields of the header"));
        }
        let members = header
            .iter()
            .cloned()
            .zip(fields)
            .filter(|(_, field)| !field.is_empty());
        rows.push((line, members.map(|(name, field)| (name, Value::from(field))).collect()));
    }
    if !header.iter().any(|name| name == "client_id") {
        return Err("line 1: the header must name client_id and client_secret".to_owned());
    }
    Ok(rows)
}

fn client(members: &Map<String, Value>) -> Result<SampledClient, String> {
    let is_known = |name: &str| COLUMNS.iter().any(|(known, _)| *known == name) || OTHER_MEMBERS.contains(&name);
    if let Some(name) = members.keys().find(|name| !is_known(name)) {
        // A file without a header has secrets there.
        let shown = if unique_json::may_show(name) {
            format!("{name:?}")
        } else {
            "whose name is not shown".to_owned()
        };
        return Err(format!(
            "unknown field {shown}; known are client_id, client_secret, scope, audience, resource and the members of client import"
        ));
    }
    let text = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        // Of a record: the first audience is the default.
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            Ok(items.first().and_then(Value::as_str).map(str::to_owned))
        }
        Some(_) => Err(format!("{name} must be a string")),
    };
    Ok(SampledClient {
        client_id: text("client_id")?.ok_or("client_id is missing")?,
        secret: text("client_secret")?.unwrap_or_default(),
        scope: text("scope")?,
        audience: text("audience")?,
        resource: text("resource")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_clients_come_first_and_the_others_are_spread() {
        let text: String = std::iter::once("client_id,client_secret\n".to_owned())
            .chain((0..10).map(|n| format!("c{n},secret\n")))
            .collect();
        let file = ClientFile::parse(&text).unwrap();
        let requests = HashMap::from([("c7".to_owned(), 3), ("c2".to_owned(), 9), ("gone".to_owned(), 99)]);
        let ids = |sample: Vec<SampledClient>| sample.into_iter().map(|client| client.client_id).collect::<Vec<_>>();
        assert_eq!(ids(file.sample(4, &requests)), ["c2", "c7", "c0", "c5"]);
        assert_eq!(ids(file.sample(1, &requests)), ["c2"]);
        assert_eq!(file.sample(100, &HashMap::new()).len(), 10);
    }

    #[test]
    fn errors_name_the_line_and_no_secret() {
        let secret = "a-secret-that-must-not-be-repeated";
        let cases = [
            (
                format!("client_id,client_secret\na,{secret}\na,{secret}\n"),
                "line 3: client_id a occurs on line 2",
            ),
            (format!("client_id,client_secret\na,{secret},x\n"), "line 2: the row"),
            (
                format!("client_id,secrets\na,{secret}\n"),
                "line 2: unknown field \"secrets\"",
            ),
            (
                format!("{{\"client_id\":\"a\",\"client_secret\":\"{secret}\n"),
                "line 1: the line is not JSON",
            ),
            (
                "client_id,client_secret\na,\n".to_owned(),
                "there is no client with a client_secret",
            ),
        ];
        for (text, expected) in cases {
            let error = ClientFile::parse(&text).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains(secret), "{error}");
        }
    }
}
