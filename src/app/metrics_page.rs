//! `docs/metrics.md` and `docs/metrics-names.txt`, from the table of metrics. To update them: `UPDATE_DOCS=1 cargo test documented`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use oauth2_actors::metrics::OperatorRejection;
use oauth2_actors::metrics::catalogue::{Kind, Metric, SECTIONS, Stability, Values};

use crate::config::environment::updates_documents;
use crate::http::endpoint::Group;
use crate::http::metrics::table;
use crate::http::reason::{Reason, RejectReason, ShedReason};
use crate::keys::lifecycle::Phase;

const PAGE: &str = "docs/metrics.md";
const NAMES: &str = "docs/metrics-names.txt";

fn path(document: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(document)
}

fn read(document: &str) -> String {
    std::fs::read_to_string(path(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn sections() -> impl Iterator<Item = (&'static str, &'static [Metric])> {
    [("requests", table::ALL)].into_iter().chain(SECTIONS)
}

fn rows() -> impl Iterator<Item = &'static Metric> {
    sections().flat_map(|(_, rows)| rows)
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

fn code(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect();
    quoted.join(", ")
}

fn section(rows: &[Metric]) -> String {
    let mut text =
        String::from("| Name | Type | Unit | Labels | Meaning | Stability | Panel |\n|---|---|---|---|---|---|---|\n");
    for row in rows {
        let (unit, labels) = (row.unit(), code(row.labels.iter().map(|label| label.name)));
        let meaning = format!("{}. {}", row.help, row.notes);
        let stability = match row.stability {
            Stability::Stable => "stable",
            Stability::Experimental => "experimental",
        };
        let panel = if row.people { "yes" } else { "" };
        let (name, kind) = (row.full_name(), type_name(row.kind));
        writeln!(
            text,
            "| `{name}` | {kind} | {unit} | {labels} | {} | {stability} | {panel} |",
            meaning.trim_end()
        )
        .unwrap();
    }
    text
}

/// The values of every label, with the metrics that have them.
fn labels() -> String {
    let mut found: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for row in rows() {
        for label in row.labels {
            let values = match label.values {
                Values::Closed(values) => code(values()),
                Values::From(source) => source.to_owned(),
            };
            found.entry((label.name, values)).or_default().push(row.full_name());
        }
    }
    let mut text = String::from("| Label | Values | Metrics |\n|---|---|---|\n");
    for ((name, values), metrics) in found {
        writeln!(text, "| `{name}` | {values} | {} |", code(metrics)).unwrap();
    }
    text
}

fn pairs() -> String {
    fn reasons<R: Reason>(group: Group) -> String {
        let names = R::ALL.iter().zip(R::values());
        code(
            names
                .filter(|(reason, _)| reason.groups().contains(&group))
                .map(|(_, name)| name),
        )
    }
    let mut text = String::from("| `endpoint` | `reject_total` | `shed_total` |\n|---|---|---|\n");
    for &group in Group::ALL {
        let (rejects, sheds) = (reasons::<RejectReason>(group), reasons::<ShedReason>(group));
        writeln!(text, "| `{}` | {rejects} | {sheds} |", group.as_str()).unwrap();
    }
    text
}

/// A line of the list of names: what a dashboard or an alert depends on.
fn line(row: &Metric) -> String {
    let mut labels: Vec<_> = row.labels.iter().map(|label| label.name).collect();
    labels.sort_unstable();
    let line = format!("{} {} {}", row.full_name(), type_name(row.kind), labels.join(" "));
    line.trim_end().to_owned()
}

#[test]
fn every_metric_is_documented() {
    let mut blocks: Vec<_> = sections().map(|(name, rows)| (name, section(rows))).collect();
    blocks.extend([("labels", labels()), ("pairs", pairs())]);
    let mut page = read(PAGE);
    for (name, block) in blocks {
        let (begin, end) = (format!("<!-- metrics: {name} -->\n"), "<!-- /metrics -->");
        let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{PAGE}: {begin}"));
        let (_, after) = rest.split_once(end).expect("the end mark of the block");
        page = format!("{before}{begin}{block}{end}{after}");
    }
    if updates_documents() {
        std::fs::write(path(PAGE), page).unwrap();
    } else {
        assert_eq!(read(PAGE), page, "{PAGE}: run UPDATE_DOCS=1 cargo test documented");
    }
}

/// The list holds the names that were released or merged. One that is changed or removed must be in the changelog's first section.
#[test]
fn every_documented_name_stays_or_is_in_the_changelog() {
    let released: BTreeSet<String> = read(NAMES).lines().map(ToOwned::to_owned).collect();
    let now: BTreeSet<String> = rows().map(line).collect();
    let changelog = read("CHANGELOG.md");
    let unreleased = changelog.split("\n## ").nth(1).expect("a section of the changelog");
    for gone in released.difference(&now) {
        let name = gone.split(' ').next().unwrap_or_default();
        assert!(
            unreleased.contains(&format!("`{name}`")),
            "{gone} was changed or removed: name `{name}` in the first section of CHANGELOG.md"
        );
    }
    let list = now.into_iter().collect::<Vec<_>>().join("\n") + "\n";
    if updates_documents() {
        std::fs::write(path(NAMES), list).unwrap();
    } else {
        assert_eq!(read(NAMES), list, "{NAMES}: run UPDATE_DOCS=1 cargo test documented");
    }
}

#[test]
fn names_are_unique_and_well_formed() {
    let mut names = BTreeSet::new();
    for row in rows() {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(
            row.name.chars().all(plain) && !row.name.ends_with("_total"),
            "{}",
            row.name
        );
        assert!(names.insert(row.name), "{} is there twice", row.name);
    }
}

#[test]
fn reasons_and_states_are_those_of_the_code() {
    let page = read(PAGE);
    let (_, prose) = page.split_once("## Reasons").expect("the section of reasons");
    let reasons = RejectReason::ALL.iter().map(|reason| <&str>::from(*reason));
    let sheds = ShedReason::ALL.iter().map(|reason| <&str>::from(*reason));
    let operators = OperatorRejection::ALL.iter().map(|reason| reason.as_str());
    for name in reasons.chain(sheds).chain(operators) {
        assert!(prose.contains(&format!("`{name}`")), "{PAGE} does not explain {name}");
    }
    let phases = Phase::ALL.map(Phase::as_str);
    assert_eq!(phases, oauth2_actors::metrics::catalogue::keys::STATES);
}
