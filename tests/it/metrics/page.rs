//! What `docs/metrics.md` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use oauth2_testkit::Kind;

/// The rows of the page: name -> (type, labels).
pub fn rows(kind: Kind) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut rows = BTreeMap::new();
    for line in page().lines().filter(|line| line.starts_with("| `oauth2_server_")) {
        let cells: Vec<_> = line.split(" | ").collect();
        let name = cells[0].trim_matches(['|', ' ', '`']);
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let other_store = match kind {
            Kind::Sqlite => "Postgres only.",
            Kind::Postgres => "SQLite only.",
        };
        // Exported only by a server with that configuration: tests/it/nodes/replica.rs, tests/it/fallback.rs, tests/it/tls.rs.
        let needs = [
            "DATABASE_READ_URL",
            "FALLBACK_INTROSPECTION_URL",
            "MANAGEMENT_TLS_CERTIFICATE_FILE",
        ];
        let is_optional = needs.iter().any(|key| line.contains(&format!("`OAUTH2_{key}` only.")));
        if !line.contains(other_store) && !is_optional {
            rows.insert(name.to_owned(), (cells[1].to_owned(), labels));
        }
    }
    assert!(rows.len() > 60, "{rows:?}");
    rows
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap()
}

/// The closed sets of the page: (metric, label) -> values.
pub fn closed_sets() -> BTreeMap<(String, String), BTreeSet<String>> {
    let text = page();
    let (_, table) = text.split_once("<!-- metrics: labels -->").unwrap();
    let (table, _) = table.split_once("<!-- /metrics -->").unwrap();
    let mut sets = BTreeMap::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<Vec<&str>> = line
            .trim_matches(['|', ' '])
            .split(" | ")
            .map(|cell| cell.split(", ").map(|value| value.trim_matches('`')).collect())
            .collect();
        if line.split(" | ").nth(1).unwrap().starts_with('`') {
            let values: BTreeSet<_> = cells[1].iter().map(ToString::to_string).collect();
            for metric in &cells[2] {
                sets.insert(((*metric).to_owned(), cells[0][0].to_owned()), values.clone());
            }
        }
    }
    assert!(sets.len() > 30, "{sets:?}");
    sets
}
