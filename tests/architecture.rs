//! The dependency rules of `ARCHITECTURE.md`, read off the source: which part may name which, who reads the environment,
//! how long a file may be, and that the documents name files that exist.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A part of a crate and the parts of the same crate that it may name beside itself.
type Row = (&'static str, &'static [&'static str]);

/// Package `oauth2-server`. Parts that are not here wire others together and may name any part but `app`.
const SERVER: &[Row] = &[
    ("tokens", &[]),
    ("oauth", &["tokens"]),
    ("config", &["tokens"]),
    ("http", &["oauth", "tokens"]),
    ("cli", &["app", "config", "failure", "oauth", "tokens"]),
    ("failure", &["config", "oauth", "tokens"]),
    ("logging", &["config"]),
];

/// Package `oauth2-actors`. Every part is here.
const ACTORS: &[Row] = &[
    ("model", &[]),
    ("error", &[]),
    ("freshness", &[]),
    ("runtime", &["error"]),
    ("store", &["error", "model"]),
    ("directory", &["error", "freshness", "model", "store"]),
    (
        "token_store",
        &["directory", "error", "freshness", "model", "runtime", "store"],
    ),
    ("recorder", &["error", "model", "runtime", "store"]),
    ("revocation_cache", &["error", "freshness", "model", "runtime", "store"]),
    ("rate_limiter", &["error", "model", "runtime"]),
    ("signer", &["error", "runtime"]),
    ("audit_writer", &["error", "model", "runtime", "store"]),
    ("quota_keeper", &["error", "freshness", "model", "runtime", "store"]),
    ("key_keeper", &["directory", "error", "model", "runtime", "store"]),
    ("metrics", &["error", "model", "runtime"]),
];

/// Paths that a part never names: (package, part, path, why).
const NEVER: &[(&str, &str, &str, &str)] = &[
    ("src", "oauth", "actix", "the rules have no actors"),
    ("src", "oauth", "actix_web", "the rules have no HTTP"),
    ("src", "oauth", "tokio", "the rules wait for nothing"),
    ("src", "oauth", "std::time::SystemTime", "times are passed in"),
    ("src", "oauth", "std::time::Instant", "times are passed in"),
    ("src", "oauth", "oauth2_actors::store", "the rules have no store"),
    ("src", "tokens", "actix", "tokens have no actors"),
    ("src", "tokens", "actix_web", "tokens have no HTTP"),
    ("src", "tokens", "tokio", "tokens wait for nothing"),
    ("src", "tokens", "std::time::SystemTime", "times are passed in"),
    ("src", "tokens", "std::time::Instant", "times are passed in"),
    ("src", "tokens", "oauth2_actors::store", "tokens have no store"),
    ("src", "http", "oauth2_actors::store", "handlers go through the actors"),
    ("actors/src", "store", "actix", "the store has no actors"),
    ("actors/src", "model", "actix", "models are plain"),
    ("actors/src", "*", "actix_web", "actors have no HTTP"),
    (
        "actors/src",
        "*",
        "oauth2_server",
        "the server depends on the actors, not they on it",
    ),
    (
        "actors/src",
        "*",
        "std::env",
        "only the configuration reads the environment",
    ),
    ("src", "*", "std::env", "only the configuration reads the environment"),
];

/// Who may do what `NEVER` forbids to every other part.
const READS_ENVIRONMENT: &[&str] = &["main", "config"];

const LONGEST_FILE: usize = 400;

/// What breaks a rule and is known to. An entry that nothing breaks any more must go.
const OWED: &[&str] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(under: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
}

/// The path of a file from the repository's root.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// `src/http/admin/clients.rs` is `[http, admin, clients]`.
fn module(path: &Path, package: &str) -> Vec<String> {
    let relative = path.strip_prefix(root().join(package)).unwrap().with_extension("");
    let mut segments: Vec<_> = relative.iter().map(|s| s.to_str().unwrap().to_owned()).collect();
    if segments == ["lib"] {
        segments.clear();
    }
    segments
}

/// Every path that a source file names, from the crate's root or from another crate.
fn paths(text: &str, module: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut code, mut depth) = (String::new(), 0);
    for line in text.lines() {
        let line = line.split_once("//").map_or(line, |(before, _)| before);
        if line.starts_with("mod ") && line.ends_with('{') {
            collect(&code, module, depth, &mut found);
            code.clear();
            depth = 1;
        }
        code.push_str(line);
        code.push('\n');
    }
    collect(&code, module, depth, &mut found);
    found
}

fn collect(code: &str, module: &[String], depth: usize, found: &mut BTreeSet<String>) {
    // Braces that group paths stay, without the spaces in them; the braces of blocks part words.
    let (mut tight, mut groups) = (String::with_capacity(code.len()), Vec::new());
    for c in code.chars() {
        let grouped = groups.last() == Some(&true);
        match c {
            '{' => {
                let group = tight.ends_with("::");
                groups.push(group);
                tight.push(if group { '{' } else { ' ' });
            }
            '}' => tight.push(if groups.pop() == Some(true) { '}' } else { ' ' }),
            c if c.is_whitespace() && grouped => {}
            ',' if !grouped => tight.push(' '),
            c => tight.push(c),
        }
    }
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}' | ',' | '*');
    for chunk in tight.split(|c: char| !is_path(c)).filter(|chunk| chunk.contains("::")) {
        let mut flat = Vec::new();
        expand("", chunk, &mut flat);
        found.extend(flat.iter().map(|path| resolve(path, module, depth)));
    }
}

/// `a::{b,c::{d,e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn expand(prefix: &str, tree: &str, flat: &mut Vec<String>) {
    let (mut level, mut start) = (0_i32, 0);
    let mut pieces = Vec::new();
    for (at, c) in tree.char_indices() {
        match c {
            '{' => level += 1,
            '}' => level -= 1,
            ',' if level == 0 => {
                pieces.push(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&tree[start..]);
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        match piece.split_once("::{") {
            Some((head, rest)) => {
                let inner = rest.strip_suffix('}').unwrap_or(rest);
                expand(&format!("{prefix}{head}::"), inner, flat);
            }
            None => flat.push(format!("{prefix}{piece}")),
        }
    }
}

/// `super::` and `self::` from the crate's root; `depth` is 1 within a module of the file itself.
fn resolve(path: &str, module: &[String], depth: usize) -> String {
    let mut at = module.to_vec();
    at.extend(std::iter::repeat_n("tests".to_owned(), depth));
    let mut segments = path.split("::").peekable();
    let mut relative = false;
    while let Some(head @ ("super" | "self")) = segments.peek().copied() {
        relative = true;
        segments.next();
        if head == "super" {
            at.pop();
        }
    }
    let rest: Vec<_> = segments.map(ToOwned::to_owned).collect();
    if !relative {
        return rest.join("::");
    }
    std::iter::once("crate".to_owned())
        .chain(at)
        .chain(rest)
        .collect::<Vec<_>>()
        .join("::")
}

fn begins(path: &str, with: &str) -> bool {
    path.strip_prefix(with)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What a package breaks of the table and of `NEVER`.
fn broken(package: &'static str, table: &[Row]) -> Vec<String> {
    let mut sources = Vec::new();
    files(&root().join(package), "rs", &mut sources);
    assert!(!sources.is_empty(), "no source in {package}");
    let mut broken = Vec::new();
    for file in sources {
        let module = module(&file, package);
        let part = module.first().map_or("lib", String::as_str);
        let named = paths(&std::fs::read_to_string(&file).unwrap(), &module);
        let mut parts = BTreeSet::new();
        for path in &named {
            if let Some(rest) = path.strip_prefix("crate::") {
                parts.insert(rest.split("::").next().unwrap().to_owned());
            }
            for (_, who, what, why) in NEVER.iter().filter(|rule| rule.0 == package) {
                let excused = *who == "*" && package == "src" && READS_ENVIRONMENT.contains(&part);
                if (*who == part || *who == "*") && !excused && begins(path, what) {
                    broken.push(format!("{} names {path}: {why}", shown(&file)));
                }
            }
        }
        let known = table.iter().find(|row| row.0 == part);
        for other in parts.iter().filter(|other| *other != part) {
            let is_part = table.iter().any(|row| row.0 == other) || other == "app" || other == "cli";
            let allowed = match known {
                Some((_, may)) => may.contains(&other.as_str()),
                None => other != "app" || matches!(part, "main" | "cli"),
            };
            if is_part && !allowed {
                broken.push(format!("{} ({part}) names {other}", shown(&file)));
            }
        }
    }
    broken
}

fn too_long() -> Vec<String> {
    let mut sources = Vec::new();
    for under in ["src", "actors/src", "actors/tests", "tests"] {
        files(&root().join(under), "rs", &mut sources);
    }
    let lines = |file: &Path| std::fs::read_to_string(file).unwrap().lines().count();
    sources
        .iter()
        .filter(|file| lines(file) > LONGEST_FILE)
        .map(|file| format!("{} is longer than {LONGEST_FILE} lines", shown(file)))
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let mut found = broken("src", SERVER);
    found.extend(broken("actors/src", ACTORS));
    found.extend(too_long());
    let mut text = String::new();
    for new in found.iter().filter(|line| !OWED.contains(&line.as_str())) {
        writeln!(text, "{new}").unwrap();
    }
    for paid in OWED.iter().filter(|owed| !found.iter().any(|line| line == *owed)) {
        writeln!(text, "no longer true, take it from the list: {paid}").unwrap();
    }
    assert!(text.is_empty(), "\n{text}");
}

#[test]
fn every_part_of_the_actors_is_in_the_table() {
    for entry in std::fs::read_dir(root().join("actors/src")).unwrap() {
        let path = entry.unwrap().path();
        let part = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            part == "lib" || ACTORS.iter().any(|row| row.0 == part),
            "{part} has no row"
        );
    }
}

#[test]
fn the_actors_manifest_has_no_http_crate() {
    let manifest = std::fs::read_to_string(root().join("actors/Cargo.toml")).unwrap();
    for name in ["actix-web", "actix-http", "hyper", "reqwest", "axum", "oauth2-server"] {
        let depends = |line: &str| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}."));
        assert!(!manifest.lines().any(depends), "{name} is in actors/Cargo.toml");
    }
}

#[test]
fn the_reader_of_paths_sees_groups_and_parents() {
    let module = ["http".to_owned(), "token".to_owned()];
    let text = "use super::error::Failure;\nuse crate::{oauth::{form, scope::grant}, tokens};\n// use actix::Addr;\n\
                fn f() -> std::time::Instant { crate::app::run() }\nmod tests {\n    use super::super::State;\n}\n";
    let found = paths(text, &module);
    for path in [
        "crate::http::error::Failure",
        "crate::oauth::form",
        "crate::oauth::scope::grant",
        "crate::tokens",
        "std::time::Instant",
        "crate::app::run",
        "crate::http::State",
    ] {
        assert!(found.contains(path), "{path} is missing in {found:?}");
    }
    assert!(!found.iter().any(|path| begins(path, "actix")), "{found:?}");
}

/// Files that are written by a run, not by hand.
const WRITTEN_LATER: &[&str] = &["docs/performance.md"];

#[test]
fn documents_name_files_that_exist() {
    let mut documents: Vec<_> = ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG"]
        .map(|name| root().join(name).with_extension("md"))
        .into();
    files(&root().join("docs"), "md", &mut documents);
    documents.extend(["loadtest/README.md", "loadtest/peers/README.md"].map(|name| root().join(name)));
    let mut missing = String::new();
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in links(&text) {
            let path = document.parent().unwrap().join(target.split('#').next().unwrap());
            if !path.exists() && !WRITTEN_LATER.iter().any(|later| path.ends_with(later)) {
                writeln!(missing, "{} links to {target}", shown(&document)).unwrap();
            }
        }
        // A code span that names a source file does so from the root, perhaps with a function of it: `src/a.rs::b`.
        let is_source = |span: &&str| {
            let known = ["src/", "actors/", "tests/", "migrations/", "benches/"];
            known.iter().any(|top| span.starts_with(top)) && !span.contains([' ', '*', '{', '<'])
        };
        for span in text.split('`').skip(1).step_by(2).filter(is_source) {
            let (file, function) = span.split_once("::").unwrap_or((span, ""));
            let path = root().join(file);
            let holds = |text: String| function.is_empty() || text.contains(&format!("fn {function}("));
            if !path.is_dir() && !std::fs::read_to_string(&path).is_ok_and(holds) {
                writeln!(missing, "{} names {span}", shown(&document)).unwrap();
            }
        }
    }
    assert!(missing.is_empty(), "\n{missing}");
}

#[test]
fn every_metric_is_described() {
    let mut sources = Vec::new();
    files(&root().join("actors/src/metrics"), "rs", &mut sources);
    sources.push(root().join("src/gauges.rs"));
    let described = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut names = BTreeSet::new();
    for source in sources {
        let text = std::fs::read_to_string(source).unwrap();
        for made in ["counter(", "histogram(", "gauge("] {
            let quoted = |rest: &str| Some(rest.trim_start().strip_prefix('"')?.split('"').next()?.to_owned());
            names.extend(text.split(made).skip(1).filter_map(quoted));
        }
    }
    assert!(names.len() > 25, "{names:?}");
    let is_described = |name: &String| {
        let name = format!("`oauth2_server_{name}");
        described.contains(&format!("{name}`")) || described.contains(&format!("{name}_total`"))
    };
    names.retain(|name| !is_described(name));
    assert!(names.is_empty(), "not in docs/metrics.md: {names:?}");
}

/// Targets of Markdown links that are not URLs or places in the same file.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        let local = !target.contains("://") && !target.starts_with('#') && !target.contains(char::is_whitespace);
        local.then_some(target)
    })
}
