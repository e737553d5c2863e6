//! What the reader of sources sees, shown on small packages.

use crate::circles::{circles, graph};
use crate::source::{Package, Target};
use crate::violations;

fn parse(sources: &[(&str, &str)]) -> Package {
    let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*path).to_owned(), (*text).to_owned());
    Package::parse("oauth2_server", &sources.iter().map(own).collect::<Vec<_>>())
}

fn segments(path: &str) -> Vec<String> {
    path.split("::")
        .filter(|segment| !segment.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// The edges of all circles as `user -> used`.
fn circular(sources: &[(&str, &str)]) -> Vec<String> {
    let graph = graph(&parse(sources));
    let edges = circles(&graph).into_iter().flatten();
    edges.map(|(user, used, _)| format!("{user} -> {used}")).collect()
}

#[test]
fn paths_are_read_from_groups_parents_aliases_macros_and_attributes() {
    let token = r#"
        use super::error::Failure;
        use crate::{protocol::{form, scope::grant as granted}, tokens};
        use actix_web::web::{self, Data};
        // use actix::Addr;
        #[serde(with = "crate::tokens::seconds")]
        struct Body { field: web::Json<form::Pair> }
        #[utoipa::path(responses((status = 200, body = schemas::Token)))]
        fn f() -> std::time::Instant { tracing::info!(at = %granted::now(), "x"); super::run(tokens::jwt::sign()) }
        mod tests { use super::super::State; fn g() { super::f() } }
    "#;
    let package = parse(&[
        ("lib.rs", "pub mod http; pub mod protocol; pub mod tokens;"),
        ("http.rs", "mod token; mod error; pub struct State;"),
        ("http/error.rs", "pub struct Failure;"),
        ("http/token.rs", token),
        ("protocol.rs", "pub mod form; pub mod scope;"),
        ("protocol/form.rs", ""),
        ("protocol/scope.rs", ""),
        ("tokens.rs", ""),
    ]);
    let mut named = package.named(&segments("http::token"));
    named.extend(package.named(&segments("http::token::tests")));
    for path in [
        "crate::http::error::Failure",
        "crate::protocol::form::Pair",
        "crate::protocol::scope::grant::now",
        "crate::tokens::seconds",
        "crate::tokens::jwt::sign",
        "actix_web::web::Json",
        "std::time::Instant",
        "schemas::Token",
        "crate::http::run",
        "crate::http::State",
        "crate::http::token::f",
    ] {
        assert!(named.contains(&segments(path)), "{path} is missing in {named:?}");
    }
    assert!(!named.iter().any(|path| path[0] == "actix"), "{named:?}");
}

#[test]
fn a_path_leads_to_the_definition_behind_re_exports() {
    let package = parse(&[
        ("lib.rs", "pub mod a; pub mod b; pub use a::Deep;"),
        (
            "a.rs",
            "mod deep; mod all; pub use deep::{Deep, run as start}; pub use all::*; pub struct Own;",
        ),
        ("a/deep.rs", "pub struct Deep; pub fn run() {}"),
        ("a/all.rs", "pub const LIMIT: u8 = 1;"),
        ("b.rs", "use crate::a::{self, Own}; use std::fmt;"),
    ]);
    let at = segments("b");
    for (path, target) in [
        ("crate::a::Deep", Target::Item(segments("a::deep"))),
        ("crate::Deep::new", Target::Item(segments("a::deep"))),
        ("a::start", Target::Item(segments("a::deep"))),
        ("a::LIMIT", Target::Item(segments("a::all"))),
        ("Own", Target::Item(segments("a"))),
        ("crate::a::Unknown", Target::Item(segments("a"))),
        ("crate::a", Target::Module(segments("a"))),
        ("fmt::Display", Target::Outside(segments("std::fmt::Display"))),
        ("local", Target::Outside(segments("local"))),
    ] {
        assert_eq!(package.target(&at, &segments(path)), target, "{path}");
    }
}

#[test]
fn a_circle_is_found_and_a_re_export_is_none() {
    let child = ("a/child.rs", "use super::Shared; pub struct Child(Shared);");
    let parent = |text| [("lib.rs", "mod a;"), ("a.rs", text), child];
    let none: Vec<String> = Vec::new();
    // The parent only declares and re-exports its child.
    assert_eq!(
        circular(&parent("mod child; pub use child::Child; pub struct Shared;")),
        none
    );
    // The parent also uses what it re-exports.
    let both = ["a.rs -> a/child.rs", "a/child.rs -> a.rs"];
    for uses in [
        "mod child; pub use child::Child; pub struct Shared; fn f(_: Child) {}",
        "mod child; use child::Child; pub struct Shared;",
        "mod child; pub struct Shared; fn f() { child::run() }",
        "mod child; pub struct Shared; fn f() { println!(\"{}\", child::run()) }",
    ] {
        assert_eq!(circular(&parent(uses)), both, "{uses}");
    }
}

#[test]
fn a_child_that_names_a_re_export_uses_the_file_behind_it() {
    let sources = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod one; mod two; pub use one::One; pub use two::Two;"),
        ("a/one.rs", "pub struct One(super::Two);"),
        ("a/two.rs", "use super::One; pub struct Two(Box<One>);"),
    ];
    assert_eq!(circular(&sources), ["a/one.rs -> a/two.rs", "a/two.rs -> a/one.rs"]);
}

#[test]
fn circles_of_three_files_are_found_and_chains_are_not() {
    let chain = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "fn f() { crate::b::f() }"),
        ("b.rs", "use crate::c; fn f() { c::f() }"),
        ("c.rs", "fn f() {}"),
        ("d.rs", "fn f() { crate::a::f() }"),
    ];
    let none: Vec<String> = Vec::new();
    assert_eq!(circular(&chain), none);
    let mut circle = chain;
    circle[3].1 = "fn f() { crate::a::f() }";
    assert_eq!(circular(&circle), ["a.rs -> b.rs", "b.rs -> c.rs", "c.rs -> a.rs"]);
}

#[test]
fn layers_and_forbidden_paths_are_reported_by_file() {
    let package = parse(&[
        (
            "lib.rs",
            "pub mod http; pub mod service; pub mod protocol; pub mod config;",
        ),
        ("http.rs", "mod token;"),
        (
            "http/token.rs",
            "use crate::config::Config; use oauth2_store::{Store, model::Client};",
        ),
        ("service.rs", "use crate::http::token; use crate::protocol::form;"),
        (
            "protocol.rs",
            "use oauth2_store::model::Client; fn f() { std::time::Instant::now(); }",
        ),
        ("config.rs", "fn f() { std::env::var(\"A\"); }"),
        ("logging.rs", "use std::env; fn f() { env::var(\"A\"); }"),
    ]);
    let found: Vec<_> = violations("src", &package).into_iter().collect();
    assert_eq!(
        found,
        [
            "http/token.rs names config",
            "http/token.rs names oauth2_store::Store: handlers call services",
            "logging.rs names std::env: only the configuration reads the environment",
            "protocol.rs names std::time::Instant: times are passed in",
            "service.rs names http",
        ]
    );
}
