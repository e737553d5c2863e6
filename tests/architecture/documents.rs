//! Documents name files that exist, and every metric comes from the table.

use crate::tree::{files, root, shown};

/// Files that a run writes.
const WRITTEN_LATER: &[&str] = &["docs/performance.md"];

/// Where a code span that names a source file begins. It may end with a function of the file: `src/a.rs::b`.
const SOURCES: &[&str] = &["src/", "actors/", "store/", "tests/", "migrations/", "benches/"];

/// Names of files and functions in documents that do not exist, as `document names name`.
pub fn missing() -> Vec<String> {
    let mut documents: Vec<_> = ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG"]
        .map(|name| root().join(name).with_extension("md"))
        .into();
    files(&root().join("docs"), "md", &mut documents);
    documents.extend(["loadtest/README.md", "loadtest/peers/README.md"].map(|name| root().join(name)));
    let mut missing = Vec::new();
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in links(&text) {
            let path = document.parent().unwrap().join(target.split('#').next().unwrap());
            if !path.exists() && !WRITTEN_LATER.iter().any(|later| path.ends_with(later)) {
                missing.push(format!("{} names {target}", shown(&document)));
            }
        }
        let is_source =
            |span: &&str| SOURCES.iter().any(|top| span.starts_with(top)) && !span.contains([' ', '*', '{', '<']);
        for span in text.split('`').skip(1).step_by(2).filter(is_source) {
            let (file, function) = span.split_once("::").unwrap_or((span, ""));
            let path = root().join(file);
            let holds = |text: String| function.is_empty() || text.contains(&format!("fn {function}("));
            if !path.is_dir() && !std::fs::read_to_string(&path).is_ok_and(holds) {
                missing.push(format!("{} names {span}", shown(&document)));
            }
        }
    }
    missing
}

/// Targets of Markdown links that are not URLs or places in the same file.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        let local = !target.contains("://") && !target.starts_with('#') && !target.contains(char::is_whitespace);
        local.then_some(target)
    })
}

/// The table of metrics is what `docs/metrics.md` is generated from: an instrument outside it would have no line there.
#[test]
fn instruments_are_created_from_the_table_only() {
    let mut sources = Vec::new();
    for package in ["store/src", "actors/src", "src"] {
        files(&root().join(package), "rs", &mut sources);
    }
    let creates = |text: &str| {
        let made = ["_counter(", "_gauge(", "_histogram(", "_up_down_counter("];
        ["u64", "i64", "f64"].iter().any(|number| {
            made.iter().any(|made| {
                text.contains(&format!(".{number}{made}")) || text.contains(&format!(".{number}_observable{made}"))
            })
        })
    };
    let found: Vec<_> = sources
        .iter()
        .filter(|source| creates(&std::fs::read_to_string(source).unwrap()))
        .map(|source| shown(source))
        .collect();
    assert_eq!(found, ["actors/src/metrics/catalogue/row.rs"]);
}

/// `make check-clients` runs the files, so what the pages show works.
#[test]
fn blocks_of_pages_are_lines_of_checked_files() {
    let mut pages = Vec::new();
    files(&root().join("docs/frameworks"), "md", &mut pages);
    let mut compared = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        // A comment that names the file, then the fenced block.
        for rest in text.split("<!-- tests/clients/").skip(1) {
            let (file, rest) = rest.split_once(" -->\n```").unwrap();
            let block = rest
                .split_once('\n')
                .and_then(|(_language, rest)| rest.split_once("```\n"));
            let (block, _) = block.unwrap();
            let checked = std::fs::read_to_string(root().join("tests/clients").join(file)).unwrap();
            assert!(
                checked.contains(block),
                "{} differs from {file}:\n{block}",
                shown(&page)
            );
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared}");
}
