//! The dependency rules of `ARCHITECTURE.md`, checked on the source of the three packages: which layer may name which, that no
//! files use each other in a circle, who reads the environment, how long a file may be, and that documents name files that exist.
//!
//! The rules and their known violations are in `architecture/rules.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/reader_tests.rs"]
mod reader_tests;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::path::PathBuf;

use rules::{OWED, OWED_EDGES, OWED_LAYERS, OWED_VERBS, Row, SERVER, SHARED_BY_ACTORS, STORE, never_rules};
use source::{Package, Segments};
use tree::{files, root, shown};

/// The packages: directory of the sources, and name of the library.
const PACKAGES: &[(&str, &str)] = &[
    ("store/src", "oauth2_store"),
    ("actors/src", "oauth2_actors"),
    ("src", "oauth2_server"),
];

/// Test sources, which are only checked for circles.
const TESTS: &[(&str, &str)] = &[("tests/it", "it"), ("tests/testkit/src", "oauth2_testkit")];

fn package(under: &str) -> Package {
    let (_, name) = PACKAGES.iter().chain(TESTS).find(|package| package.0 == under).unwrap();
    let mut paths = Vec::new();
    files(&root().join(under), "rs", &mut paths);
    assert!(!paths.is_empty(), "no source in {under}");
    let source = |path: &PathBuf| {
        let relative = path.strip_prefix(root().join(under)).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        (relative.display().to_string(), shown(path), text)
    };
    Package::parse(name, &paths.iter().map(source).collect::<Vec<_>>())
}

fn layer(at: &Segments) -> &str {
    at.first().map_or("lib", String::as_str)
}

/// The layers that a layer may name, or `None` if it has no row.
fn row(under: &str, layer: &str) -> Option<Vec<&'static str>> {
    let find = |table: &[Row]| table.iter().find(|row| row.0 == layer).map(|row| row.1.to_vec());
    match under {
        "src" => find(SERVER),
        "store/src" => find(STORE),
        _ => find(SHARED_BY_ACTORS).or_else(|| Some(SHARED_BY_ACTORS.iter().map(|row| row.0).collect())),
    }
}

fn begins(path: &str, with: &str) -> bool {
    path.strip_prefix(with)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Violations of the layers' rows and of `never_rules`, as `file names path`.
fn violations(under: &str, package: &Package) -> BTreeSet<String> {
    let layers: BTreeSet<_> = package.modules.keys().map(layer).collect();
    let never = never_rules();
    let mut found = BTreeSet::new();
    for (at, module) in &package.modules {
        let (layer, file) = (layer(at), &module.file);
        for path in package.named(at) {
            let path = path.join("::");
            let rules = never.iter().filter(|rule| rule.package == under);
            for rule in rules.filter(|rule| rule.layer == layer || rule.layer == "*" && !rule.except.contains(&layer)) {
                if begins(&path, rule.path) && !rule.unless.iter().any(|unless| begins(&path, unless)) {
                    found.insert(format!("{file} names {}: {}", rule.path, rule.why));
                }
            }
            let Some(other) = path.strip_prefix("crate::").and_then(|rest| rest.split("::").next()) else {
                continue;
            };
            let is_checked = layers.contains(other) && other != layer && row(under, other).is_some();
            if is_checked && row(under, layer).is_some_and(|allowed| !allowed.contains(&other)) {
                found.insert(format!("{file} names {other}"));
            }
        }
    }
    found
}

/// Fails with every violation that is not on the list, and with every entry of the list that is no longer violated.
fn check(found: &BTreeSet<String>, owed: &[&str]) {
    let new = found.iter().filter(|line| !owed.contains(&line.as_str())).cloned();
    let resolved = owed.iter().filter(|line| !found.contains(**line));
    let resolved = resolved.map(|line| format!("no longer violated, remove it from the list: {line}"));
    let lines: Vec<_> = new.chain(resolved).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    let found = PACKAGES
        .iter()
        .flat_map(|(under, _)| violations(under, &package(under)));
    check(&found.collect(), OWED);
}

#[test]
fn every_layer_has_a_row() {
    let mut found = BTreeSet::new();
    for (under, _) in PACKAGES {
        let package = package(under);
        let layers = package.modules.keys().map(layer);
        found.extend(
            layers
                .filter(|layer| row(under, layer).is_none())
                .map(ToOwned::to_owned),
        );
    }
    check(&found, OWED_LAYERS);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let (mut lines, mut on_circles) = (Vec::new(), BTreeSet::new());
    for (under, _) in PACKAGES.iter().chain(TESTS) {
        let mut graph = circles::graph(&package(under));
        let edges = circles::circles(&graph).into_iter().flatten();
        on_circles.extend(edges.map(|(user, used, _)| (user.clone(), used.clone())));
        for (user, used) in OWED_EDGES {
            if let Some(uses) = graph.get_mut(*user) {
                uses.remove(*used);
            }
        }
        for circle in circles::circles(&graph) {
            lines.push("a circle:".to_owned());
            lines.extend(
                circle
                    .iter()
                    .map(|(user, used, path)| format!("  {user} -> {used} ({path})")),
            );
        }
    }
    let owed = OWED_EDGES
        .iter()
        .map(|(user, used)| ((*user).to_owned(), (*used).to_owned()));
    for (user, used) in owed.filter(|edge| !on_circles.contains(edge)) {
        lines.push(format!("on no circle, remove it from the list: {user} -> {used}"));
    }
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn handlers_and_subcommands_call_no_store_verb() {
    let verbs = store_verbs();
    assert!(verbs.len() > 20, "{verbs:?}");
    let mut found = BTreeSet::new();
    for (at, module) in &package("src").modules {
        let calls_verb = |(receiver, method): &(String, String)| receiver == "store" && verbs.contains(method);
        if rules::NO_VERBS.contains(&layer(at)) && module.calls.iter().any(calls_verb) {
            found.insert(module.file.clone());
        }
    }
    check(&found, OWED_VERBS);
}

/// The public methods of `Store`.
fn store_verbs() -> BTreeSet<String> {
    let mut paths = Vec::new();
    files(&root().join("store/src"), "rs", &mut paths);
    let mut verbs = BTreeSet::new();
    for path in paths.iter().filter(|path| shown(path).starts_with("store/src/store")) {
        let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
        for item in file.items {
            let syn::Item::Impl(block) = item else { continue };
            let syn::Type::Path(target) = &*block.self_ty else {
                continue;
            };
            if !target.path.is_ident("Store") {
                continue;
            }
            for member in block.items {
                if let syn::ImplItem::Fn(function) = member
                    && matches!(function.vis, syn::Visibility::Public(_))
                {
                    verbs.insert(function.sig.ident.to_string());
                }
            }
        }
    }
    verbs
}

#[test]
fn manifests_list_no_crate_of_an_upper_layer() {
    for (manifest, crates) in rules::MANIFESTS {
        let text = std::fs::read_to_string(root().join(manifest)).unwrap();
        for name in *crates {
            let depends = |line: &str| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}."));
            assert!(!text.lines().any(depends), "{name} is in {manifest}");
        }
    }
}

#[test]
fn files_are_short() {
    let mut sources = Vec::new();
    for under in ["src", "actors", "store", "tests", "benches"] {
        files(&root().join(under), "rs", &mut sources);
    }
    for file in sources {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(
            lines <= rules::MAX_LINES,
            "{} has {lines} lines; {} are allowed",
            shown(&file),
            rules::MAX_LINES
        );
    }
}

#[test]
fn documents_name_files_that_exist() {
    let missing = documents::missing();
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}
